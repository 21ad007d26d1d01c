"""The features as bars of calls a day, with what each costs a year and what to do with it: PNG or SVG, drawn by Vega-Lite."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smallfirst.drawing import GREY, INK, OURS, PALE, altair_for, axis, save_chart
from smallfirst.planning.assess.judging.assessment import Assessed, Report
from smallfirst.planning.assess.told import now, title_of

COLOURS = {"candidate": OURS, "prototype": "#c9922e", "frontier": GREY, "unknown": PALE}
_MOST_BARS = 20
_ROW_HEIGHT, _WIDTH = 30, 420
_NAME_CHARS = 44


def draw_features(path: Path, report: Report) -> None:
    """Writes it. Calls of the whole stream stand where calls a day are unknown. Raises `ConfigError` for another ending, or without the drawing
    library.
    """
    alt = altair_for(path)
    shown = report.features[:_MOST_BARS]
    daily = all(one.volume.calls_per_day is not None for one in shown)
    data = alt.InlineData(values=[_row(at, one, daily=daily) for at, one in enumerate(shown)])
    across = axis(alt, "Calls a day" if daily else "Calls", grid=True)
    names = alt.Axis(title=None, domain=False, ticks=False, labelColor=INK, labelLimit=320, labelPadding=8)
    base = alt.Chart(data).encode(y=alt.Y("name:N", sort=alt.SortField("order"), axis=names))
    most = max((row["calls"] for row in data.values), default=1.0) or 1.0
    bars = base.mark_bar(height=_ROW_HEIGHT * 0.6).encode(
        x=alt.X("calls:Q", axis=across, scale=alt.Scale(domain=[0, most * 1.6], nice=False)),
        color=alt.Color(
            "decision:N", scale=alt.Scale(domain=list(COLOURS), range=list(COLOURS.values())), legend=None
        ),
    )
    told = base.mark_text(align="left", dx=6, color=INK, fontSize=12).encode(x="calls:Q", text="told:N")
    chart = alt.layer(bars, told).properties(width=_WIDTH, height=max(1, len(shown)) * _ROW_HEIGHT)
    save_chart(alt, path, chart, title=title_of(report), sized=True)


def _row(at: int, one: Assessed, *, daily: bool) -> dict[str, Any]:
    calls = one.volume.calls_per_day if daily else one.calls
    name = one.name if len(one.name) <= _NAME_CHARS else one.name[: _NAME_CHARS - 1] + "…"
    year = now(one.money)
    cost = "" if year == "unknown" else f", {year} a year" + (" (simulated)" if one.money.simulated else "")
    return {
        "name": f"{at + 1}. {name}",
        "order": at,
        "calls": calls or 0.0,
        "decision": one.verdict.decision,
        "told": f"{one.verdict.words}{cost}",
    }
