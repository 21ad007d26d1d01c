"""How a run went: loss and score over its steps, as PNG or SVG, drawn by Vega-Lite; or the figures themselves as JSON."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from smallfirst.drawing import GREY, INK, OURS, PALE, altair_for, axis, save_chart
from smallfirst.durable import write_whole
from smallfirst.errors import ConfigError

_HEIGHT, _WIDTH = 170, 520
_POINTS = 20  # from so many on, a line's points are not marked
_NEAREST = 0.11  # of the height: what two lines of text need


class Line(NamedTuple):
    field: str
    label: str
    colour: str
    ink: str
    width: float


_LOSSES = (
    Line("loss", "train", PALE, GREY, 1.5),
    Line("calibration_loss", "calibration", INK, INK, 2.0),
)
_SHARES = (Line("score", "score", OURS, OURS, 2.5), Line("valid", "fit the contract", PALE, GREY, 1.5))


def check_ending(path: Path) -> None:
    """Raises `ConfigError` where a picture of that name could not be written, before there is anything to draw."""
    if path.suffix != ".json":
        altair_for(path)


def draw_training(path: Path, curves: Sequence[Mapping[str, float]], *, title: str = "") -> None:
    """Writes the losses, and below them score and validity where they were measured. `curves` are `Made.curves`.

    The ending decides: `.png`, `.svg`, or `.json`. Raises `ConfigError` where the drawing library is not installed, for another ending, or
    where nothing was measured.
    """
    if not any("step" in point for point in curves):
        raise ConfigError("no curve was kept of this run: there is nothing to draw")
    if path.suffix == ".json":
        write_whole(path, msgspec.json.format(msgspec.json.encode(list(curves)), indent=2))
        return
    alt = altair_for(path)
    parts = [_panel(alt, curves, _LOSSES, "Loss, nats a token")]
    if any("score" in point or "valid" in point for point in curves):
        parts.append(_panel(alt, curves, _SHARES, "Share of calibration"))
    save_chart(alt, path, alt.vconcat(*parts, spacing=24), title=title, sized=True)


def _panel(alt: Any, curves: Sequence[Mapping[str, float]], lines: Sequence[Line], name: str) -> Any:
    drawn = [
        (line, rows)
        for line in lines
        if (rows := [{"x": one["step"], "y": one[line.field]} for one in curves if line.field in one])
    ]
    layers = []
    for line, rows in drawn:
        point = {"color": line.colour, "size": 30} if len(rows) < _POINTS else False
        layers.append(
            _plot(alt, rows, name).mark_line(color=line.colour, strokeWidth=line.width, point=point)
        )
    most = max(row["y"] for _, rows in drawn for row in rows) or 1.0
    places = _apart([rows[-1]["y"] for _, rows in drawn], _NEAREST * most)
    for (line, rows), y in zip(drawn, places, strict=True):
        beside = _plot(alt, [{"x": rows[-1]["x"], "y": y}], name)
        layers.append(
            beside.mark_text(align="left", dx=9, fontSize=12.5, color=line.ink, clip=False).encode(
                text=alt.value(line.label)
            )
        )
    return alt.layer(*layers).properties(width=_WIDTH, height=_HEIGHT)


def _plot(alt: Any, rows: list[dict[str, float]], name: str) -> Any:
    return alt.Chart(alt.InlineData(values=rows)).encode(x=_across(alt), y=_up(alt, name))


def _apart(heights: list[float], least: float) -> list[float]:
    """The heights of labels, none nearer to another than that: in their order, upwards."""
    placed = list(heights)
    for before, at in itertools.pairwise(sorted(range(len(heights)), key=lambda at: heights[at])):
        placed[at] = max(placed[at], placed[before] + least)
    return placed


def _across(alt: Any) -> Any:
    return alt.X("x:Q", axis=axis(alt, "Step", grid=False), scale=alt.Scale(nice=False))


def _up(alt: Any, name: str) -> Any:
    return alt.Y("y:Q", axis=axis(alt, name, grid=True), scale=alt.Scale(zero=True, nice=True))
