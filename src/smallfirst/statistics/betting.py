"""Tests and bounds for the mean of bounded losses, by betting: exact at every n, and sharp where losses hardly
scatter.

A gambler who doubts the mean to be as high as `margin` stakes the share c of what a bet can lose: with each loss
X ≤ high his wealth is multiplied by 1 + c·(margin − X) / (high − margin) ≥ 0, whose expectation is at most 1 if
E[X] ≥ margin. So is that of an average over gamblers with fixed stakes; it is a nonnegative supermartingale, and
by Ville's inequality it ever reaches 1/δ with probability at most δ. Its inverse is therefore a p-value, in
whatever order the losses are taken.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86 (2024),
https://arxiv.org/abs/2010.09686 (sections 4 and 5). Only the upper end of the range is needed by the bound; the
lower end is checked because a loss outside it was not computed as its caller thinks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

BOUNDS = (-1.0, 1.0)
FAR = 10_000_000  # examples that nobody will collect

# A hundred stakes, denser towards small ones. On 41 mixes of margin and disagreement this needs 1.5 times the
# examples that the best stake known beforehand would, at most 2.0; even spacing at most 2.3, powers of two 3.3.
# None is the whole of it, so that no wealth is ever zero and every logarithm is finite.
STAKES: NDArray[np.float64] = (np.arange(1, 101) / 100.1) ** 1.5
_BLOCK = 4096  # losses at a time where the order counts: 3 MiB


def p_value(
    losses: ArrayLike,
    margin: float,
    *,
    bounds: tuple[float, float] = BOUNDS,
    stakes: NDArray[np.float64] = STAKES,
    anytime: bool = False,
) -> float:
    """How likely losses that speak as strongly against "the mean is at least `margin`" would be if it were so, at most.

    `losses` has shape (n,), independent draws within `bounds`. `stakes`, in (0, 1), must not depend on
    them. With `anytime` the most that the wealth has ever been counts, in the order given, and the value is valid
    whenever one stops; without, the order is irrelevant. No losses are no evidence: 1. Raises ValueError for a loss or a margin outside the bounds.
    """
    sample = _checked(losses, bounds)
    _check_margin(margin, bounds)
    if anytime:
        return math.exp(min(0.0, -_highest(sample, (margin, bounds[1]), stakes)))
    values, counts = np.unique(sample, return_counts=True)
    return math.exp(min(0.0, -_mixed(counts @ _log_factors(values, (margin, bounds[1]), stakes))))


def upper_bound(
    losses: ArrayLike,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = BOUNDS,
    stakes: NDArray[np.float64] = STAKES,
) -> float:
    """What the mean does not exceed, with this confidence: every margin above it is refuted by `p_value`.

    The wealth grows with the margin, whatever the losses, so the margins that are not refuted are an interval
    and bisection finds its end (rounded up, to a millionth of the range).
    """
    sample = _checked(losses, bounds)
    values, counts = np.unique(sample, return_counts=True)
    target = -math.log1p(-confidence)
    low, high = bounds
    below, above = float(sample.mean()) if sample.size else high, high
    while above - below > 1e-6 * (high - low):
        middle = (below + above) / 2
        if _mixed(counts @ _log_factors(values, (middle, high), stakes)) >= target:
            above = middle
        else:
            below = middle
    return above


def examples_needed(
    losses: ArrayLike,
    margin: float,
    *,
    delta: float = 0.05,
    bounds: tuple[float, float] = BOUNDS,
    expected: ArrayLike | None = None,
) -> int | None:
    """How many examples in all would refute "the mean is at least `margin`" at level δ, were all like these.

    About, and as the sample has it: a second sample of that size succeeds every other time. None where the mean
    loss is not below the margin, or so close to it that `FAR` examples would not do. With `expected`, for stakes
    that are aimed by them.
    """
    sample = _checked(losses, bounds)
    _check_margin(margin, bounds)
    if not sample.size or float(sample.mean()) >= margin:
        return None
    growth, _ = _moments(sample, (margin, bounds[1]))
    target = -math.log(delta)
    aim = None if expected is None else _Aim(_checked(expected, bounds), (margin, bounds[1]))

    def enough(examples: int) -> bool:
        wealth = examples * growth
        return (_mixed(wealth) if aim is None else wealth[aim.stake(examples, target)]) >= target

    if not enough(FAR):
        return None
    below, above = 0, FAR
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above


def aimed(
    expected: ArrayLike,
    margin: float,
    *,
    examples: int,
    delta: float = 0.05,
    bounds: tuple[float, float] = BOUNDS,
) -> NDArray[np.float64]:
    """The one stake with the best chance of refuting the margin at level δ with so many examples, if they scatter like
    the `expected` losses: shape (1,).

    These must be other examples than the test's. If they mislead, the test is weaker and no less valid. To first order
    the best stake is sqrt(2 log(1/δ) / (n · variance)), whatever the mean; being off by 1.4 costs a twentieth.
    """
    _check_margin(margin, bounds)
    aim = _Aim(_checked(expected, bounds), (margin, bounds[1]))
    at = aim.stake(examples, -math.log(delta))
    return STAKES[at : at + 1]


def growth_rate(losses: ArrayLike, margin: float, *, bounds: tuple[float, float] = BOUNDS) -> float:
    """How fast evidence that the mean is below `margin` grows with losses like these: the log wealth that the best fixed
    stake gains by an example. Chosen in hindsight: for comparing, not for testing. 0 or less: there is none.
    """
    sample = _checked(losses, bounds)
    _check_margin(margin, bounds)
    return float(_moments(sample, (margin, bounds[1]))[0].max()) if sample.size else 0.0


class _Aim:
    """What each stake may be expected to do, from losses seen elsewhere and one total loss, which is not ruled out by
    never having been seen.
    """

    def __init__(self, expected: NDArray[np.float64], against: tuple[float, float]) -> None:
        self._mean, self._variance = _moments(np.append(expected, against[1]), against)

    def stake(self, examples: int, target: float) -> int:
        """The index of the stake whose log wealth lies the most standard deviations above the target."""
        deviation = np.sqrt(examples * self._variance + 1e-12)
        return int(np.argmax((examples * self._mean - target) / deviation))


def _moments(
    sample: NDArray[np.float64], against: tuple[float, float]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and variance over the sample of each stake's step in log wealth."""
    values, counts = np.unique(sample, return_counts=True)
    steps, shares = _log_factors(values, against, STAKES), counts / sample.size
    mean = shares @ steps
    return mean, shares @ (steps - mean) ** 2


