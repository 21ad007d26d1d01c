"""The watch over a canary's task: what raises an alarm and what does not, and that it goes on as if it had never stopped."""

from __future__ import annotations

import random

import msgspec
import numpy as np
import pytest

from smallfirst.gate.watch import ALPHA_SHARES, Expected, Rule, TaskWatch, Usual, WatchState
from smallfirst.gate.watch_excess import LEVELS, cells
from smallfirst.gate.watch_expected import expectation, measured, reach
from smallfirst.releases.verdict import Disagreement

RULE = Rule(alpha=0.01, drop=0.05, margin=0.05)
EXPECTED = Expected(mean=0.15, bounds=((1.0, 0.15),), examples=1000, by="verdict")
USUAL = Usual(calls=1000, mean_nusd=1000.0, p95_ms=500.0, failed=0.01)


def watch(expected: Expected = EXPECTED) -> TaskWatch:
    made = TaskWatch("triage", RULE, expected)
    made.compare_with(USUAL)
    return made


def alarmed(made: TaskWatch) -> list[str]:
    return [alarm.question for alarm in made.alarms()]


def pairs(made: TaskWatch, disagreement: float, count: int, *, seed: int) -> int:
    """Adds pairs until there is an alarm; how many."""
    chance = random.Random(seed)
    for number in range(1, count + 1):
        made.add_pair(float(chance.random() >= disagreement))
        if made.alarms():
            return number
    return count + 1


def test_alpha_is_divided_and_not_overspent() -> None:
    assert sum(ALPHA_SHARES.values()) == pytest.approx(1.0)


@pytest.mark.parametrize(("disagreement", "median"), [(0.20, 600), (0.23, 230)])
def test_a_drop_is_found_fast(disagreement: float, median: int) -> None:
    """Five and eight points beyond what may be; the exact figures are `benchmarks.canary`'s."""
    found = [pairs(watch(), disagreement, 3000, seed=seed) for seed in range(21)]
    assert np.median(found) <= median


def test_as_many_disagreements_as_may_be_are_no_alarm() -> None:
    found = [pairs(watch(), 0.15, 1500, seed=seed) for seed in range(10)]
    assert found == [1501] * 10


def test_scores_between_right_and_wrong_count_for_what_they_are() -> None:
    made = watch()
    for _ in range(400):
        made.add_pair(0.86)  # a seventh lost on each: within the bound
    assert not alarmed(made)
    for _ in range(400):
        made.add_pair(0.6)
    assert alarmed(made) == ["quality"]


def test_labels_are_tested_against_the_margin() -> None:
    made = watch()
    chance = random.Random(3)
    for _ in range(600):  # both err alike: no loss, although they disagree
        small, frontier = chance.random() < 0.8, chance.random() < 0.8
        made.add_label(frontier=float(frontier), small=float(small))
    assert not alarmed(made)
    for _ in range(600):
        made.add_label(frontier=1.0, small=float(chance.random() < 0.7))
    assert alarmed(made) == ["labels"]


@pytest.mark.parametrize(
    ("question", "worse"),
    [
        ("cost", {"cost_nusd": 2000}),
        ("latency", {"latency_ms": 1800.0}),
        ("errors", {"failed": True}),
    ],
)
def test_every_other_question_has_its_alarm(question: str, worse: dict[str, float]) -> None:
    """Fine while one call in fifty is so; found when every third is (cost: when all are)."""
    fine = {"failed": False, "latency_ms": 400.0, "cost_nusd": 900}
    made = watch()
    for number in range(2000):
        made.add_call(**(fine | (worse if number % 50 == 0 else {})))  # type: ignore[arg-type]
    assert not alarmed(made)
    for number in range(1500):
        bad = question == "cost" or number % 3 == 0
        made.add_call(**(fine | (worse if bad else {})))  # type: ignore[arg-type]
    assert alarmed(made) == [question]


def test_what_is_within_the_latency_budget_is_not_slow_although_the_frontier_was_faster() -> None:
    made = TaskWatch("triage", RULE, EXPECTED)
    made.compare_with(msgspec.structs.replace(USUAL, p95_ms=10.0))
    for _ in range(300):
        made.add_call(failed=False, latency_ms=900.0, cost_nusd=900)
    assert not alarmed(made)
    for _ in range(300):
        made.add_call(failed=False, latency_ms=1100.0, cost_nusd=900)
    assert alarmed(made) == ["latency"]


def test_unknown_costs_are_compared_with_nothing() -> None:
    made = watch()
    for _ in range(500):
        made.add_call(failed=False, latency_ms=1.0, cost_nusd=None)
    assert next(each for each in made.estimates() if each.question == "cost").observations == 0
    free = TaskWatch("triage", RULE, EXPECTED)
    free.compare_with(msgspec.structs.replace(USUAL, mean_nusd=None))
    free.add_call(failed=False, latency_ms=1.0, cost_nusd=10**9)
    assert {each.question for each in free.estimates()} == {"quality", "labels", "latency", "errors"}


