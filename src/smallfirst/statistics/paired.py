"""Means, quantiles and ratios with intervals, where rows come in groups that are not independent inside.

For people: these intervals are close to their confidence on average, not guaranteed. What decides is tested by betting
(`noninferiority`). Cluster-robust errors as Miller, "Adding error bars to evals" (2024), https://arxiv.org/abs/2411.00640, takes them;
for a mean, with Student's t at G − 1 degrees of freedom. Groups of one row each make them the ordinary t interval.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import NormalDist
from typing import Any

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smallfirst.errors import ConfigError

SCORES = (0.0, 1.0)
LOSSES = (-1.0, 1.0)
RESAMPLES = 2000
_CELLS = 4_000_000  # of the matrix of weights that is held at once: 32 MiB

Groups = Sequence[Any] | NDArray[Any] | None
"""One key a row; rows with one key are one group. None: each row is its own."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """`low` and `high` bound what is estimated, at `confidence`; None where there are too few groups to say (or no rows: then `mean` too)."""

    mean: float | None
    low: float | None
    high: float | None
    se: float | None = None
    rows: int = 0
    groups: int = 0
    confidence: float = 0.95


def mean(
    values: ArrayLike,
    *,
    groups: Groups = None,
    confidence: float = 0.95,
    bounds: tuple[float, float] | None = SCORES,
) -> Estimate:
    """The mean of shape-(n,) values with its cluster-robust t interval.

    `bounds` is the range that values cannot leave: neither does the interval. Rows that are all alike have no scatter to
    learn from, but something else may still happen: the interval then covers what Clopper and Pearson leave possible. None: no range is known.
    """
    sample = _numbers(values, "values")
    if bounds is not None and not np.all((sample >= bounds[0]) & (sample <= bounds[1])):
        raise ValueError(f"values: expected numbers in [{bounds[0]:g}, {bounds[1]:g}]")
    sums, sizes = group_sums(sample, groups)
    count = int(sizes.size)
    if not count:
        return Estimate(mean=None, low=None, high=None, confidence=confidence)
    centre = float(sample.mean())
    if count < 2:
        return Estimate(
            mean=centre, low=None, high=None, rows=sample.size, groups=count, confidence=confidence
        )
    residuals = sums - sizes * centre
    error = float(np.sqrt(count / (count - 1) * np.sum(residuals**2))) / sample.size
    low, high = _t_interval(centre, error, count, confidence)
    if bounds is not None:
        if np.ptp(sample) == 0:
            # The share of groups that would have been otherwise is at most this, with the confidence.
            unseen = 1 - ((1 - confidence) / 2) ** (1 / count)
            low, high = centre - unseen * (centre - bounds[0]), centre + unseen * (bounds[1] - centre)
        low, high = max(bounds[0], low), min(bounds[1], high)
    return Estimate(
        mean=centre, low=low, high=high, se=error, rows=sample.size, groups=count, confidence=confidence
    )


def mean_difference(
    one: ArrayLike, other: ArrayLike, *, groups: Groups = None, confidence: float = 0.95
) -> Estimate:
    """The mean of one − other over the same rows, both scores in [0, 1], with its interval."""
    first, second = _pair(one, other)
    return mean(first - second, groups=groups, confidence=confidence, bounds=LOSSES)


def ratio_of_means(
    one: ArrayLike,
    other: ArrayLike,
    *,
    groups: Groups = None,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """The mean of `one` over the mean of `other` on the same rows (say, costs), by a bootstrap over groups.

    None where the mean of `other` is not above zero. Percentile interval (Efron, 1979), seeded.
    """
    first, second = _pair(one, other)
    top, sizes = group_sums(first, groups)
    below, _ = group_sums(second, groups)
    count = int(sizes.size)
    if not count or below.sum() <= 0:
        return Estimate(mean=None, low=None, high=None, rows=first.size, groups=count, confidence=confidence)
    value = float(top.sum() / below.sum())
    if count < 2:
        return Estimate(mean=value, low=None, high=None, rows=first.size, groups=count, confidence=confidence)
    drawn = [weights @ np.stack([top, below], axis=1) for weights in _resampled(count, resamples, seed)]
    sums = np.concatenate(drawn)
    ratios = sums[:, 0][sums[:, 1] > 0] / sums[:, 1][sums[:, 1] > 0]
    low, high = _percentiles(ratios, confidence)
    return Estimate(
        mean=value,
        low=low,
        high=high,
        se=float(ratios.std()),
        rows=first.size,
        groups=count,
        confidence=confidence,
    )


def quantile(values: ArrayLike, share: float, *, confidence: float = 0.95) -> Estimate:
    """A quantile (share .95: the 95th percentile), with an interval between order statistics (David and Nagaraja, "Order Statistics", 7.1).

    For independent rows of any continuous distribution it covers at least as often as said; None at an end that so few rows do not reach.
    """
    stats = _scipy_stats()
    sample = np.sort(_numbers(values, "values"))
    rows = int(sample.size)
    if not rows:
        return Estimate(mean=None, low=None, high=None, confidence=confidence)
    tail = (1 - confidence) / 2
    law = stats.binom(rows, share)
    below = int(law.ppf(tail))  # the largest l with P(B < l) ≤ tail
    above = int(law.ppf(1 - tail)) + 1  # the least u with P(B ≥ u) ≤ tail
    return Estimate(
        mean=float(np.quantile(sample, share)),
        low=float(sample[below - 1]) if below >= 1 else None,
        high=float(sample[above - 1]) if above <= rows else None,
        rows=rows,
        groups=rows,
        confidence=confidence,
    )


def quantile_ratio(
    one: ArrayLike,
    other: ArrayLike,
    share: float,
    *,
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Estimate:
    """A quantile of `one` over the same quantile of `other` (latencies of the same rows), by a paired bootstrap, seeded."""
    first, second = _pair(one, other)
    rows = int(first.size)
    if not rows or np.quantile(second, share) <= 0:
        return Estimate(mean=None, low=None, high=None, rows=rows, groups=rows, confidence=confidence)
    value = float(np.quantile(first, share) / np.quantile(second, share))
    if rows < 2:
        return Estimate(mean=value, low=None, high=None, rows=rows, groups=rows, confidence=confidence)
    chance, ratios = np.random.default_rng(seed), []
    for start in range(0, resamples, step := max(1, _CELLS // rows)):
        drawn = chance.integers(0, rows, (min(step, resamples - start), rows))
        under = np.quantile(second[drawn], share, axis=1)
        over = np.quantile(first[drawn], share, axis=1)
        ratios.append(over[under > 0] / under[under > 0])
    found = np.concatenate(ratios)
    low, high = _percentiles(found, confidence)
    return Estimate(
        mean=value,
        low=low,
        high=high,
        se=float(found.std()),
        rows=rows,
        groups=rows,
        confidence=confidence,
    )


def group_sums(values: ArrayLike, groups: Groups = None) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """The sum of each group's values, and its number of rows, in the order of the groups' keys. An empty key is a group of its own."""
    sample = _numbers(values, "values")
    if groups is None:
        return sample, np.ones(sample.size, dtype=np.int64)
    if len(groups) != sample.size:
        raise ValueError(f"groups: expected one key for each of {sample.size} rows, got {len(groups)}")
    keys = [("", at) if key in ("", None) else (str(key), 0) for at, key in enumerate(groups)]
    numbers = {key: at for at, key in enumerate(sorted(set(keys)))}
    place = np.asarray([numbers[key] for key in keys], dtype=np.int64)
    sums, sizes = np.zeros(len(numbers)), np.zeros(len(numbers), dtype=np.int64)
    np.add.at(sums, place, sample)
    np.add.at(sizes, place, 1)
    return sums, sizes


def _t_interval(centre: float, error: float, count: int, confidence: float) -> tuple[float, float]:
    if count > 1000:  # where t is the normal to three digits, scipy need not be there
        width = NormalDist().inv_cdf(0.5 + confidence / 2)
    else:
        width = float(_scipy_stats().t.ppf(0.5 + confidence / 2, count - 1))
    return centre - width * error, centre + width * error


def _scipy_stats() -> Any:
    try:
        from scipy import stats
    except ImportError as error:
        raise ConfigError("intervals need: pip install 'smallfirst[learn]'") from error
    return stats


def _resampled(count: int, resamples: int, seed: int) -> list[NDArray[np.float64]]:
    """How often each group is drawn, in blocks of resamples: shapes (some, count)."""
    chance, step = np.random.default_rng(seed), max(1, _CELLS // count)
    shares = np.full(count, 1 / count)
    return [
        chance.multinomial(count, shares, size=min(step, resamples - start)).astype(np.float64)
        for start in range(0, resamples, step)
    ]


def _percentiles(found: NDArray[np.float64], confidence: float) -> tuple[float | None, float | None]:
    if not found.size:
        return None, None
    low, high = np.quantile(found, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


def _pair(one: ArrayLike, other: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = _numbers(one, "one"), _numbers(other, "other")
    if first.shape != second.shape:
        raise ValueError(f"expected two arrays of one length, got {first.size} and {second.size}")
    return first, second


def _numbers(values: ArrayLike, name: str) -> NDArray[np.float64]:
    sample = np.asarray(values, dtype=np.float64)
    if sample.ndim != 1:
        raise ValueError(f"{name}: expected one dimension, got {sample.ndim}")
    if not np.all(np.isfinite(sample)):
        raise ValueError(f"{name}: expected finite numbers")
    return sample
