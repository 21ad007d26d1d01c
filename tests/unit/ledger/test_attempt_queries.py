"""Attempts are read a page at a time, each once, in the order of their calls, whatever the page."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ledger import AT_MS, HOUR_MS, attempt, call, calls, settlement

from smallfirst.ledger import Ledger, attempt_queries, store
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.segment import Position


def put(state, made):
    Ledger.open(state).close()
    conn = store.connect(state)
    Intake(conn).take([settlement(one) for one in made], Position(0, 0))
    conn.close()


@pytest.mark.parametrize("page", [1, 3, 5000])
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(made=st.lists(calls(), max_size=12))
def test_every_attempt_comes_once_with_all_that_it_cost(tmp_path_factory, page, made):
    state = tmp_path_factory.mktemp("state")
    put(state, made)
    with pytest.MonkeyPatch.context() as patch, Ledger.read(state) as ledger:
        patch.setattr(attempt_queries, "_CALLS_A_PAGE", page)
        pages = list(ledger.attempts.charged(since_ms=0, until_ms=AT_MS * 2))
        summed = ledger.attempts.summed(since_hour=0, until_hour=AT_MS)
    found = [each for one in pages for each in one]
    assert sorted((each.call, each.seq) for each in found) == sorted(
        (one.id, each.seq) for one in made for each in one.attempts
    )
    known = {(one.id, each.seq): (one, each) for one in made for each in one.attempts}
    for each in found:
        one, whole = known[each.call, each.seq]
        for name in (
            "provider",
            "model",
            "status",
            "usage",
            "usage_source",
            "cost_nusd",
            "upstream_id",
            "simulated",
        ):
            assert getattr(each, name) == getattr(whole, name)
        assert each.at_ms == one.at_ms + int(whole.started_ms)
    assert summed == (len(found), sum(each.cost_nusd or 0 for each in found))


def test_an_attempt_belongs_to_the_moment_at_which_it_was_begun(tmp_path):
    late = call(attempt(0), attempt(1, kind="retry", started_ms=5000.0), at_ms=AT_MS - 2000)
    put(tmp_path, [late, call(at_ms=AT_MS + HOUR_MS)])
    with Ledger.read(tmp_path) as ledger:
        pages = list(ledger.attempts.charged(since_ms=AT_MS, until_ms=AT_MS + HOUR_MS))
    assert [(each.call, each.seq) for page in pages for each in page] == [(late.id, 1)]


def test_providers_and_simulated_ones_can_be_had_alone(tmp_path):
    made = [
        call(attempt(provider="openai"), attempt(1, provider="vllm")),
        call(attempt(provider="sim", simulated=True)),
    ]
    put(tmp_path, made)
    with Ledger.read(tmp_path) as ledger:
        asked = ledger.attempts
        assert asked.providers() == ["openai", "sim", "vllm"]
        span = {"since_ms": 0, "until_ms": AT_MS * 2}

        def providers(**only):
            return [each.provider for page in asked.charged(**span, **only) for each in page]

        assert providers(providers=("vllm", "sim")) == ["vllm", "sim"]
        assert providers(simulated=True) == ["sim"]
        assert providers(simulated=False) == ["openai", "vllm"]
        assert providers(providers=("nobody",)) == []
        assert asked.summed(since_hour=0, until_hour=AT_MS, providers=("vllm",)) == (1, 1000)
