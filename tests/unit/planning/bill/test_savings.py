"""Savings add up to the nano-dollar, count a hit once, and say what they do not know."""

from __future__ import annotations

import contextlib
import random

import msgspec
import pytest
from support.ledger import AT_MS, attempt, call, settlement

from smallfirst.ledger import store
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.reader import Reader
from smallfirst.ledger.records import Heartbeat
from smallfirst.ledger.reports import Reports, Span
from smallfirst.planning.bill.bill import make_bill
from smallfirst.planning.bill.picture import steps_of


@pytest.fixture
def bill_of(tmp_path):
    opened = []

    def make(*records, span=Span()):
        conn = store.connect(tmp_path)
        store.migrate(conn)
        Intake(conn).take([one if isinstance(one, Heartbeat) else settlement(one) for one in records], None)
        conn.close()
        opened.append(Reader(tmp_path))
        return make_bill(Reports(opened[-1]), span)

    yield make
    for reader in opened:
        reader.close()


def small(seq=0, **fields):
    return attempt(seq, **({"model": "small", "frontier": False, "cost_nusd": 20} | fields))


def hit(saved_nusd, frontier_nusd=None, **fields):
    return msgspec.structs.replace(
        call(**fields),
        attempts=(),
        cost_nusd=0,
        cache="exact",
        saved_nusd=saved_nusd,
        saved_frontier_nusd=frontier_nusd,
    )


def adds_up(saved):
    return saved.paid_nusd + saved.prompt_cache_nusd + saved.cache_nusd + saved.ladder_nusd == saved.full_nusd


def test_where_all_is_known_the_parts_are_what_each_call_says(bill_of):
    """By hand: 3 plain calls, 2 whose prompts the provider had cached, 4 that climbed, 5 hits of the frontier's answer
    (climbed to when it was first asked: 1,020, of it 1,000 the frontier's).
    """
    found = bill_of(
        *(call(attempt(cost_nusd=1000)) for _ in range(3)),
        *(call(attempt(cost_nusd=600, prompt_cache_saved_nusd=400)) for _ in range(2)),
        *(call(small(status="unmet"), attempt(1, cost_nusd=1000)) for _ in range(4)),
        *(hit(1020, 1000) for _ in range(5)),
    )
    saved = found.savings.total
    assert saved.full_nusd == saved.full_low_nusd == saved.full_high_nusd == 14 * 1000
    assert saved.paid_nusd == 3 * 1000 + 2 * 600 + 4 * 1020
    assert saved.prompt_cache_nusd == 2 * 400
    assert saved.cache_nusd == 5 * 1020
    assert saved.ladder_nusd == -(4 + 5) * 20  # what it cost to ask the small one in vain
    assert adds_up(saved)
    assert found.savings.net_nusd == 14 * 1000 - saved.paid_nusd
    assert found.counterfactual.frontier_nusd == 14 * 1000 - 800


def test_what_a_small_model_takes_is_the_ladders(bill_of):
    found = bill_of(
        *(call(attempt(cost_nusd=1000), prompt_bytes=500) for _ in range(40)),
        *(call(small(), prompt_bytes=500) for _ in range(60)),
        *(hit(20, None, prompt_bytes=500) for _ in range(10)),  # of the small model's answers
    )
    saved = found.savings.total
    assert saved.full_nusd == 110 * 1000
    assert saved.cache_nusd == 10 * 20
    assert saved.ladder_nusd == 60 * (1000 - 20) + 10 * (1000 - 20)
    assert adds_up(saved)


def test_they_add_up_over_random_traffic_and_every_task(bill_of):
    draw = random.Random(11)
    made = []
    for _ in range(600):
        task, size = draw.choice(["triage", "extract", "reply"]), draw.randrange(100, 4000)
        cost = 3 * size + draw.randrange(500)
        cached = draw.choice([0, 0, draw.randrange(-300, 900)])
        asked = attempt(1, cost_nusd=cost, prompt_cache_saved_nusd=cached)
        kind = draw.randrange(6)
        if kind == 0:
            one = call(asked, task=task, prompt_bytes=size)
        elif kind == 1:
            one = call(small(status="doubted"), asked, task=task, prompt_bytes=size)
        elif kind == 2:
            one = hit(cost + 20, draw.choice([cost, None]), task=task, prompt_bytes=size)
        elif kind == 3:
            one = call(asked, task=task, origin=draw.choice(["shadow", "eval", "explore", "spot-check"]))
        elif kind == 4:
            one = call(attempt(cost_nusd=cost, status="cancelled"), task=task, status="cancelled")
        else:
            one = call(small(prompt_cache_saved_nusd=7), task=task, prompt_bytes=size)
        made.append(one)
    beat = Heartbeat(at_ms=AT_MS, seconds=3600.0, hourly_nusd={"own": 123_457})
    found = bill_of(*made, beat)
    savings = found.savings
    for saved in (savings.total, *savings.tasks):
        assert adds_up(saved)
        assert saved.full_low_nusd <= saved.full_nusd <= saved.full_high_nusd
        assert saved.ladder_high_nusd - saved.ladder_nusd == saved.full_high_nusd - saved.full_nusd
    for field in ("calls", "full_nusd", "paid_nusd", "prompt_cache_nusd", "cache_nusd", "ladder_nusd"):
        assert getattr(savings.total, field) == sum(getattr(saved, field) for saved in savings.tasks)
    mine = [one for one in made if one.origin == "client"]
    answered = [one for one in mine if one.status == "ok"]
    assert savings.total.prompt_cache_nusd == sum(
        each.prompt_cache_saved_nusd for one in answered for each in one.attempts
    )
    assert savings.total.cache_nusd == sum(one.saved_nusd for one in answered if one.cache)
    assert savings.beside_nusd == sum(one.cost_nusd for one in mine if one.status != "ok")
    assert savings.proof_nusd == sum(one.cost_nusd for one in made if one.origin != "client")
    assert savings.own_models_nusd == 123_457
    total = savings.total.paid_nusd + savings.beside_nusd + savings.proof_nusd + savings.own_models_nusd
    assert total == savings.total_nusd == found.total_nusd
    saved = savings.total
    gross = saved.prompt_cache_nusd + saved.cache_nusd + saved.ladder_nusd
    assert savings.net_nusd == gross - savings.proof_nusd - 123_457
    steps = steps_of(savings)
    assert steps[0].until_nusd == saved.full_nusd
    assert steps[-1].until_nusd == found.total_nusd
    bars = [step for step in steps if step.what != "sum"]
    assert sum(step.until_nusd - step.since_nusd for step in bars) == found.total_nusd - saved.full_nusd


