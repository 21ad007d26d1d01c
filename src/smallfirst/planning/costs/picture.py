"""Pictures of a plan: the ways as bars of their parts, and what moves the price of one of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from smallfirst.drawing import GREY, INK, OURS, PALE, altair_for, axis, save_chart
from smallfirst.planning.costs.exact import DAYS_PER_YEAR
from smallfirst.planning.costs.plan import Plan
from smallfirst.planning.costs.sensitivity import Swing
from smallfirst.planning.costs.ways import Way
from smallfirst.planning.costs.words import about, figure, shares

_WIDTH, _BAR = 520, 34
_PARTS = {
    "frontier": INK,
    "small": "#b9dccf",
    "hosted": "#7fbfa9",
    "hours": "#3f9c7d",
    "gpus": OURS,
    "overflow": "#d9902f",
}
_PART_NAMES = {
    "frontier": "frontier model",
    "small": "small models now",
    "hosted": "hosted small model",
    "hours": "own models' hours",
    "gpus": "GPUs",
    "overflow": "overflow from spot",
}
_MOST_SWINGS = 12
_SEEN = 1e-3  # of a bar: a smaller part cannot be seen


def draw_ways(path: Path, plan: Plan) -> None:
    """Writes what each way costs a year, by its parts; the saturated fleet beside the provisioned one, paler. Raises `ConfigError` as `altair_for`
    does.
    """
    alt = altair_for(path)
    unit, per = _unit(max(way.year_usd for way in plan.ways))
    rows = _parts(plan, per)
    there = [part for part in _PARTS if any(row["part"] == _PART_NAMES[part] for row in rows)]
    titles = [way.title for way in plan.ways]
    y = alt.Y("way:N", sort=titles, axis=_names(alt))
    colour = alt.Color(
        "part:N",
        scale=alt.Scale(domain=[_PART_NAMES[part] for part in there], range=[_PARTS[part] for part in there]),
        legend=alt.Legend(title=None, orient="bottom", labelColor=INK, labelFontSize=12),
    )
    bars = alt.Chart(alt.InlineData(values=rows)).mark_bar(height=_BAR * 0.6)
    bars = bars.encode(
        x=alt.X("usd:Q", stack="zero", axis=axis(alt, f"{unit} a year", grid=True)),
        y=y,
        color=colour,
        order="order:O",
        opacity=alt.condition("datum.served", alt.value(1.0), alt.value(0.4)),
    )
    totals = [{"way": way.title, "usd": way.year_usd / per, "text": _total(way)} for way in plan.ways]
    labels = alt.Chart(alt.InlineData(values=totals)).mark_text(align="left", dx=6, fontSize=12, color=INK)
    labels = labels.encode(x="usd:Q", y=y, text="text:N")
    chart = alt.layer(bars, labels).properties(width=_WIDTH, height=_BAR * len(titles))
    work = plan.inputs
    title = f"{_count(work.calls_per_day)} calls a day, {_count(work.input_tokens)} tokens in, {_count(work.output_tokens)} out"
    ladder = any(way.is_ladder for way in plan.ways)
    told = shares(work.cache_hit_rate, work.frontier_share, ladder=ladder)
    save_chart(alt, path, chart, title=f"{title} ({told})", sized=True)


def _parts(plan: Plan, per: float) -> list[dict[str, Any]]:
    """The bars: each part of each way that can be seen."""
    return [
        {
            "way": way.title,
            "part": _PART_NAMES[part],
            "order": list(_PARTS).index(part),
            "usd": usd * DAYS_PER_YEAR / per,
            "served": way.served,
        }
        for way in plan.ways
        for part, usd in way.parts_usd_per_day.items()
        if usd > _SEEN * way.day_usd
    ]


def draw_sensitivity(path: Path, plan: Plan) -> None:
    """Writes how the chosen way's yearly cost moves with each input alone, the most important on top. Raises as above."""
    alt = altair_for(path)
    found = plan.sensitivity
    swings = found.swings[:_MOST_SWINGS]
    unit, per = _unit(max([found.year_usd, *(max(one.low_year_usd, one.high_year_usd) for one in swings)]))
    rows = [row for swing in swings for row in _ends(swing, found.year_usd, per)]
    names = [swing.range.name for swing in swings]
    y = alt.Y("input:N", sort=names, axis=_names(alt))
    x = alt.X("base:Q", axis=axis(alt, f"{unit} a year", grid=True), scale=alt.Scale(zero=False, padding=46))
    colour = alt.Color(
        "end:N",
        scale=alt.Scale(domain=["input at the low end", "input at the high end"], range=["#7fbfa9", OURS]),
        legend=alt.Legend(title=None, orient="bottom", labelColor=INK, labelFontSize=12),
    )
    base = alt.Chart(alt.InlineData(values=rows))
    bars = base.mark_bar(height=_BAR * 0.5).encode(x=x, x2="usd:Q", y=y, color=colour)
    marks = [
        base.transform_filter(f"datum.left === {'true' if left else 'false'}")
        .mark_text(align="right" if left else "left", dx=-5 if left else 5, fontSize=11, color=GREY)
        .encode(x="usd:Q", y=y, text="label:N")
        for left in (True, False)
    ]
    rule = (
        alt.Chart(alt.InlineData(values=[{"usd": found.year_usd / per}]))
        .mark_rule(color=PALE)
        .encode(x="usd:Q")
    )
    chart = alt.layer(rule, bars, *marks).properties(width=_WIDTH, height=_BAR * max(1, len(names)))
    way = plan.named(found.way)
    name = way.title if way is not None else found.way
    save_chart(alt, path, chart, title=f"What moves the cost of: {name}", sized=True)


def _ends(swing: Swing, year_usd: float, per: float) -> list[dict[str, Any]]:
    """The two bars of an input, the farther first drawn; on one side of the plan only the farther has a label."""
    ends = [
        ("input at the low end", swing.range.low, swing.low_year_usd),
        ("input at the high end", swing.range.high, swing.high_year_usd),
    ]
    ends.sort(key=lambda end: -abs(end[2] - year_usd))
    one_side = (ends[0][2] < year_usd) == (ends[1][2] < year_usd)
    return [
        {
            "input": swing.range.name,
            "end": end,
            "base": year_usd / per,
            "usd": usd / per,
            "left": usd < year_usd,
            "label": "" if one_side and number else figure(swing.range.name, value),
        }
        for number, (end, value, usd) in enumerate(ends)
        if usd != year_usd
    ]


def _names(alt: Any) -> Any:
    return alt.Axis(
        title=None,
        domain=False,
        ticks=False,
        labelColor=INK,
        labelFontSize=12,
        labelLimit=320,
        labelPadding=8,
    )


def _unit(usd: float) -> tuple[str, float]:
    if usd >= 2e6:
        return "Million dollars", 1e6
    return ("Thousand dollars", 1e3) if usd >= 2e3 else ("Dollars", 1.0)


def _total(way: Way) -> str:
    """What stands beside a bar."""
    share = "" if way.name == "frontier" else f", {way.left:.1%} of all frontier"
    return about(way.year_usd) + share


def _count(value: float | None) -> str:
    return "?" if value is None else f"{value:,.0f}"
