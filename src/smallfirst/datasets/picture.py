"""A dataset as a picture: the balance of its labels by part, and the lengths of what was asked. Drawn by Vega-Lite, from sums alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smallfirst.datasets.example import SPLITS
from smallfirst.datasets.figures import chars_of
from smallfirst.datasets.manifest import Manifest
from smallfirst.drawing import GREY, INK, altair_for

_PALE = "#eef1f3"
_COLOURS = ("#0a7d5a", "#7fb8a4", "#c9922e")  # train, calibration, held-out
_NAMES = {"train": "train", "calibration": "calibration", "heldout": "held-out"}
_WIDTH, _ROW_HEIGHT, _LENGTHS_HEIGHT = 420, 18, 160
_MOST_LABELS = 80


def draw(path: Path, manifest: Manifest) -> None:
    """Writes it; the ending of `path`, `.png` or `.svg`, decides how. Raises `ConfigError` for another, or without the drawing library."""
    alt = altair_for(path)
    charts = [_labels(alt, manifest)] if any(part.labels for part in manifest.parts.values()) else []
    charts.append(_lengths(alt, manifest))
    told = ", ".join(f"{manifest.parts[part].rows:,} {_NAMES[part]}" for part in SPLITS)
    title = alt.TitleParams(
        manifest.task, subtitle=told, anchor="start", color=INK, subtitleColor=GREY, fontSize=15, offset=14
    )
    chart = alt.vconcat(*charts, spacing=30).properties(title=title, background="white", padding=16)
    chart = chart.configure_view(stroke=None).configure_axis(
        labelColor=GREY,
        titleColor=INK,
        titleFontWeight="normal",
        gridColor=_PALE,
        domain=False,
        ticks=False,
    )
    options: dict[str, Any] = {"ppi": 144} if path.suffix == ".png" else {}
    chart.save(str(path), **options)


def _labels(alt: Any, manifest: Manifest) -> Any:
    total: dict[str, int] = {}
    for part in manifest.parts.values():
        for label, count in part.labels.items():
            total[label] = total.get(label, 0) + count
    shown = sorted(total, key=lambda label: (-total[label], label))[:_MOST_LABELS]
    rows = [
        {
            "label": label,
            "part": _NAMES[part],
            "order": at,
            "examples": manifest.parts[part].labels.get(label, 0),
        }
        for label in shown
        for at, part in enumerate(SPLITS)
    ]
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar(height=_ROW_HEIGHT - 6)
        .encode(
            x=alt.X("examples:Q", title="Examples", stack=True),
            y=alt.Y("label:N", title=None, sort=shown),
            color=_colour(alt),
            order="order:Q",
        )
        .properties(width=_WIDTH, height=_ROW_HEIGHT * len(shown))
    )


def _lengths(alt: Any, manifest: Manifest) -> Any:
    rows = [
        {
            "chars": chars_of(int(bucket)),
            "part": _NAMES[part],
            "share": 100 * count / max(1, manifest.parts[part].rows),
        }
        for part in SPLITS
        for bucket, count in manifest.parts[part].lengths.histogram.items()
    ]
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_line(strokeWidth=2, interpolate="monotone", point={"size": 22})
        .encode(
            x=alt.X(
                "chars:Q",
                title="Characters asked",
                scale=alt.Scale(type="log", nice=False),
                axis=alt.Axis(tickCount=6),
            ),
            y=alt.Y("share:Q", title="Share of the part, %"),
            color=_colour(alt),
        )
        .properties(width=_WIDTH, height=_LENGTHS_HEIGHT)
    )


def _colour(alt: Any) -> Any:
    scale = alt.Scale(domain=list(_NAMES.values()), range=list(_COLOURS))
    return alt.Color("part:N", title=None, scale=scale)
