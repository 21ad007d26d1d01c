"""Pictures of curves, as PNG or SVG: drawn by Vega-Lite, with no browser and nothing fetched."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from smallfirst.drawing import GREY, INK, OURS, PALE, altair_for, axis, save_chart
from smallfirst.evals.cost_quality import CostQuality
from smallfirst.statistics import RiskCoverage

if TYPE_CHECKING:
    import altair

_POINTS = 400  # drawn of a curve: more than its pixels can tell apart

# Curves rise: left above them and right below them is room.
_ABOVE = {"align": "right", "dx": -7, "dy": -9}
_BELOW = {"align": "left", "dx": 9, "dy": 12}
_BESIDE = {"align": "left", "dx": 10}

Mark = tuple[float, float, str]  # x, y, what is written beside it


def draw_cost_quality(
    path: Path, figures: CostQuality, *, title: str = "", operating: tuple[float, float] | None = None
) -> None:
    """Writes quality over the share of calls to the frontier: the router, chance and the oracle.

    `operating` is the share (0 … 1) and the quality at which the quality bound runs the router. The ending of `path`,
    `.png` or `.svg`, decides. Raises ConfigError where the drawing library is not installed, or for another ending.
    """
    alt = altair_for(path)
    grid = np.linspace(0, 1, _POINTS + 1)
    low, high = figures.small_quality, figures.frontier_quality
    router = np.interp(grid, figures.curve.shares, figures.curve.qualities)
    oracle = np.interp(grid, figures.oracle.shares, figures.oracle.qualities)
    crowded = operating is not None and 0.4 < operating[0] < 0.75
    spot = 0.25 if crowded else 0.55
    layers = [
        _line(alt, [0, 100], [low, high], colour=PALE, dashed=True),
        _line(alt, 100 * grid, oracle, colour=PALE),
        _line(alt, 100 * grid, router, colour=OURS),
        *_label(alt, (36, low + 0.36 * (high - low), "random"), _BELOW, colour=GREY),
        *_label(alt, (55, float(np.interp(0.55, grid, oracle)), "oracle"), _ABOVE, colour=GREY),
        *_label(alt, (100 * spot, float(np.interp(spot, grid, router)), "router"), _ABOVE, colour=OURS),
        *_point(alt, (0, low, "small alone"), _BELOW, colour=INK),
        *_point(alt, (100, high, "frontier alone"), _BESIDE, colour=INK),
    ]
    if operating is not None:
        layers += _point(alt, (100 * operating[0], operating[1], "quality bound"), _BELOW, colour=OURS)
    _save(alt, path, layers, ("Calls to the frontier, %", "Quality (mean score)", title))


def draw_risk_coverage(path: Path, curve: RiskCoverage, *, title: str = "") -> None:
    """Writes the share of wrong answers over the share of calls answered, surest first. Errors as above."""
    alt = altair_for(path)
    coverages, risks = np.asarray(curve.coverages), np.asarray(curve.risks)
    drawn = np.unique(np.linspace(0, coverages.size - 1, min(coverages.size, 3 * _POINTS)).astype(int))
    layers = [_line(alt, 100 * coverages[drawn], 100 * risks[drawn], colour=OURS)]
    for part in (0.8, 0.9, 1.0):
        if coverages.size and part >= coverages[0]:
            risk = 100 * float(np.interp(part, coverages, risks))
            layers += _point(
                alt, (100 * part, risk, f"{risk:.1f} % at {100 * part:.0f} %"), _ABOVE, colour=OURS
            )
    _save(alt, path, layers, ("Calls answered, surest first, %", "Wrong among them, %", title))


def _line(alt: Any, x: Any, y: Any, *, colour: str, dashed: bool = False) -> altair.Chart:
    rows = [{"x": float(a), "y": float(b)} for a, b in zip(x, y, strict=True)]
    width = 2.5 if colour == OURS else 1.5
    mark = alt.Chart(alt.InlineData(values=rows)).mark_line(
        color=colour, strokeWidth=width, strokeDash=[5, 4] if dashed else [1, 0]
    )
    return mark.encode(x="x:Q", y="y:Q")


def _point(alt: Any, mark: Mark, place: dict[str, Any], *, colour: str) -> list[altair.Chart]:
    rows = alt.InlineData(values=[{"x": mark[0], "y": mark[1]}])
    point = alt.Chart(rows).mark_point(filled=True, size=75, color=colour, opacity=1, stroke="white")
    return [point.encode(x="x:Q", y="y:Q"), *_label(alt, mark, place, colour=colour)]


def _label(alt: Any, mark: Mark, place: dict[str, Any], *, colour: str) -> list[altair.Chart]:
    """Text beside a point, on a white seam that keeps it readable across a line."""
    rows = alt.InlineData(values=[dict(zip(("x", "y", "name"), mark, strict=True))])
    return [
        alt.Chart(rows).mark_text(fontSize=12.5, **place, **look).encode(x="x:Q", y="y:Q", text="name:N")
        for look in ({"stroke": "white", "strokeWidth": 4, "color": "white"}, {"color": colour})
    ]


def _save(alt: Any, path: Path, layers: list[altair.Chart], words: tuple[str, str, str]) -> None:
    across, up, title = words
    x = alt.X("x:Q", axis=axis(alt, across, grid=False), scale=alt.Scale(domain=[0, 100]))
    y = alt.Y("y:Q", axis=axis(alt, up, grid=True), scale=alt.Scale(zero=False, nice=True))
    save_chart(alt, path, alt.layer(*layers).encode(x=x, y=y), title=title)
