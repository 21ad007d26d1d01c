"""Which policies are tested, and in which order."""

from __future__ import annotations

import numpy as np
import pytest

from smallfirst.routing.thresholds import ALWAYS, NEVER
from smallfirst.statistics.betting import growth_rate
from smallfirst.training.pareto import candidates, sequence
from smallfirst.training.table import Seen, Worth, play

MARGIN = 0.1


def made(rungs: int, rows: int = 300, seed: int = 0) -> tuple[Seen, Worth]:
    rng = np.random.default_rng(seed)
    hard = rng.random(rows)
    levels = np.linspace(0.4, 0.95, rungs)
    score = (hard[:, None] < levels).astype(float)
    uplift = score[:, -1:] - score[:, :-1] + rng.normal(0, 0.4, (rows, rungs - 1))
    accept = np.clip(score[:, :-1] * 0.6 + rng.random((rows, rungs - 1)) * 0.4, 0, 1)
    cost = np.tile(0.01 * 10.0 ** np.arange(-rungs + 1, 1), (rows, 1))
    return Seen(uplift=uplift, accept=accept, accept_after=accept), Worth(score=score, cost=cost, priced=True)


@pytest.mark.parametrize("rungs", [2, 3, 4])
def test_no_tested_policy_is_beaten_in_both(rungs: int) -> None:
    seen, worth = made(rungs)
    tested = sequence(candidates(seen, looks=True), seen, worth, margin=MARGIN)
    assert 2 < len(tested) <= 60
    figures = [
        (played.loss.mean(), played.cost.mean())
        for played in (play(option, seen, worth) for option in tested)
    ]
    for loss, cost in figures:
        assert not any(
            one <= loss and other <= cost and (one, other) != (loss, cost) for one, other in figures
        )


@pytest.mark.parametrize("rungs", [2, 3])
def test_none_is_as_dear_as_the_frontier(rungs: int) -> None:
    seen, worth = made(rungs)
    for option in sequence(candidates(seen, looks=True), seen, worth, margin=MARGIN):
        assert play(option, seen, worth).cost.mean() < worth.cost[:, -1].mean()


def test_the_best_supported_come_first() -> None:
    seen, worth = made(2)
    tested = sequence(candidates(seen, looks=True), seen, worth, margin=MARGIN)
    evidence = [growth_rate(play(option, seen, worth).loss, MARGIN) for option in tested]
    assert evidence == sorted(evidence, reverse=True)
    assert evidence[0] > 0 >= evidence[-1]


def test_every_threshold_of_a_ladder_of_two_is_combined_with_every_other() -> None:
    seen, _ = made(2)
    plain, looked = candidates(seen, looks=False), candidates(seen, looks=True)
    assert len(plain) == 26
    assert len(looked) == 1 + 25 * 25
    assert len(set(looked)) == len(looked)
    assert {option.ask[0] for option in plain} >= {NEVER, ALWAYS}
    assert all(option.accept == (0.0,) for option in plain)


def test_a_longer_ladder_is_sampled_the_same_every_time() -> None:
    seen, _ = made(4)
    options = candidates(seen, looks=True)
    assert len(options) == 3000
    assert options == candidates(seen, looks=True)
    assert options != candidates(seen, looks=True, seed=1)


def test_thresholds_lie_between_what_was_seen() -> None:
    seen, _ = made(2)
    levels = {option.ask[0] for option in candidates(seen, looks=False)} - {NEVER, ALWAYS}
    assert not levels & set(seen.uplift[:, 0])


def test_a_router_that_says_the_same_of_all_has_all_or_nothing() -> None:
    seen, worth = made(2)
    flat = Seen(uplift=np.zeros_like(seen.uplift), accept=seen.accept * 0, accept_after=seen.accept * 0)
    options = candidates(flat, looks=True)
    assert {option.ask[0] for option in options} == {NEVER, ALWAYS}
    (only,) = sequence(options, flat, worth, margin=MARGIN)
    assert only.ask == (ALWAYS,)


def test_small_models_that_cost_as_much_leave_nothing_to_test() -> None:
    seen, worth = made(2)
    level = Worth(score=worth.score, cost=np.ones_like(worth.cost), priced=True)
    assert sequence(candidates(seen, looks=True), seen, level, margin=MARGIN) == []
