"""A judge's scores, corrected by what people said of some of them: prediction-powered inference.

Angelopoulos, Bates, Fannjiang, Jordan and Zrnic (2023), with the power tuning of Angelopoulos, Duchi and Zrnic (PPI++, 2023), as ppi-python
computes it. However biased the judge is, the interval covers the mean that people would have given; a good judge makes it narrower, a
useless one leaves it as wide as the labels alone would.

Where nearly all answers are right, or judge and people hardly ever differ, few rows decide, and the library's normal interval covers too
little. Ours is moved by the first term of the studentized mean's Edgeworth expansion (Hall, 1992), and takes its quantiles from Student's t
with as many degrees of freedom as the variance is sure (Satterthwaite, 1946, with the sample's kurtosis). Where labels and judge differ by the
same in every row (mostly: never) the variance says nothing, and the bound is that of what n rows may have missed: with confidence 1 − α
at most 1 − α^(1/n) of the rows are otherwise, by as much as can be.

All of this holds where the labelled answers are a random sample of the same answers as the others: labels of another model's answers, or
of those that looked wrong, correct nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smallfirst.errors import ScorerError
from smallfirst.scoring.needed import needed

MIN_LABELS = 50  # below it the interval does not cover what it says
ENOUGH_LABELS = 300
_ALIKE = 1e-9
_BY = "a judge's correction"


class Corrected(msgspec.Struct, frozen=True, kw_only=True):
    """A mean with its interval. `power` in [0, 1] is how much the judge's scores counted: 0, not at all; `skewness` is that of the mean."""

    value: float
    low: float
    high: float
    se: float
    confidence: float
    labels: int
    unlabelled: int
    power: float
    skewness: float
    freedom: float  # degrees of freedom of the interval
    uncorrected: float  # what the judge alone says, over the unlabelled scores
    unseen: tuple[float, float] = (0.0, 0.0)  # how far below and above a row may lie that no label has shown
    warning: str = ""

    def upper(self, alpha: float) -> float:
        """The one-sided upper bound at confidence 1 − `alpha`."""
        return self.value + self.se * self._reach(alpha, self.skewness) + self._missed(alpha) * self.unseen[1]

    def lower(self, alpha: float) -> float:
        """The one-sided lower bound at confidence 1 − `alpha`."""
        return (
            self.value - self.se * self._reach(alpha, -self.skewness) - self._missed(alpha) * self.unseen[0]
        )

    def _missed(self, alpha: float) -> float:
        return 1 - alpha ** (1 / self.labels)

    def _reach(self, alpha: float, skewness: float) -> float:
        """How many standard errors the bound lies above the value."""
        z = NormalDist().inv_cdf(1 - alpha)
        t = float(needed("scipy.stats", by=_BY).t.ppf(1 - alpha, self.freedom))
        return t + skewness * (2 * z * z + 1) / 6


def corrected_mean(
    human: ArrayLike, judge: ArrayLike, unlabelled: ArrayLike, *, confidence: float = 0.95
) -> Corrected:
    """The mean score people would give.

    `human` and `judge`: n scores in [0, 1] of the same answers; `unlabelled`: the judge's scores of N other answers of the same kind. Raises
    `ScorerError` for fewer than 50 labels, without unlabelled scores, or where numbers do not fit.
    """
    return _corrected(human, judge, unlabelled, low=0.0, confidence=confidence)


def corrected_difference(
    human: ArrayLike, judge: ArrayLike, unlabelled: ArrayLike, *, confidence: float = 0.95
) -> Corrected:
    """The mean paired difference people would give: score(A) − score(B) of the same example, in [−1, 1].

    `human` and `judge`: n differences of the same examples; `unlabelled`: the judge's differences on N others. Errors as `corrected_mean`.
    """
    return _corrected(human, judge, unlabelled, low=-1.0, confidence=confidence)


def rogan_gladen(
    human: Sequence[bool] | NDArray[np.bool_],
    judge: Sequence[bool] | NDArray[np.bool_],
    unlabelled: Sequence[bool] | NDArray[np.bool_],
    *,
    confidence: float = 0.95,
) -> tuple[float, float, float]:
    """The share of right answers behind a judge that says yes or no: value, low, high, by its sensitivity and specificity (Rogan and Gladen,
    1978; delta-method interval). A second opinion on `corrected_mean`; NaN where the judge says nothing (sensitivity + specificity = 1).
    """
    truth, said = np.asarray(human, dtype=bool), np.asarray(judge, dtype=bool)
    positive, negative = int(truth.sum()), int((~truth).sum())
    if not positive or not negative or not len(unlabelled):
        return math.nan, math.nan, math.nan
    sensitivity, specificity = float(said[truth].mean()), float((~said[~truth]).mean())
    seen = float(np.mean(unlabelled))
    informed = sensitivity + specificity - 1
    if abs(informed) < 1e-9:
        return math.nan, math.nan, math.nan
    value = (seen + specificity - 1) / informed
    variance = (
        seen * (1 - seen) / len(unlabelled)
        + value**2 * sensitivity * (1 - sensitivity) / positive
        + (1 - value) ** 2 * specificity * (1 - specificity) / negative
    ) / informed**2
    half = NormalDist().inv_cdf((1 + confidence) / 2) * math.sqrt(variance)
    return value, value - half, value + half


