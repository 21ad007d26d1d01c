"""Which whole policies are worth testing, and in which order: chosen on the training part, before the calibration part is looked at.

Every combination of thresholds is a policy with a loss and a cost. Only those that no other beats in both are kept, and they are put in the order of
the evidence that the training part has for them, so that the fixed sequence of tests (`statistics/risk_control.py`) meets the safest first. Pareto
testing: Laufer-Goldshtein, Fisch, Barzilay, Jaakkola, "Efficiently controlling multiple risks with Pareto testing", ICLR 2023.
"""

from __future__ import annotations

import itertools

import numpy as np

from smallfirst.routing.thresholds import ALWAYS, NEVER, Thresholds
from smallfirst.statistics.betting import growth_rate
from smallfirst.training.table import Seen, Worth, play

_LEVELS = 24  # of each threshold
_MOST_TRIED = 3000
_MOST_TESTED = 60


def candidates(seen: Seen, *, looks: bool, seed: int = 0) -> list[Thresholds]:
    """Combinations of thresholds at quantiles of what the router says: all of them for a ladder of two, a seeded sample for more."""
    asks = [[NEVER, *_quantiles(seen.uplift[:, rung]), ALWAYS] for rung in range(seen.uplift.shape[1])]
    accepts = [
        [0.0, *(_quantiles(np.r_[seen.accept[:, rung], seen.accept_after[:, rung]]) if looks else [])]
        for rung in range(seen.accept.shape[1])
    ]
    # A rung that is never asked has no second threshold.
    rungs = [
        [(NEVER, 0.0), *itertools.product(ask[1:], accept)] for ask, accept in zip(asks, accepts, strict=True)
    ]
    total = int(np.prod([len(options) for options in rungs]))
    if total <= _MOST_TRIED:
        chosen = itertools.product(*rungs)
    else:
        rng = np.random.default_rng(seed)
        picks = zip(*(rng.integers(len(options), size=_MOST_TRIED) for options in rungs), strict=True)
        chosen = (tuple(options[pick] for options, pick in zip(rungs, row, strict=True)) for row in picks)
    return [Thresholds(tuple(a for a, _ in pairs), tuple(b for _, b in pairs)) for pairs in chosen]


def _quantiles(values: np.ndarray) -> list[float]:
    """Distinct levels of a threshold, midway between what was seen, so that a rounding error of a float does not decide."""
    distinct = np.unique(values)
    if len(distinct) < 2:
        return []
    middles = (distinct[1:] + distinct[:-1]) / 2
    if len(middles) <= _LEVELS:
        return [float(level) for level in middles]
    levels = np.quantile(values, np.linspace(0, 1, _LEVELS + 2)[1:-1])
    return sorted(
        {float(middles[min(np.searchsorted(middles, level), len(middles) - 1)]) for level in levels}
    )


def sequence(options: list[Thresholds], seen: Seen, worth: Worth, *, margin: float) -> list[Thresholds]:
    """The policies to test, the best supported first; none that costs as much as the frontier alone."""
    played = [play(option, seen, worth) for option in options]
    loss = np.array([one.loss.mean() for one in played])
    cost = np.array([one.cost.mean() for one in played])
    cheaper = cost < worth.cost[:, -1].mean() * (1 - 1e-9)
    order = np.lexsort((loss, cost))
    front: list[int] = []
    least = np.inf
    for index in order:  # from the cheapest up: kept while the loss falls
        if cheaper[index] and loss[index] < least - 1e-12:
            front.append(int(index))
            least = loss[index]
    if len(front) > _MOST_TESTED:
        kept = np.unique(np.linspace(0, len(front) - 1, _MOST_TESTED).round().astype(int))
        front = [front[at] for at in kept]
    evidence = {index: growth_rate(played[index].loss, margin) for index in front}
    return [options[index] for index in sorted(front, key=lambda index: (-evidence[index], -cost[index]))]
