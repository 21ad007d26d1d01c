"""Chooses a whole policy's thresholds: the cheapest that is shown to keep the margin; or by a share or a budget, which promises nothing."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.errors import ConfigError
from smallfirst.routing.fitted import Bound
from smallfirst.routing.thresholds import Thresholds, frontier_only
from smallfirst.statistics import betting
from smallfirst.statistics.noninferiority import sample_of
from smallfirst.statistics.power import power
from smallfirst.statistics.risk_control import fixed_sequence
from smallfirst.training.pareto import candidates, sequence
from smallfirst.training.table import Played, Seen, Worth, play


class Trial(msgspec.Struct, frozen=True):
    """The test that the policy must pass next, on so many other examples at this level: a gate. `power` is the chance of a pass that is wanted."""

    examples: int
    alpha: float
    power: float


class Goal(msgspec.Struct, frozen=True, kw_only=True):
    """What the thresholds are to keep: a loss of at most `margin` with `confidence`; or, where one is given, at most this share of calls answered by
    the frontier, or at most this cost of a call in US dollars, with the least loss.

    `trial`: of the policies that keep the margin, take the cheapest that is likely to be shown to keep it once more. The cheapest of all stands at
    the edge of what could be shown, and there a second test on other examples fails about every other time.
    """

    margin: float
    confidence: float = 0.95
    frontier_share: float | None = None
    usd_per_call: float | None = None
    binary: bool = False  # every loss is 0 or 1 by construction
    trial: Trial | None = None

    @property
    def promises(self) -> bool:
        return self.frontier_share is None and self.usd_per_call is None


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The policy, what was shown of it, and how many calibration examples would show more (None: no number would, or none is wanted)."""

    thresholds: Thresholds
    bound: Bound
    cost: float
    frontier_cost: float
    tested: int
    certified: int
    examples_needed: int | None


def choose(train: tuple[Seen, Worth], calibration: tuple[Seen, Worth], *, goal: Goal, looks: bool) -> Chosen:
    """The policies and their order come from `train` alone; what is promised of the chosen one from `calibration` alone.

    Learn then Test with a fixed sequence: with probability `confidence` no certified policy loses more than the margin, so any of them may be taken,
    and the cheapest is. None certified: everything goes to the frontier.
    """
    options = candidates(train[0], looks=looks)
    if not goal.promises:
        return _by_goal(options, train, calibration, goal)
    if goal.binary and not np.isin(calibration[1].losses, (0, 1)).all():
        raise ConfigError(
            "a loss is neither 0 nor 1, since a small model scores otherwise than 0 or 1, or better than the frontier: fit without --binary"
        )
    tested = sequence(options, *train, margin=goal.margin)
    played = [play(option, *calibration) for option in tested]
    if not played or not len(calibration[1].score):
        return _frontier(calibration, goal, tested=len(tested), needed=None)
    losses = np.stack([one.loss for one in played], axis=1)
    expected = np.stack([play(option, *train).loss for option in tested], axis=1)
    control = fixed_sequence(
        losses, margin=goal.margin, delta=1 - goal.confidence, binary=goal.binary, expected=expected
    )
    if control.certified is None:
        return _frontier(calibration, goal, tested=len(tested), needed=control.examples_needed)
    by_cost = sorted(range(control.certified + 1), key=lambda at: float(played[at].cost.mean()))
    kept = by_cost[0]
    if goal.trial is not None:
        seen = np.concatenate([expected, losses])[:, by_cost]
        kept = by_cost[_likely(seen, margin=goal.margin, trial=goal.trial)]
    return _chosen(
        tested[kept],
        played[kept],
        calibration,
        goal,
        tested=len(tested),
        certified=control.certified + 1,
        needed=control.examples_needed,
    )


def _likely(losses: np.ndarray, *, margin: float, trial: Trial) -> int:
    """The first column whose policy passes the trial with the wanted power, were its loss what was seen; else the likeliest."""
    chances = []
    for column in losses.T:
        loss = max(0.0, float(column.mean()))
        chances.append(
            power(sample_of(column), margin, examples=trial.examples, alpha=trial.alpha, loss=loss)
            if loss < margin
            else 0.0
        )
        if chances[-1] >= trial.power:
            break
    return int(np.argmax(chances))


def _by_goal(
    options: Sequence[Thresholds],
    train: tuple[Seen, Worth],
    calibration: tuple[Seen, Worth],
    goal: Goal,
) -> Chosen:
    """The least loss on the training part among the policies that keep to the share or the budget there, and of those the cheapest.

    Raises `ConfigError` where none keeps to the budget, or nobody knows what anything costs.
    """
    if goal.usd_per_call is not None and not train[1].priced:
        raise ConfigError("a budget in US dollars needs `cost_usd` in every outcome of every row")

    def keeps(played: Played, worth: Worth) -> bool:
        if goal.frontier_share is not None:
            return float((played.rung == worth.score.shape[1] - 1).mean()) <= goal.frontier_share
        assert goal.usd_per_call is not None
        return float(played.cost.mean()) <= goal.usd_per_call * (1 + 1e-9)  # a mean rounds

    played_by = [(option, play(option, *train)) for option in options]
    fitting = [(option, played) for option, played in played_by if keeps(played, train[1])]
    if not fitting:
        least = 1000 * min(float(played.cost.mean()) for _, played in played_by)
        raise ConfigError(
            f"no thresholds keep to this budget: the cheapest come to {least:.6g} US dollars for 1,000 calls"
        )
    thresholds, _ = min(fitting, key=lambda pair: (float(pair[1].loss.mean()), float(pair[1].cost.mean())))
    return _chosen(
        thresholds, play(thresholds, *calibration), calibration, goal, tested=0, certified=0, needed=None
    )


def _frontier(calibration: tuple[Seen, Worth], goal: Goal, *, tested: int, needed: int | None) -> Chosen:
    thresholds = frontier_only(calibration[1].score.shape[1])
    played = play(thresholds, *calibration)
    return _chosen(thresholds, played, calibration, goal, tested=tested, certified=0, needed=needed)


def _chosen(
    thresholds: Thresholds,
    played: Played,
    calibration: tuple[Seen, Worth],
    goal: Goal,
    *,
    tested: int,
    certified: int,
    needed: int | None,
) -> Chosen:
    worth = calibration[1]
    last = worth.score.shape[1] - 1
    examples = len(played.loss)
    everything = bool((played.rung == last).all())
    loss_bound = 0.0 if everything else goal.margin
    if not everything and not goal.promises:
        loss_bound = betting.upper_bound(played.loss, confidence=goal.confidence)
    return Chosen(
        thresholds=thresholds,
        bound=Bound(
            kept=goal.promises,
            margin=goal.margin,
            confidence=goal.confidence,
            examples=examples,
            loss=_mean(played.loss),
            loss_bound=loss_bound,
            small_share=_mean(played.rung != last),
        ),
        cost=_mean(played.cost),
        frontier_cost=_mean(worth.cost[:, -1]),
        tested=tested,
        certified=certified,
        examples_needed=needed,
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else 0.0