def _corrected(
    human: ArrayLike, judge: ArrayLike, unlabelled: ArrayLike, *, low: float, confidence: float
) -> Corrected:
    truth = _scores(human, "people's scores", low)
    said = _scores(judge, "the judge's scores", low)
    others = _scores(unlabelled, "the unlabelled scores", low)
    _check(len(truth), len(said), len(others))
    power = _power(truth, said, others)
    ppi = needed("ppi_py", by=_BY)
    value = float(np.squeeze(ppi.ppi_mean_pointestimate(truth, said, others, lam=power)))
    apart = truth - power * said
    parts = _Part.of(apart, fitted=2), _Part.of(power * others, fitted=1)
    se = math.sqrt(sum(part.variance for part in parts))
    few = f"{len(truth)} labels: from {ENOUGH_LABELS} on intervals cover what they say"
    found = Corrected(
        value=value,
        low=value,
        high=value,
        se=se,
        confidence=confidence,
        labels=len(truth),
        unlabelled=len(others),
        power=power,
        skewness=_skewness(parts, se),
        freedom=_freedom(parts),
        uncorrected=float(others.mean()),
        unseen=_unseen(apart, power, low),
        warning=few if len(truth) < ENOUGH_LABELS else "",
    )
    alpha = (1 - confidence) / 2
    return msgspec.structs.replace(
        found,
        low=min(1.0, max(low, found.lower(alpha))),
        high=min(1.0, max(low, found.upper(alpha))),
    )


def _power(truth: NDArray[np.float64], said: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The weight of the judge's scores that makes the interval narrowest (PPI++, example 6.1), in [0, 1]; 0 where they never differ."""
    variance = float(np.var(np.concatenate([said, others]), ddof=1))
    if not variance:
        return 0.0
    covariance = float(np.cov(truth, said, ddof=0)[0, 1])
    return min(1.0, max(0.0, covariance / (1 + len(truth) / len(others)) / variance))


class _Part(NamedTuple):
    """One of the two means that the value is the sum of: its variance, its third moment, and the variance of its variance."""

    variance: float
    third: float
    variance_of_variance: float

    @classmethod
    def of(cls, values: NDArray[np.float64], *, fitted: int) -> _Part:
        count, apart = len(values), values - values.mean()
        second, third, fourth = (float(np.mean(apart**power)) for power in (2, 3, 4))
        variance = second / max(count - fitted, 1)
        return cls(variance, third / count**2, (fourth - second**2) / count**3)


def _skewness(parts: Sequence[_Part], se: float) -> float:
    """Of the sum of the two means. Held to [−1, 1], beyond which one term of the expansion is no help."""
    return min(1.0, max(-1.0, sum(part.third for part in parts) / se**3)) if se else 0.0


def _freedom(parts: Sequence[_Part]) -> float:
    """At least 3, below which quantiles run away; infinite where the variance is known for sure."""
    unsure = sum(part.variance_of_variance for part in parts)
    return max(3.0, 2 * sum(part.variance for part in parts) ** 2 / unsure) if unsure > 0 else math.inf


def _unseen(apart: NDArray[np.float64], power: float, low: float) -> tuple[float, float]:
    """How far below and above all rows another may lie, where all are alike; nothing where the sample shows its own scatter."""
    if np.ptp(apart) > _ALIKE:
        return 0.0, 0.0
    return float(apart[0]) - (low - power), 1 - power * low - float(apart[0])


def _check(labels: int, judged: int, others: int) -> None:
    if labels != judged:
        raise ScorerError(
            f"there are {labels} scores by people and {judged} by the judge of the same answers"
        )
    if labels < MIN_LABELS:
        raise ScorerError(
            f"a judge is corrected by {MIN_LABELS} labelled answers at least, better {ENOUGH_LABELS}, and there are {labels}: "
            "`smallfirst judge measure` takes more"
        )
    if not others:
        raise ScorerError("there are no unlabelled scores to correct")


def _scores(values: ArrayLike, name: str, low: float) -> NDArray[np.float64]:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1 or not np.isfinite(scores).all() or (scores < low).any() or (scores > 1).any():
        raise ScorerError(f"{name}: expected numbers in [{low:g}, 1]")
    return scores
