"""What each rung was worth on each example, as arrays, and what a policy would have made of it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.routing.thresholds import Thresholds
from smallfirst.training.outcomes import Example


class Worth(msgspec.Struct, frozen=True, kw_only=True):
    """`score` and `cost` [n, rungs]; the last rung is the frontier. `priced` says whether the costs are the rows' own, in US dollars."""

    score: np.ndarray
    cost: np.ndarray
    priced: bool

    @property
    def losses(self) -> np.ndarray:
        """[n, rungs]: what each rung's answer loses against the frontier's."""
        return self.score[:, -1:] - self.score

    def rows(self, kept: np.ndarray) -> Worth:
        return Worth(score=self.score[kept], cost=self.cost[kept], priced=self.priced)


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """What a router says of the same examples: `uplift` [n, rungs − 1]; `accept` [n, rungs − 1], the probability of its second look where the rung
    below was not asked, and `accept_after` where it was.
    """

    uplift: np.ndarray
    accept: np.ndarray
    accept_after: np.ndarray

    def rows(self, kept: np.ndarray) -> Seen:
        return Seen(uplift=self.uplift[kept], accept=self.accept[kept], accept_after=self.accept_after[kept])


class Played(msgspec.Struct, frozen=True, kw_only=True):
    """A policy on the examples: the rung that answered, its loss against the frontier in [−1, 1], and the cost of all that was asked."""

    rung: np.ndarray
    loss: np.ndarray
    cost: np.ndarray


def worth_of(examples: Sequence[Example], ladder: Sequence[str]) -> Worth:
    """Scores and costs by rung. Where a row lacks a cost, all are counted in frontier calls: a lower rung's is a hundredth."""
    score = np.array([[example.row.outcomes[name].score for name in ladder] for example in examples])
    told = [[example.row.outcomes[name].cost_usd for name in ladder] for example in examples]
    priced = all(cost is not None for row in told for cost in row)
    if priced:
        return Worth(score=score, cost=np.array(told, np.float64), priced=True)
    stand_in = np.array([0.01 * (rung + 1) for rung in range(len(ladder) - 1)] + [1.0])
    return Worth(score=score, cost=np.tile(stand_in, (len(examples), 1)), priced=False)


def play(thresholds: Thresholds, seen: Seen, worth: Worth) -> Played:
    """What the ladder's rule (`Thresholds`) would have done with every example: the offline twin of `decide` and `climb`."""
    rows, rungs = worth.score.shape
    at = np.full(rows, rungs - 1)
    cost = np.zeros(rows)
    climbing = np.ones(rows, bool)
    below = np.zeros(rows, bool)  # whether the rung below has answered
    for rung in range(rungs - 1):
        asked = climbing & (seen.uplift[:, rung] <= thresholds.ask[rung])
        sure = np.where(below, seen.accept_after[:, rung], seen.accept[:, rung])
        released = asked & (sure >= thresholds.accept[rung])
        cost += np.where(asked, worth.cost[:, rung], 0)
        at = np.where(released, rung, at)
        climbing &= ~released
        below = asked
    cost += np.where(climbing, worth.cost[:, -1], 0)
    loss = worth.score[:, -1] - worth.score[np.arange(rows), at]
    return Played(rung=at, loss=loss, cost=cost)
