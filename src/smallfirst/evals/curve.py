"""The cost–quality curve of a router: what quality each share of calls to the frontier buys."""

from __future__ import annotations

import csv
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

NO_GAP = 1e-12  # a difference of two mean scores that is rounding


class Curve(msgspec.Struct, frozen=True, kw_only=True):
    """Quality over the share of calls that go to the frontier, from none to all; straight between its points.

    `thresholds[i]` is the lowest score that goes to the frontier at point i (infinity at the first: none does).
    """

    shares: tuple[float, ...]
    qualities: tuple[float, ...]
    thresholds: tuple[float, ...]

    @property
    def area(self) -> float:
        """Mean quality over all shares."""
        return float(np.trapezoid(self.qualities, self.shares))

    def quality_at(self, share: float) -> float:
        return float(np.interp(share, self.shares, self.qualities))

    def share_for(self, quality: float) -> float | None:
        """The least share at which the quality is reached: the curve's first crossing. None where it never is."""
        reached = np.flatnonzero(np.asarray(self.qualities) >= quality)
        if not reached.size:
            return None
        i = int(reached[0])
        if i == 0:
            return self.shares[0]
        rise = self.qualities[i] - self.qualities[i - 1]
        part = (quality - self.qualities[i - 1]) / rise
        return self.shares[i - 1] + part * (self.shares[i] - self.shares[i - 1])


def full_curve(scores: ArrayLike, *, small: ArrayLike, frontier: ArrayLike) -> Curve:
    """The curve with a point for every distinct score: rows with equal scores go to the frontier together.

    `scores`, `small` and `frontier` have shape (n,): the reason to ask the frontier (higher: more), and the score of
    each one's answer. Raises ValueError where they are empty, differ in length or hold NaN.
    """
    reasons, low, high = rows_of(scores, small=small, frontier=frontier)
    steps, place, counts = np.unique(-reasons, return_inverse=True, return_counts=True)
    gains = np.cumsum(np.bincount(place, weights=high - low, minlength=steps.size))
    base, n = float(low.mean()), reasons.size
    return Curve(
        shares=(0.0, *(np.cumsum(counts) / n).tolist()),
        qualities=(base, *(base + gains / n).tolist()),
        thresholds=(float("inf"), *(-steps).tolist()),
    )


def rows_of(
    scores: ArrayLike, *, small: ArrayLike, frontier: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The three columns as arrays, checked."""
    columns = [np.asarray(column, dtype=np.float64) for column in (scores, small, frontier)]
    shapes = {column.shape for column in columns}
    if len(shapes) != 1 or columns[0].ndim != 1 or not columns[0].size:
        raise ValueError("expected three columns of the same length, with at least one row")
    if any(np.isnan(column).any() for column in columns):
        raise ValueError("expected numbers, got NaN")
    return columns[0], columns[1], columns[2]


def curve_csv(path: Path, curve: Curve) -> None:
    """Writes the curve's points as `frontier_share,quality,threshold`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("frontier_share", "quality", "threshold"))
        writer.writerows(zip(curve.shares, curve.qualities, curve.thresholds, strict=True))
