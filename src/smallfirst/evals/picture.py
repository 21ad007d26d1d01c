"""Quality over cost, a point for each arm with its intervals: PNG or SVG, drawn by Vega-Lite."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from smallfirst.drawing import INK, OURS, altair_for, axis, save_chart
from smallfirst.evals.comparison import ArmReport


def draw_arms(path: Path, arms: Sequence[ArmReport], *, title: str = "") -> int:
    """Writes the picture and returns how many arms are not in it, since what they cost is unknown.

    Raises `ConfigError` where the drawing library is not installed, or for another ending than `.png` or `.svg`.
    """
    alt = altair_for(path)
    rows = [row for arm in arms if (row := _row(arm)) is not None]
    data = alt.InlineData(values=rows)
    x, y = axis(alt, "US dollars per 1,000 calls", grid=False), axis(alt, "Quality (mean score)", grid=True)
    base = alt.Chart(data).encode(
        x=alt.X("cost:Q", axis=x, scale=alt.Scale(nice=True, zero=True)),
        y=alt.Y("score:Q", axis=y, scale=alt.Scale(zero=False, nice=True)),
    )
    up = base.mark_rule(color=OURS).encode(y="low:Q", y2="high:Q")
    across = base.mark_rule(color=OURS).encode(x="cost_low:Q", x2="cost_high:Q")
    points = base.mark_point(filled=True, size=90, color=OURS, opacity=1, stroke="white")
    dearest = max((row["cost"] for row in rows), default=0.0)
    names = [
        base.transform_filter(f"{'datum.cost > ' if side == 'right' else 'datum.cost <= '}{dearest / 2}")
        .mark_text(align=side, dx=-9 if side == "right" else 9, dy=-9, fontSize=12.5, **look)
        .encode(text="name:N")
        for side in ("left", "right")  # a name stands where there is room for it
        for look in ({"stroke": "white", "strokeWidth": 4, "color": "white"}, {"color": INK})
    ]
    save_chart(alt, path, alt.layer(up, across, points, *names), title=title)
    return len(arms) - len(rows)


def _row(arm: ArmReport) -> dict[str, Any] | None:
    cost, score = arm.cost_usd_per_1000, arm.score
    if cost is None or cost.mean is None or score.mean is None:
        return None
    return {
        "name": arm.name + (" (simulated)" if arm.simulated else ""),
        "cost": cost.mean,
        "cost_low": cost.mean if cost.low is None else cost.low,
        "cost_high": cost.mean if cost.high is None else cost.high,
        "score": score.mean,
        "low": score.mean if score.low is None else score.low,
        "high": score.mean if score.high is None else score.high,
    }