def _checked(losses: ArrayLike, bounds: tuple[float, float]) -> NDArray[np.float64]:
    sample = np.asarray(losses, dtype=np.float64)
    if sample.ndim != 1:
        raise ValueError(f"losses: expected one dimension, got {sample.ndim}")
    if not np.all((sample >= bounds[0]) & (sample <= bounds[1])):  # false for NaN too
        raise ValueError(f"losses: expected numbers in [{bounds[0]:g}, {bounds[1]:g}]")
    return sample


def _check_margin(margin: float, bounds: tuple[float, float]) -> None:
    if not bounds[0] < margin < bounds[1]:
        raise ValueError(f"margin: expected a number in ({bounds[0]:g}, {bounds[1]:g}), got {margin:g}")


def _log_factors(
    values: NDArray[np.float64], against: tuple[float, float], stakes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """By how much each stake's log wealth changes with each value, `against` a margin and the range's upper end: shape
    (values, stakes).
    """
    margin, high = against
    return np.log1p(np.outer((margin - values) / (high - margin), stakes))


def _mixed(log_wealth: NDArray[np.float64]) -> float:
    """The log of the average wealth over the stakes (the last axis has them)."""
    top = float(log_wealth.max())
    return top + math.log(float(np.exp(log_wealth - top).mean()))


def _highest(sample: NDArray[np.float64], against: tuple[float, float], stakes: NDArray[np.float64]) -> float:
    """The highest log wealth on the way through the sample, its start (0) included."""
    highest, before = 0.0, np.zeros_like(stakes)
    for start in range(0, sample.size, _BLOCK):
        steps = _log_factors(sample[start : start + _BLOCK], against, stakes)
        wealth = before + np.cumsum(steps, axis=0)
        top = wealth.max(axis=1)
        mixed = top + np.log(np.exp(wealth - top[:, None]).mean(axis=1))
        highest, before = max(highest, float(mixed.max())), wealth[-1]
    return highest
