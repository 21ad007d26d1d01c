"""How good probabilities and confidences are: calibration, ranking, and what is gained by answering only the surest.

Every figure is independent of the order of the rows: equal scores move together, and where a cut falls among them, their
average counts. None says that a figure is not defined (no rows, or one class only).
"""

from __future__ import annotations

import math
from typing import Literal

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15  # Guo et al., "On calibration of modern neural networks", ICML 2017


class RiskCoverage(msgspec.Struct, frozen=True, kw_only=True):
    """The share of wrong answers among those given (`risks`) when only what is at least as sure as a threshold is
    answered, from the surest on; a point for every distinct confidence.
    """

    thresholds: tuple[float, ...]
    coverages: tuple[float, ...]
    risks: tuple[float, ...]


def brier(probabilities: ArrayLike, outcomes: ArrayLike) -> float | None:
    """Mean squared difference of the probability and what happened (0, 1 or a share): 0 is perfect."""
    predicted, actual = _pair(probabilities, outcomes)
    return float(np.mean((predicted - actual) ** 2)) if predicted.size else None


def ece(
    probabilities: ArrayLike,
    outcomes: ArrayLike,
    *,
    bins: int = BINS,
    spacing: Literal["mass", "width"] = "width",
) -> float | None:
    """Expected calibration error: mean |share that happened − mean probability| over bins, weighted by their rows.

    `width`: bins of equal width on [0, 1], closed above (Naeini et al., AAAI 2015). `mass`: of equally many
    rows, but equal probabilities stay together.
    """
    predicted, actual = _pair(probabilities, outcomes)
    if not predicted.size:
        return None
    if spacing == "width":
        place = np.ceil(predicted * bins).astype(int) - 1
    else:
        place = np.searchsorted(np.sort(predicted), predicted) * bins // predicted.size
    place = np.clip(place, 0, bins - 1)
    gaps = np.bincount(place, weights=actual - predicted, minlength=bins)
    return float(np.abs(gaps).sum() / predicted.size)


def auroc(scores: ArrayLike, positives: ArrayLike) -> float | None:
    """The probability that a random positive row scores higher than a random negative one; ties count half.

    By ranks (Hanley and McNeil, Radiology 143, 1982). None where one of the classes is empty.
    """
    values, flags = _pair(scores, positives)
    chosen = flags > 0
    high = int(chosen.sum())
    low = values.size - high
    if not high or not low:
        return None
    ordered = np.sort(values)
    ranks = (np.searchsorted(ordered, values) + np.searchsorted(ordered, values, side="right") + 1) / 2
    return float((ranks[chosen].sum() - high * (high + 1) / 2) / (high * low))


def risk_coverage(confidences: ArrayLike, correct: ArrayLike) -> RiskCoverage:
    """The risk–coverage curve (El-Yaniv and Wiener, JMLR 11, 2010). `correct` may be a score in [0, 1]."""
    thresholds, answered, errors = _surest_first(confidences, correct)
    return RiskCoverage(
        thresholds=tuple(thresholds.tolist()),
        coverages=tuple((answered / answered[-1]).tolist()) if answered.size else (),
        risks=tuple((errors / answered).tolist()),
    )


def accuracy_at(coverage: float, *, confidences: ArrayLike, correct: ArrayLike) -> float | None:
    """The accuracy on the surest ⌈coverage · n⌉ rows."""
    _, answered, errors = _surest_first(confidences, correct)
    if not answered.size:
        return None
    rows = max(1, math.ceil(coverage * answered[-1] - 1e-9))  # 0.07 · 100 is a little more than 7
    return float(1 - np.interp(rows, _from_zero(answered), _from_zero(errors)) / rows)


def aurc(confidences: ArrayLike, correct: ArrayLike) -> float | None:
    """The area under the risk–coverage curve: the mean risk of the surest k rows over k = 1 … n.

    Geifman, Uziel and El-Yaniv, ICLR 2019, https://arxiv.org/abs/1805.08206.
    """
    _, answered, errors = _surest_first(confidences, correct)
    if not answered.size:
        return None
    rows = np.arange(1, answered[-1] + 1)
    return float(np.mean(np.interp(rows, _from_zero(answered), _from_zero(errors)) / rows))


def _pair(one: ArrayLike, other: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    first, second = np.asarray(one, dtype=np.float64), np.asarray(other, dtype=np.float64)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"expected two arrays of one length, got shapes {first.shape} and {second.shape}")
    if np.isnan(first).any() or np.isnan(second).any():
        raise ValueError("expected numbers, got NaN")
    return first, second


def _surest_first(
    confidences: ArrayLike, correct: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Distinct confidences from the highest on, and how many rows and errors there are down to each."""
    sure, right = _pair(confidences, correct)
    thresholds, place, counts = np.unique(-sure, return_inverse=True, return_counts=True)
    errors = np.bincount(place, weights=1 - right, minlength=thresholds.size)
    return -thresholds, np.cumsum(counts), np.cumsum(errors, dtype=np.float64)


def _from_zero(sums: NDArray[np.int64] | NDArray[np.float64]) -> NDArray[np.float64]:
    return np.concatenate([[0.0], sums])
