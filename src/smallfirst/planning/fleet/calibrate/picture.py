"""A calibration's picture: offered rate against what clients wait for and what the endpoint gives, measured and as the fitted model says."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from smallfirst.drawing import GREY, INK, OURS, altair_for, axis, save_chart
from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.calibrate.fit import Fit

_WAITS = (("half", "ttft_p50_ms"), ("95 of 100", "ttft_p95_ms"))
_RATE = "requests a second, offered"


def draw_calibration(path: Path, fit: Fit, *, title: str) -> None:
    """Writes it. Raises `ConfigError` where the drawing library is not installed, or for another ending than `.png` or `.svg`."""
    alt = altair_for(path)
    if not fit.compared:
        raise ConfigError("no rate was measured: there is nothing to draw")
    waits, tokens = _waits(fit), _tokens(fit)
    colours = alt.Color(
        "of:N",
        scale=alt.Scale(domain=["half", "95 of 100"], range=[OURS, INK]),
        legend=alt.Legend(title="of requests", labelColor=INK, titleColor=GREY),
    )
    first = _panel(
        alt,
        waits,
        "milliseconds to the first token",
        colours,
        scale=alt.Scale(type="log", nice=False, padding=12),
    )
    second = _panel(alt, tokens, "output tokens a second", alt.value(OURS), scale=alt.Scale(zero=True))
    chart = alt.hconcat(
        first.properties(width=400, height=320), second.properties(width=400, height=320), spacing=30
    )
    save_chart(alt, path, chart, title=f"{title}: points are measured, lines the fitted model", sized=True)


def _waits(fit: Fit) -> list[dict[str, Any]]:
    return [
        {
            "rate": each.rate_per_s,
            "of": of,
            "measured": getattr(each.measured, name),
            "model": getattr(each.predicted, name),
        }
        for each in fit.compared
        for of, name in _WAITS
    ]


def _tokens(fit: Fit) -> list[dict[str, Any]]:
    return [
        {
            "rate": each.rate_per_s,
            "of": "tokens",
            "measured": each.measured.output_tokens_per_s,
            "model": each.predicted.output_tokens_per_s,
        }
        for each in fit.compared
    ]


def _panel(alt: Any, rows: list[dict[str, Any]], title: str, colour: Any, *, scale: Any) -> Any:
    kept = [
        row
        for row in rows
        if all(math.isfinite(row[name]) and row[name] > 0 for name in ("measured", "model"))
    ]
    base = alt.Chart(alt.InlineData(values=kept)).encode(
        x=alt.X(
            "rate:Q", scale=alt.Scale(type="log", nice=False, padding=16), axis=axis(alt, _RATE, grid=False)
        ),
        color=colour,
    )
    y = axis(alt, title, grid=True)
    line = base.mark_line(strokeWidth=2).encode(y=alt.Y("model:Q", scale=scale, axis=y))
    points = base.mark_point(filled=True, size=70).encode(y=alt.Y("measured:Q", scale=scale, axis=y))
    return line + points
