"""Wrong hits over hits, a line for each kind of cache: PNG or SVG, drawn by Vega-Lite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smallfirst.drawing import GREY, INK, OURS, PALE, altair_for, axis, save_chart
from smallfirst.evals.cache.decision import Figures

_LOOKS = {"fixed": (GREY, "fixed cosine"), "vcache": (INK, "vCache's rule"), "ours": (OURS, "smallfirst")}
_NAME = {"align": "left", "dx": 9, "dy": -11, "fontSize": 12.5}
_ABOVE = {"align": "right", "dx": -7, "dy": -8, "fontSize": 11}
_BELOW = {"align": "left", "dx": 7, "dy": 12, "fontSize": 11}
_EXACT = {"align": "left", "dx": 5, "dy": -13, "fontSize": 11}
_ROOM = 1.35  # above the largest promise


def draw_cache(path: Path, found: Sequence[Figures], *, title: str = "") -> None:
    """Writes the picture: shares of requests in per cent, whiskers where a promise was made, a dashed line for each promise.

    What is wrong far more often than any promise lies outside. Raises `ConfigError` where the drawing library is not installed, or for
    another ending than `.png` or `.svg`.
    """
    alt = altair_for(path)
    deltas = sorted({one.delta for one in found if one.delta is not None})
    top = 100 * (_ROOM * deltas[-1] if deltas else max((one.wrong_rate for one in found), default=0.0) or 1.0)
    rows = [_row(one) for one in found if 100 * one.wrong_rate <= top]
    right = max([*(row["x"] for row in rows), 1.0])
    layers = [layer for delta in deltas for layer in _promise(alt, 100 * delta, right)]
    for method, (colour, name) in _LOOKS.items():
        told = sorted((row for row in rows if row["method"] == method), key=lambda row: row["x"])
        if told:
            layers += _line(alt, told, colour, name)
    exact = [row for row in rows if row["method"] == "exact"]
    layers += _points(alt, exact, GREY)
    x = alt.X(
        "x:Q", axis=axis(alt, "Hits, % of requests", grid=False), scale=alt.Scale(domain=[0, right * 1.12])
    )
    y = alt.Y(
        "y:Q",
        axis=axis(alt, "Wrong hits, % of requests", grid=True),
        scale=alt.Scale(domain=[0, top], clamp=True),
    )
    save_chart(alt, path, alt.layer(*layers).encode(x=x, y=y), title=title)


def _row(one: Figures) -> dict[str, Any]:
    setting = one.delta if one.delta is not None else one.threshold
    return {
        "method": one.method,
        "x": 100 * one.hit_rate,
        "y": 100 * one.wrong_rate,
        "low": 100 * one.wrong_rate_low,
        "high": 100 * one.wrong_rate_high,
        "name": "exact only"
        if setting is None
        else f"δ {setting:g}"
        if one.delta is not None
        else f"{setting:.2f}",
    }


def _promise(alt: Any, delta: float, right: float) -> list[Any]:
    rows = alt.InlineData(values=[{"x": 0.0, "y": delta}, {"x": right * 1.12, "y": delta}])
    line = alt.Chart(rows).mark_line(color=PALE, strokeWidth=1.2, strokeDash=[5, 4]).encode(x="x:Q", y="y:Q")
    end = alt.Chart(alt.InlineData(values=[{"x": right * 1.12, "y": delta, "name": f"δ = {delta:g} %"}]))
    name = end.mark_text(align="left", dx=6, baseline="middle", fontSize=11, color=GREY)
    return [line, name.encode(x="x:Q", y="y:Q", text="name:N")]


def _line(alt: Any, rows: list[dict[str, Any]], colour: str, name: str) -> list[Any]:
    data = alt.InlineData(values=rows)
    layers = [
        alt.Chart(data)
        .mark_line(color=colour, strokeWidth=2.5 if colour == OURS else 1.5)
        .encode(x="x:Q", y="y:Q")
    ]
    if colour != GREY:
        layers.append(
            alt.Chart(data).mark_rule(color=colour, clip=True).encode(x="x:Q", y="low:Q", y2="high:Q")
        )
    last = rows[-1] | {"name": name}
    return [*layers, *_points(alt, rows, colour), *_label(alt, last, colour, _NAME)]


def _points(alt: Any, rows: list[dict[str, Any]], colour: str) -> list[Any]:
    if not rows:
        return []
    size = 28 if colour == GREY else 75
    mark = alt.Chart(alt.InlineData(values=rows)).mark_point(
        filled=True, size=size, color=colour, opacity=1, stroke="white"
    )
    named = rows if colour != GREY else [row for row in rows if row["method"] == "exact"]
    place = _ABOVE if colour == OURS else _BELOW if colour == INK else _EXACT
    labels = (one for row in named for one in _label(alt, row, colour, place))
    return [mark.encode(x="x:Q", y="y:Q"), *labels]


def _label(alt: Any, row: dict[str, Any], colour: str, place: dict[str, Any]) -> list[Any]:
    """Text beside a point, on a white seam that keeps it readable across a line."""
    data = alt.InlineData(values=[row])
    return [
        alt.Chart(data).mark_text(**place, **look).encode(x="x:Q", y="y:Q", text="name:N")
        for look in ({"stroke": "white", "strokeWidth": 4, "color": "white"}, {"color": colour})
    ]
