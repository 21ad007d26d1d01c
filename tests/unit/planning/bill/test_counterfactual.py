"""What the same calls would have cost on the frontier: exact where it answered, else with an interval."""

from __future__ import annotations

import random

from smallfirst.ledger.reports import FrontierSums
from smallfirst.planning.bill.counterfactual import LEAST_ANSWERS, counterfactual


def sums(pairs, *, task="triage", model="frontier", paid=0, unknown=0, simulated=False, last_hour=1):
    """Hourly sums of (bytes, frontier's cost); of bytes alone where `model` is empty."""
    costs = [nusd if model else 0 for _, nusd in pairs]
    return FrontierSums(
        task=task,
        model=model,
        simulated=simulated,
        last_hour=last_hour,
        calls=len(pairs),
        unknown_calls=unknown,
        paid_nusd=paid,
        frontier_nusd=sum(costs),
        bytes=sum(size for size, _ in pairs),
        bytes2=float(sum(size * size for size, _ in pairs)),
        nusd2=float(sum(nusd * nusd for nusd in costs)),
        cross=float(sum(size * nusd for (size, _), nusd in zip(pairs, costs, strict=True))),
    )


def test_where_the_frontier_answered_everything_nothing_is_estimated():
    made = counterfactual([sums([(100, 7), (200, 5)], paid=13)])
    assert (made.frontier_nusd, made.low_nusd, made.high_nusd, made.paid_nusd) == (12, 12, 12, 13)
    assert made.tasks[0].missing_answers == 0


def test_too_few_answers_are_unknown_and_say_how_many_are_missing():
    made = counterfactual([sums([(100, 7)] * (LEAST_ANSWERS - 4)), sums([(100, 0)] * 5, model="", paid=5)])
    assert (made.frontier_nusd, made.low_nusd, made.high_nusd) == (None, None, None)
    assert made.tasks[0].missing_answers == 4
    assert made.tasks[0].frontier_nusd is None
    assert made.paid_nusd == 5


def test_one_unknown_task_makes_the_whole_unknown_and_leaves_the_others_known():
    known = sums([(100, 7)] * 40, task="extract")
    made = counterfactual([known, sums([(100, 0)], model="")])
    assert made.frontier_nusd is None
    assert [task.frontier_nusd for task in made.tasks] == [280, None]


def test_cost_that_is_proportional_to_bytes_is_found_exactly():
    made = counterfactual(
        [sums([(size, 3 * size) for size in range(1, 41)]), sums([(1000, 0)] * 4, model="")]
    )
    assert made.tasks[0].other_nusd == 12_000
    assert made.tasks[0].high_nusd - made.tasks[0].low_nusd <= 12


def test_the_interval_holds_what_it_promises():
    chance = random.Random(7)
    held = 0
    for _ in range(400):
        pairs = [
            (size, max(0, round(40 * size + chance.gauss(0, 6000))))
            for size in (chance.randint(200, 2000) for _ in range(140))
        ]
        asked, other = pairs[:40], pairs[40:]
        made = counterfactual([sums(asked), sums(other, model="")])
        truth = sum(nusd for _, nusd in pairs)
        held += made.low_nusd <= truth <= made.high_nusd
    assert 0.92 <= held / 400 <= 0.98


def test_a_task_is_compared_with_its_present_frontier():
    old = sums([(100, 900)] * 100, model="old", last_hour=1)
    new = sums([(100, 100)] * 30, model="new", last_hour=2)
    made = counterfactual([old, new, sums([(100, 0)], model="")])
    assert made.tasks[0].frontier == "new"
    assert made.tasks[0].other_nusd == 100
    assert made.frontier_nusd == 100 * 900 + 30 * 100 + 100


def test_nothing_is_compared_with_nothing():
    made = counterfactual([])
    assert (made.calls, made.frontier_nusd, made.paid_nusd) == (0, 0, 0)


def test_calls_without_bytes_are_not_divided_by():
    made = counterfactual([sums([(0, 5)] * 40), sums([(10, 0)], model="")])
    assert made.frontier_nusd is None
