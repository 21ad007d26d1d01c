"""Exact tests and bounds for a share of failures: Clopper and Pearson's, and Wilson's interval for reports.

Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the case of the binomial",
Biometrika 26 (1934): the bound is the share at which so few (or so many) failures become as unlikely as 1 − confidence.
Wilson, "Probable inference, the law of succession, and statistical inference", JASA 22 (1927).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from smallfirst.statistics.betting import FAR


def p_value(failures: int, trials: int, *, margin: float) -> float:
    """The probability of at most so many failures if each trial fails with probability `margin`.

    So: how likely such a sample is, at most, if the true share of failures is at least `margin`.
    """
    _check(failures, trials)
    if not 0 < margin < 1:
        raise ValueError(f"margin: expected a number in (0, 1), got {margin:g}")
    return _at_most(_log_choices(failures, trials), trials, margin)


def upper_bound(failures: int, trials: int, *, confidence: float = 0.95) -> float:
    """The share of failures that the true one does not exceed, with this confidence (one-sided)."""
    _check(failures, trials)
    if failures == trials:
        return 1.0
    log_choices = _log_choices(failures, trials)
    return _root(lambda share: _at_most(log_choices, trials, share) - (1 - confidence))


def lower_bound(failures: int, trials: int, *, confidence: float = 0.95) -> float:
    """The share of failures that the true one does not fall below, with this confidence (one-sided)."""
    _check(failures, trials)
    return 1.0 - upper_bound(trials - failures, trials, confidence=confidence)


def examples_needed(failures: int, trials: int, *, margin: float, delta: float = 0.05) -> int | None:
    """How many examples in all would give a p-value of at most δ, were failures as frequent as in these.

    None where they are not rarer than the margin, or where `FAR` examples would not do.
    """
    _check(failures, trials)
    if not trials or failures >= margin * trials:
        return None

    def enough(examples: int) -> bool:
        return p_value(-(-failures * examples // trials), examples, margin=margin) <= delta

    above = 1
    while not enough(above):
        above *= 2
        if above > FAR:
            return None
    below = above // 2
    while above - below > 1:
        middle = (below + above) // 2
        below, above = (below, middle) if enough(middle) else (middle, above)
    return above


def wilson(successes: int, trials: int, *, confidence: float = 0.95) -> tuple[float, float]:
    """A two-sided interval for a share, for reports: close to its confidence on average, not guaranteed."""
    _check(successes, trials)
    if not trials:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, squared = successes / trials, z * z / trials
    centre = (share + squared / 2) / (1 + squared)
    half = z / (1 + squared) * math.sqrt(share * (1 - share) / trials + squared / (4 * trials))
    return max(0.0, centre - half), min(1.0, centre + half)


def _check(failures: int, trials: int) -> None:
    if not 0 <= failures <= trials:
        raise ValueError(f"expected 0 ≤ failures ≤ trials, got {failures} of {trials}")


def _log_choices(failures: int, trials: int) -> NDArray[np.float64]:
    """log C(trials, i) for i = 0 … failures."""
    i = np.arange(1, failures + 1, dtype=np.float64)
    return np.concatenate([[0.0], np.cumsum(np.log((trials - i + 1) / i))])


def _at_most(log_choices: NDArray[np.float64], trials: int, share: float) -> float:
    """P(failures ≤ len(log_choices) − 1), summed in logarithms."""
    i = np.arange(log_choices.size)
    terms = log_choices + i * math.log(share) + (trials - i) * math.log1p(-share)
    top = float(terms.max())
    return min(1.0, math.exp(top + math.log(float(np.exp(terms - top).sum()))))


def _root(falling: Callable[[float], float]) -> float:
    """Where a falling function of a share crosses zero, rounded up."""
    below, above = 0.0, 1.0
    for _ in range(60):
        middle = (below + above) / 2
        if middle in (below, above):
            break
        below, above = (middle, above) if falling(middle) > 0 else (below, middle)
    return above
