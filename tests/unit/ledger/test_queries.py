"""What is asked of single calls and of running sums, always by tenant where somebody else could be meant."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ledger import AT_MS, DAY, HOUR_MS, attempt, bodies, call, settlement

from smallfirst.chat import Usage
from smallfirst.errors import StateError
from smallfirst.ledger import buckets
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.queries import LEAST_ANSWERS, Filter
from smallfirst.ledger.reports import Span
from smallfirst.ledger.rollups import MS_PER_HOUR


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.open(tmp_path)
    yield made
    made.close()


def put(ledger, *calls):
    for one in calls:
        ledger.journal.append_settlement(settlement(one))
    ledger.importer.import_now()


def ids(listed):
    return [one.call.id for one in listed]


def test_calls_are_filtered_by_everything_that_is_given(ledger):
    made = [
        call(),
        call(tenant="globex"),
        call(task="extract"),
        call(attempt(model="small"), status="error"),
        call(origin="eval", at_ms=AT_MS + HOUR_MS, key="cron"),
    ]
    put(ledger, *made)
    latest_first = [one.id for one in reversed(made)]
    find = ledger.queries.calls
    assert ids(find()) == latest_first
    assert ids(find(limit=2)) == latest_first[:2]
    assert ids(find(before=find(limit=2)[-1].n)) == latest_first[2:]
    assert ids(find(Filter(tenant="globex"))) == [made[1].id]
    assert ids(find(Filter(task="extract", tenant="acme"))) == [made[2].id]
    assert ids(find(Filter(model="small", status="error"))) == [made[3].id]
    assert ids(find(Filter(origin="eval", key="cron", since_ms=AT_MS + 1))) == [made[4].id]
    assert ids(find(Filter(until_ms=AT_MS + 1))) == latest_first[1:]
    assert find(Filter(tenant="nobody' OR 1=1 --")) == []


def test_tail_goes_on_where_it_was(ledger):
    first, second = call(), call()
    put(ledger, first)
    at = ledger.queries.last()
    assert ledger.queries.tail(at) == []
    put(ledger, second)
    assert ids(ledger.queries.tail(at)) == [second.id]
    assert ids(ledger.queries.tail(0)) == [first.id, second.id]


def test_a_call_is_found_by_the_beginning_of_its_id(ledger):
    one, other = call(id="aa01" + "0" * 24), call(id="aa02" + "0" * 24)
    put(ledger, one, other)
    assert ledger.queries.call("aa01") == one
    assert ledger.queries.call(other.id) == other
    with pytest.raises(StateError, match="more than one call"):
        ledger.queries.call("aa0")
    for unknown in ("bb", "", "%", "aa01' --"):
        with pytest.raises(StateError, match="no call"):
            ledger.queries.call(unknown)


def test_nobody_sees_another_tenants_call(ledger):
    one = call(tenant="globex")
    ledger.journal.append(bodies(one))
    put(ledger, one)
    assert ledger.queries.call(one.id, tenant="globex") == one
    with pytest.raises(StateError):
        ledger.queries.call(one.id, tenant="acme")
    assert ledger.queries.bodies(one.id, tenant="acme") is None
    assert ledger.queries.bodies(one.id, tenant="globex").answer == b'{"say":2}'
    assert ledger.queries.counts(tenant="acme").calls == 0
    assert ledger.reports.spend(Span(tenant="acme"), "task") == []


def test_spending_is_by_scope_and_day_and_leaves_out_evaluations(ledger):
    put(
        ledger,
        call(attempt(cost_nusd=1), attempt(1, cost_nusd=2, status="cancelled")),
        call(attempt(cost_nusd=10), key="cron"),
        call(attempt(cost_nusd=100), tenant="globex", task="extract"),
        call(attempt(cost_nusd=1000), at_ms=AT_MS + 24 * HOUR_MS),
        call(attempt(cost_nusd=10_000), origin="eval"),
        call(attempt(cost_nusd=None)),
    )

    def spent(day, scope):
        return ledger.queries.spent_nusd(scope, since_hour=day * 24, until_hour=day * 24 + 24)

    assert spent(DAY, ("tenant", "acme")) == 13
    assert spent(DAY, ("key", "web")) == 103
    assert spent(DAY, ("task", "extract")) == 100
    assert spent(DAY + 1, ("tenant", "acme")) == 1000
    assert spent(DAY, ("tenant", "nobody")) == 0
    assert spent(DAY, ("gateway", "")) == 113
    assert ledger.queries.spent_nusd(("tenant", "acme"), since_hour=DAY * 24) == 1013
    assert ledger.queries.spent_nusd(("gateway", "")) == 1113


def test_the_quantile_of_history_covers_its_share_and_needs_some_history(ledger):
    put(
        ledger,
        *(
            call(attempt(usage=Usage(output_tokens=tokens, reasoning_tokens=5)))
            for tokens in range(1, LEAST_ANSWERS)
        ),
    )
    assert ledger.queries.output_tokens_quantile("triage", "frontier", 0.99) is None
    put(ledger, call(attempt(usage=Usage(output_tokens=200))))
    assert 200 <= ledger.queries.output_tokens_quantile("triage", "frontier", 0.99) <= 210
    assert 15 <= ledger.queries.output_tokens_quantile("triage", "frontier", 0.5) <= 17
    assert ledger.queries.output_tokens_quantile("", "frontier", 0.99) is None
    assert ledger.queries.output_tokens_quantile("triage", "small", 0.99) is None


def test_estimated_usage_is_no_history(ledger):
    put(ledger, *(call(attempt(usage_source="estimated")) for _ in range(50)))
    assert ledger.queries.output_tokens_quantile("triage", "frontier", 0.99) is None


@given(st.lists(st.integers(0, 10**9), min_size=1), st.floats(0.01, 1))
def test_a_bucketed_quantile_is_within_four_and_a_half_percent(values, q):
    found = buckets.quantile([(buckets.bucket(value), 1) for value in values], q)
    exact = sorted(values)[max(0, math.ceil(q * len(values) - 1e-9) - 1)]
    assert exact <= buckets.upper(found) <= exact * 1.045 + 1
    assert abs(buckets.middle(found) - exact) <= exact * 0.0225 + 1


def test_latency_is_read_from_answered_calls_of_clients(ledger):
    put(
        ledger,
        *(call(latency_ms=float(ms), ttft_ms=ms / 2, overhead_ms=1.0) for ms in range(1, 101)),
        call(latency_ms=99_999.0, status="error"),
        call(latency_ms=99_999.0, origin="eval"),
        call(latency_ms=5.0, task="extract"),
    )
    latency = ledger.reports.latency_ms
    assert latency(Span(), "total", 0.5, task="triage") == pytest.approx(50, rel=0.03)
    assert latency(Span(), "total", 0.99) == pytest.approx(99, rel=0.03)
    assert latency(Span(), "first_token", 0.5) == pytest.approx(25, rel=0.03)
    assert latency(Span(), "overhead", 0.99, model="frontier") == pytest.approx(1.0, rel=0.03)
    assert latency(Span(), "total", 0.5, origin="eval") == pytest.approx(99_999, rel=0.03)
    assert latency(Span(until_hour=AT_MS // MS_PER_HOUR), "total", 0.5) is None


def test_a_routers_question_is_no_answer_of_its_model(ledger):
    route = attempt(0, kind="route", rung=-1, usage=Usage(input_tokens=90, output_tokens=1), frontier=False)
    answer = attempt(1, usage=Usage(output_tokens=100))
    put(ledger, *(call(route, answer) for _ in range(LEAST_ANSWERS)))
    assert ledger.queries.output_tokens_quantile("triage", "frontier", 0.01) > 90