def test_a_task_that_cannot_be_compared_leaves_the_others_known(bill_of):
    found = bill_of(
        call(attempt(cost_nusd=1000)), call(small(), task="extract"), hit(20, task="extract")
    ).savings
    assert found.unknown_tasks == ("extract",)
    assert (found.total.full_nusd, found.total.calls, found.unknown_paid_nusd) == (1000, 1, 20)
    extract, triage = found.tasks
    assert (extract.ladder_nusd, extract.cache_nusd, extract.paid_nusd) == (None, 20, 20)
    assert triage.ladder_nusd == 0
    assert found.net_nusd == 0
    assert found.total_nusd == 1020


def test_where_nothing_can_be_compared_there_is_no_net(bill_of):
    found = bill_of(call(small()))
    assert found.savings.net_nusd is None
    assert steps_of(found.savings) == []


def test_a_hit_of_unknown_price_is_named_and_not_guessed(bill_of):
    found = bill_of(*(call(attempt(cost_nusd=100)) for _ in range(30)), hit(None)).savings.total
    assert (found.cache_nusd, found.unknown_hits) == (0, 1)
    assert adds_up(found)


def test_a_call_of_unknown_price_is_beside_what_is_compared(bill_of):
    found = bill_of(
        call(attempt(cost_nusd=100)), call(small(cost_nusd=30), attempt(1, cost_nusd=None)), hit(100, 100)
    )
    assert (found.savings.beside_nusd, found.savings.total.paid_nusd) == (30, 100)
    assert found.savings.total.full_nusd == 200


def test_hits_of_the_frontiers_answers_need_no_estimate(bill_of):
    """One answer of the frontier is too few to estimate by bytes; what its hits had cost is known."""
    found = bill_of(
        call(attempt(cost_nusd=700), prompt_bytes=10), *(hit(700, 700, prompt_bytes=9999) for _ in range(3))
    )
    (task,) = found.counterfactual.tasks
    assert (task.hit_calls, task.other_calls, task.missing_answers) == (3, 0, 0)
    assert found.counterfactual.frontier_nusd == 4 * 700
    assert found.savings.total.ladder_nusd == 0


def test_calls_that_come_while_a_bill_is_made_are_not_in_half_of_it(bill_of, tmp_path):
    bill_of(call(attempt(cost_nusd=1000)))

    class Busy(Reports):
        def spend(self, *asked):
            found = super().spend(*asked)
            with contextlib.closing(store.connect(tmp_path)) as conn:
                Intake(conn).take([settlement(call(attempt(cost_nusd=50)))], None)
            return found

    reader = Reader(tmp_path)
    for cost_nusd in (1000, 1050):
        found = make_bill(Busy(reader), Span())
        assert (
            found.total_nusd == found.savings.total.paid_nusd == found.counterfactual.paid_nusd == cost_nusd
        )
        assert found.savings.beside_nusd == 0
    reader.close()


def test_by_what_nothing_is_kept_nothing_is_said(bill_of):
    made = call(attempt(cost_nusd=5)), call(attempt(cost_nusd=7), key="cron")
    assert bill_of(*made).savings is not None
    for span in (Span(key="cron"), Span(model="frontier"), Span(origin="client")):
        found = bill_of(span=span)
        assert (found.savings, found.counterfactual.calls, found.cached) == (None, 0, ())
        assert found.total_nusd == (7 if span.key else 12)


def test_one_tasks_or_tenants_savings_are_its_own(bill_of):
    made = (
        call(attempt(cost_nusd=5)),
        call(attempt(cost_nusd=7), task="extract"),
        call(attempt(cost_nusd=9), tenant="globex"),
        call(attempt(cost_nusd=11), task="extract", origin="shadow"),
    )
    bill_of(*made)
    assert bill_of(span=Span(task="extract")).savings.total.full_nusd == 7
    assert bill_of(span=Span(task="extract")).savings.proof_nusd == 11
    assert bill_of(span=Span(tenant="globex")).savings.total.full_nusd == 9
