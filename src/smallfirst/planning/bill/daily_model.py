"""What the coming days will add up to, from the days before: with a band that holds what it promises.

A day's sum is a level for its weekday (from two weeks on; one level for all before) and an error that is correlated
with that of the day before: y = Xβ + e, corr(eᵢ, eⱼ) = ρ^|i−j|. The sum of coming days is predicted by the best linear
unbiased predictor (Goldberger, JASA 57, 1962), whose variance carries all three: the scatter of the days to come, their
correlation with one another and with the days that are known, and that the levels are only estimated. ρ is not plugged
in: predictions are averaged over a grid of it, weighted by their restricted likelihood (Harville, JASA 69, 1974), so
that a series which wanders gets a wider band than one which only scatters. From two weeks on the same is done with a
straight line of growth beside the levels, and both are averaged by how well they explain the days, the line's further
parameter weighed by the Bayesian information criterion (Schwarz, Annals of Statistics 6, 1978).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

LEAST_DAYS = 7
WEEKDAYS_FROM_DAYS = 14
CONFIDENCE = 0.8
_POINTS = 100
_RHOS = tuple(step / 20 for step in range(20))
_Array = NDArray[np.float64]


class Band(NamedTuple):
    """An expected sum, and between what it lies with the band's confidence."""

    mean: float
    low: float
    high: float


class _Fit(NamedTuple):
    """Under one ρ: the logs of its likelihood and of its restricted one, the means of the cumulated sums, their
    variances, and how many degrees of freedom are left.
    """

    likelihood: float
    restricted: float
    means: _Array
    variances: _Array
    degrees: int


def has_weekdays(days: int) -> bool:
    """Whether so many days are enough to tell the weekdays apart."""
    return days >= WEEKDAYS_FROM_DAYS


def cumulated(
    spent: Sequence[float], first_weekday: int, shares: Sequence[float], *, confidence: float = CONFIDENCE
) -> list[Band]:
    """For each coming day, what it and those before it will add up to.

    `spent` are the known days in their order, the first of them on `first_weekday` (0 to 6); the coming ones follow at
    once, and of each its share counts: of a day that is half over, half. Raises ValueError under `LEAST_DAYS` days.
    """
    known, coming = len(spent), len(shares)
    if known < LEAST_DAYS:
        raise ValueError(f"expected at least {LEAST_DAYS} days, got {known}")
    if not coming:
        return []
    y = np.asarray(spent, dtype=np.float64)
    scale = float(np.abs(y).max()) or 1.0
    cumulate = np.tril(np.ones((coming, coming))) * np.asarray(shares)
    fits: list[_Fit] = []
    weights: list[float] = []
    for design in _designs(first_weekday, known, coming):
        under = [_fit(y / scale, design, cumulate, rho) for rho in _RHOS]
        evidence = max(fit.likelihood for fit in under) - 0.5 * design.shape[1] * math.log(known)
        fits += under
        weights += [evidence + math.log(share) for share in _shares([fit.restricted for fit in under])]
    weight = np.array(_shares(weights))
    drawn = np.array([_quantiles(fit) for fit in fits])  # model, probability, day
    tail = (1 - confidence) / 2
    return [
        Band(float(weight @ drawn[:, :, day].mean(axis=1)) * scale, low * scale, high * scale)
        for day in range(coming)
        for low, high in [_between(drawn[:, :, day], weight, tail)]
    ]


def _quantiles(fit: _Fit) -> _Array:
    """Student's distribution around the means, as equally probable values: shape (probabilities, days)."""
    probabilities = (np.arange(_POINTS) + 0.5) / _POINTS
    points = np.array([_student(float(p), fit.degrees) for p in probabilities])
    return fit.means + points[:, None] * np.sqrt(np.maximum(fit.variances, 0.0))


def _between(drawn: _Array, weights: _Array, tail: float) -> tuple[float, float]:
    """What leaves `tail` of the mixture below it, and above it."""
    values = drawn.ravel()
    order = np.argsort(values)
    share = np.cumsum(np.repeat(weights / drawn.shape[1], drawn.shape[1])[order])
    low, high = np.interp([tail, 1 - tail], share, values[order])
    return float(low), float(high)


def _designs(first_weekday: int, known: int, coming: int) -> list[_Array]:
    """A column for each weekday, or one for all; a row for each day. From two weeks on also with growth, a straight line."""
    if not has_weekdays(known):
        return [np.ones((known + coming, 1))]
    days = np.arange(known + coming)
    weekdays = np.eye(7)[(first_weekday + days) % 7]
    return [weekdays, np.column_stack([weekdays, (days - known) / known])]


def _fit(y: _Array, design: _Array, cumulate: _Array, rho: float) -> _Fit:
    n, days = len(y), np.arange(len(design))
    correlation = rho ** np.abs(days[:, None] - days[None, :]).astype(np.float64)
    among, across = correlation[:n, :n], correlation[n:, :n]
    x, ahead = design[:n], design[n:]
    solved = np.linalg.solve(among, np.column_stack([x, y, across.T]))
    columns = x.shape[1]
    vx, vy, vc = solved[:, :columns], solved[:, columns], solved[:, columns + 1 :]
    information = x.T @ vx
    beta = np.linalg.solve(information, x.T @ vy)
    residual = y - x @ beta
    squares = max(float(residual @ (vy - vx @ beta)), 1e-18 * n)
    sigma2 = squares / (n - columns)
    unknown = ahead - across @ vx
    covariance = correlation[n:, n:] - across @ vc + unknown @ np.linalg.solve(information, unknown.T)
    means = cumulate @ (ahead @ beta + across @ (vy - vx @ beta))
    variances = sigma2 * np.einsum("ij,jk,ik->i", cumulate, covariance, cumulate)
    spread = float(np.linalg.slogdet(among)[1])
    restricted = spread + float(np.linalg.slogdet(information)[1]) + (n - columns) * math.log(squares)
    return _Fit(-0.5 * (spread + n * math.log(squares)), -0.5 * restricted, means, variances, n - columns)


def _shares(logs: Sequence[float]) -> list[float]:
    """Weights that add up to 1, from their logs; none is quite 0."""
    weights = [math.exp(max(log - max(logs), -600.0)) for log in logs]
    return [weight / sum(weights) for weight in weights]


def _student(probability: float, degrees: int) -> float:
    """Student's quantile by Cornish and Fisher's expansion, good to 0.01 between 5 and 95 percent from 6 degrees of
    freedom on.
    """
    z = NormalDist().inv_cdf(probability)
    return z + (z**3 + z) / (4 * degrees) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees * degrees)
