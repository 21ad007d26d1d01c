"""RouteLLM's own figures, to compare with published ones: APGR and CPT on eleven thresholds.

Definition: `routellm/evals/benchmarks.py` and `evaluate.py` of https://github.com/lm-sys/RouteLLM (Ong et al., ICLR 2025,
https://arxiv.org/abs/2406.18665). The thresholds are the edges of ten bins of equally many rows, as
`pandas.qcut` makes them. Known weakness: where the eleven points do not rise, interpolating the share over the
accuracy takes some crossing, not the first; `curve.full_curve` does better.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smallfirst.evals.curve import NO_GAP, rows_of

BINS = 10


class Binned(msgspec.Struct, frozen=True, kw_only=True):
    """Shares of calls to the frontier in percent, ascending, and the quality at each."""

    percents: tuple[float, ...]
    qualities: tuple[float, ...]
    small: float
    frontier: float

    @property
    def apgr(self) -> float | None:
        """Average performance gap recovered: 0 is the small model, 1 the frontier, .5 chance. None without a gap."""
        if self.frontier - self.small <= NO_GAP:
            return None
        shares = np.asarray(self.percents) / 100
        width = shares[-1] - shares[0]
        area = float(np.trapezoid(self.qualities, shares))
        return float((area - self.small * width) / ((self.frontier - self.small) * width))

    def cpt(self, part: float) -> float | None:
        """The percentage of calls to the frontier that recovers this part of the gap. None without a gap."""
        if self.frontier - self.small <= NO_GAP:
            return None
        wanted = part * (self.frontier - self.small) + self.small
        return float(np.interp(wanted, self.qualities, self.percents))


def binned(scores: ArrayLike, *, small: ArrayLike, frontier: ArrayLike) -> Binned:
    """The points at the edges of ten bins. Shapes and errors as in `curve.full_curve`.

    Edges that tie count once, as with `duplicates="drop"`. Where all scores are equal there are no bins, and the
    line from none to all stands in.
    """
    reasons, low, high = rows_of(scores, small=small, frontier=frontier)
    edges = bin_edges(reasons)
    chosen = [reasons >= edge for edge in edges[:-1]] + [reasons > edges[-1]]
    if len(edges) == 1:
        chosen = [reasons >= edges[0], *chosen]
    chosen.reverse()
    return Binned(
        percents=tuple(float(rows.mean() * 100) for rows in chosen),
        qualities=tuple(float(np.where(rows, high, low).mean()) for rows in chosen),
        small=float(low.mean()),
        frontier=float(high.mean()),
    )


def bin_edges(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """The distinct edges of `pandas.qcut(scores, 10, retbins=True, duplicates="drop")`, ascending, to the last bit."""
    parts = np.linspace(0, 1, BINS + 1)
    tenths = np.where(BINS * parts != np.arange(BINS + 1), np.nextafter(parts, 1), parts)  # as pandas does
    return np.unique(np.quantile(scores, tenths))
