"""The bill adds up to the nano-dollar, hides nothing, and never counts what is unknown as nothing."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.ledger import AT_MS, HOUR_MS, attempt, call, calls, settlement

from smallfirst.ledger import store
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.records import Heartbeat
from smallfirst.ledger.reports import Span
from smallfirst.ledger.rollups import MS_PER_HOUR
from smallfirst.ledger.segment import Position
from smallfirst.planning.bill.bill import make_bill

_GROUPS = ("task", "model", "key", "tenant", "provider", "day")


@pytest.fixture
def ledger(tmp_path):
    made = Ledger.open(tmp_path)
    yield made
    made.close()


def bill(ledger, *records, by="task", span=Span()):
    for record in records:
        if isinstance(record, Heartbeat):
            ledger.journal.append(record)
        else:
            ledger.journal.append_settlement(settlement(record))
    ledger.importer.import_now()
    return make_bill(ledger.reports, span, by=by)


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(made=st.lists(calls(), max_size=20))
def test_lines_add_up_to_the_total_by_every_grouping(tmp_path_factory, made):
    state = tmp_path_factory.mktemp("state")
    ledger = Ledger.open(state)
    conn = store.connect(state)
    Intake(conn).take([settlement(one) for one in made], Position(0, 0))
    conn.close()
    costs = [each.cost_nusd for one in made for each in one.attempts]
    for by in _GROUPS:
        found = make_bill(ledger.reports, Span(), by=by)
        lines = [line for section in found.sections for line in section.lines]
        assert (
            found.total_nusd
            == sum(line.cost_nusd for line in lines)
            == sum(cost for cost in costs if cost is not None)
        )
        assert found.unknown_attempts == costs.count(None) == sum(line.unknown_attempts for line in lines)
        assert sum(line.attempts for line in lines) == len(costs)
        if by != "provider":
            assert sum(line.calls for line in lines) == len(made)
        tokens = sum(
            each.usage.prompt_tokens + each.usage.completion_tokens for one in made for each in one.attempts
        )
        assert sum(line.usage.prompt_tokens + line.usage.completion_tokens for line in lines) == tokens
    ledger.close()


def test_each_origin_is_where_it_belongs(ledger):
    found = bill(
        ledger,
        call(attempt(cost_nusd=5)),
        call(attempt(cost_nusd=70), origin="eval"),
        call(attempt(cost_nusd=9), origin="shadow"),
    )
    assert [(section.origin, section.total.cost_nusd) for section in found.sections] == [
        ("client", 5),
        ("shadow", 9),
        ("eval", 70),
    ]
    assert found.total_nusd == 84
    assert found.counterfactual.calls == 1


def test_what_gave_no_answer_is_shown_within_the_same_sum(ledger):
    found = bill(
        ledger,
        call(attempt(cost_nusd=5, status="cancelled", usage_source="estimated"), attempt(1, cost_nusd=20)),
        call(attempt(cost_nusd=300, status="lost"), status="lost"),
    )
    (line,) = found.sections[0].lines
    assert (line.cost_nusd, line.wasted_nusd, line.wasted_attempts, line.calls, line.failed_calls) == (
        325,
        305,
        2,
        2,
        1,
    )
    assert (line.estimated_nusd, line.estimated_attempts) == (5, 1)


def test_an_unknown_price_is_named_and_never_zero(ledger):
    found = bill(ledger, call(attempt(cost_nusd=None)), call(attempt(cost_nusd=4)), by="model")
    (line,) = found.sections[0].lines
    assert (line.cost_nusd, line.unknown_attempts, line.attempts) == (4, 1, 2)
    assert found.counterfactual.uncompared_calls == 1


def test_simulated_spending_is_marked(ledger):
    found = bill(ledger, call(attempt(cost_nusd=4, simulated=True)), call(attempt(cost_nusd=6)))
    assert (found.simulated_nusd, found.total_nusd) == (4, 10)
    assert found.counterfactual.simulated


def test_own_models_hours_are_bought_whether_used_or_not(ledger):
    beat = Heartbeat(at_ms=AT_MS, seconds=1800.0, hourly_nusd={"own": 2_000_000_000})
    found = bill(ledger, call(attempt(cost_nusd=1)), beat)
    assert (found.own_models_nusd, found.attempts_nusd, found.total_nusd) == (1_000_000_000, 1, 1_000_000_001)
    assert make_bill(ledger.reports, Span(tenant="acme")).own_models_nusd == 0


def test_by_model_a_climb_costs_on_both_and_counts_where_it_was_answered(ledger):
    climbed = call(
        attempt(0, model="small", status="unmet", cost_nusd=3, frontier=False),
        attempt(1, kind="climb", cost_nusd=50),
    )
    lines = {line.name: line for line in bill(ledger, climbed, by="model").sections[0].lines}
    assert (lines["small"].cost_nusd, lines["small"].calls, lines["small"].wasted_nusd) == (3, 0, 0)
    assert (lines["frontier"].cost_nusd, lines["frontier"].calls) == (50, 1)


def test_the_frontier_alone_is_compared_over_the_same_calls(ledger):
    small = attempt(0, model="small", frontier=False, cost_nusd=2)
    climbs = [call(small, attempt(1, cost_nusd=100), prompt_bytes=500) for _ in range(40)]
    stays = [call(small, prompt_bytes=1000) for _ in range(10)]
    failed = [call(attempt(cost_nusd=9, status="error"), status="error")]
    compared = bill(ledger, *climbs, *stays, *failed).counterfactual
    assert compared.calls == 50
    assert compared.paid_nusd == 40 * 102 + 10 * 2
    assert (compared.tasks[0].asked_nusd, compared.tasks[0].other_nusd) == (4000, 2000)
    assert compared.low_nusd <= compared.frontier_nusd == 6000 <= compared.high_nusd


def hit(by: str, saved_nusd: int | None, **fields):
    """A call that the cache answered: no attempts, no cost."""
    return msgspec.structs.replace(call(**fields), attempts=(), cost_nusd=0, cache=by, saved_nusd=saved_nusd)


def test_what_the_cache_answered_is_told_by_task_with_what_it_saved(ledger):
    found = bill(
        ledger,
        call(attempt(cost_nusd=100), cache="miss"),
        *(hit("exact", 100) for _ in range(3)),
        hit("flight", 100),
        hit("semantic", None),
        call(attempt(cost_nusd=7), task="extract", cache="miss"),
        call(attempt(cost_nusd=1000), task="reply"),  # its task has no cache
    )
    total, extract, triage = found.cached
    assert [total.task, extract.task, triage.task] == ["", "extract", "triage"]
    assert (triage.calls, triage.exact_hits, triage.semantic_hits, triage.flight_hits) == (6, 3, 1, 1)
    assert (triage.saved_nusd, triage.unknown_hits, triage.hit_rate) == (400, 1, 5 / 6)
    assert (extract.calls, extract.hits, extract.hit_rate) == (1, 0, 0.0)
    assert (total.calls, total.hits, total.saved_nusd) == (7, 5, 400)
    assert found.total_nusd == 1107
    assert found.uncached_nusd == 1507
    (section,) = found.sections
    assert (section.total.calls, section.total.failed_calls) == (8, 0)


def test_where_no_call_asked_the_cache_nothing_is_told_of_it(ledger):
    found = bill(ledger, call(attempt(cost_nusd=3)))
    assert (found.cached, found.uncached_nusd) == ((), 3)


def test_what_the_cache_answered_would_have_cost_something_on_the_frontier_alone(ledger):
    """A hit is a call like another: its size counts, its cost is nothing, and the ratio of cost to size is that of answers of the frontier."""
    asked = [call(attempt(cost_nusd=100), prompt_bytes=500, cache="miss") for _ in range(40)]
    hits = [hit("exact", 100, prompt_bytes=500) for _ in range(60)]
    compared = bill(ledger, *asked, *hits).counterfactual
    (task,) = compared.tasks
    assert (compared.calls, compared.paid_nusd) == (100, 4000)
    assert (task.asked_calls, task.other_calls) == (40, 60)
    assert compared.frontier_nusd == 10_000


def test_a_span_holds_its_hours_only(ledger):
    hour = AT_MS // MS_PER_HOUR
    made = [call(attempt(cost_nusd=10**n), at_ms=AT_MS + n * HOUR_MS) for n in range(4)]
    assert bill(ledger, *made, span=Span(since_hour=hour + 1, until_hour=hour + 3)).total_nusd == 110


def test_days_are_in_order_and_the_bill_is_json(ledger):
    made = [call(attempt(cost_nusd=9 - n), at_ms=AT_MS + n * 24 * HOUR_MS) for n in range(3)]
    found = bill(ledger, *reversed(made), by="day")
    days = [line.name for line in found.sections[0].lines]
    assert days == sorted(days)
    assert len(days) == 3
    assert msgspec.json.decode(msgspec.json.encode(found))["total_nusd"] == 24


def test_an_empty_ledger_has_an_empty_bill(ledger):
    found = make_bill(ledger.reports, Span())
    assert (found.sections, found.total_nusd, found.latency[0].total_p50_ms) == ((), 0, None)


def test_what_a_router_asked_is_paid_and_is_no_answer(ledger):
    question = attempt(0, kind="route", rung=-1, model="judge", provider="own", cost_nusd=7, frontier=False)
    routed = call(question, attempt(1, model="small", cost_nusd=10, frontier=False), model="small", rung=0)
    made = bill(ledger, routed, by="model")
    (section,) = made.sections
    assert section.total.cost_nusd == 17
    assert section.total.wasted_nusd == 0
    assert {line.name: (line.calls, line.cost_nusd) for line in section.lines} == {
        "small": (1, 10),
        "judge": (0, 7),
    }
    (task,) = made.counterfactual.tasks
    assert (task.paid_nusd, task.asked_calls, task.other_calls) == (17, 0, 1)