def test_an_alarm_stays() -> None:
    made = watch()
    assert pairs(made, 0.6, 500, seed=1) < 100
    for _ in range(2000):
        made.add_pair(1.0)
    assert alarmed(made) == ["quality"]


def test_a_watch_that_was_saved_at_any_moment_is_the_same_watch() -> None:
    chance = random.Random(5)
    whole, parted = watch(), watch()
    for number in range(400):
        score, failed = float(chance.random() > 0.19), chance.random() < 0.02
        for each in (whole, parted):
            each.add_pair(score)
            each.add_call(failed=failed, latency_ms=300.0 + number, cost_nusd=800, by_small=number % 2 == 0)
        if number % 37 == 0:
            saved = msgspec.json.encode(parted.state)
            parted = TaskWatch.from_state(msgspec.json.decode(saved, type=WatchState))
    assert parted.state == whole.state
    assert (parted.pairs, parted.answered, parted.small_share) == (
        whole.pairs,
        whole.answered,
        whole.small_share,
    )


def test_what_is_to_be_expected_comes_from_the_verdict_or_is_the_margin() -> None:
    found = Disagreement(mean=0.1, bounds=((0.1, 0.12), (0.01, 0.14)), examples=800)
    expected = expectation(found, 0.02)
    assert (expected.mean, expected.bounds, expected.by) == (0.1, found.bounds, "verdict")
    assert expectation(None, 0.02).bounds == ((1.0, 0.02),)


def test_what_a_verdict_measures_bounds_the_truth_at_every_level() -> None:
    chance = np.random.default_rng(1)
    samples = (chance.random((200, 300)) > 0.15).astype(float)
    bounds = [dict(found.bounds) for scores in samples if (found := measured(scores)) is not None]
    for level in (0.3, 0.1):
        broken = np.mean([each[level] < 0.15 for each in bounds])
        assert 0.3 * level < broken <= level + 0.03
    graded = measured(0.85 + 0.1 * (samples[0] - 0.5))
    assert graded is not None
    assert 0.05 < graded.mean < graded.bounds[0][1] < graded.bounds[-1][1] < 0.4
    assert measured(np.ones(10)) is None


def test_groups_count_as_one() -> None:
    scores, groups = np.repeat([1.0, 0.0, 1.0, 1.0] * 20, 10), [str(at // 10) for at in range(800)]
    apart, together = measured(scores), measured(scores, groups=groups)
    assert apart is not None
    assert together is not None
    assert dict(together.bounds)[0.01] > dict(apart.bounds)[0.01] + 0.05


def test_a_smaller_drop_and_a_larger_share_need_more_pairs() -> None:
    base = reach(RULE, EXPECTED)
    assert base.drop == RULE.drop
    assert 400 < base.pairs < 600
    smaller = reach(msgspec.structs.replace(RULE, drop=0.04), EXPECTED)
    assert smaller.pairs > 1.4 * base.pairs
    assert reach(RULE, EXPECTED, small_share=0.5).pairs < base.pairs / 3
    assert reach(RULE, EXPECTED, small_share=0.0).pairs < 10


def test_where_a_drop_cannot_be_told_from_luck_the_next_that_can_is_waited_for() -> None:
    few = expectation(measured(np.repeat([1.0, 0.0], [170, 30])), 0.05)
    found = reach(RULE, few)
    assert found.drop > 0.05
    assert found.pairs <= 1000
    many = expectation(measured(np.repeat([1.0, 0.0], [17_000, 3000])), 0.05)
    assert reach(RULE, many).drop == 0.05
    hopeless = expectation(measured(np.zeros(30)), 0.05)
    assert reach(RULE, hopeless).drop == 1.0


def test_a_mean_that_is_known_from_a_sample_is_tested_at_every_value_that_it_may_have() -> None:
    """The truth of sample and stream is one: alarms are rare, although half of the samples say too little, and a drop is found."""
    chance = np.random.default_rng(11)
    false, found = 0, []
    for _ in range(10):
        expected = expectation(measured((chance.random(400) >= 0.15).astype(float)), 0.05)
        same, worse = TaskWatch("t", RULE, expected), TaskWatch("t", RULE, expected)
        for x in chance.random(500):
            same.add_pair(float(x >= 0.15))
            worse.add_pair(float(x >= 0.35))
        false += bool(same.alarms())
        found.append(bool(worse.alarms()))
    assert false <= 1
    assert np.mean(found) >= 0.9


def test_the_tests_spend_no_more_than_alpha_at_any_truth() -> None:
    """At a truth between two bounds the sample's wealth and the level of the test give alpha; behind the last the sample is enough."""
    bounds = [(level, 0.1 + at / 100) for at, level in enumerate(LEVELS)]
    found = cells(bounds, 0.01)
    weight = 1 / (len(found) + 1)
    wealth = weight
    for cell, (level, bound) in zip(found, bounds, strict=False):
        assert cell.null == bound
        assert cell.alpha == pytest.approx(min(0.01 * wealth, 0.999))
        wealth += weight / level
    assert wealth >= 100
    with pytest.raises(ValueError, match="too few"):
        cells(bounds[:2], 0.01)
