"""Pictures of a bill: what was saved as a waterfall, the days by what was spent on, the month with its forecast."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from smallfirst.drawing import GREY, INK, OURS, PALE, altair_for, axis, save_chart
from smallfirst.errors import ConfigError
from smallfirst.money import NUSD_PER_USD, format_usd
from smallfirst.planning.bill.bill import Bill
from smallfirst.planning.bill.forecast import Forecast
from smallfirst.planning.bill.lines import PERIODS
from smallfirst.planning.bill.savings import Savings

if TYPE_CHECKING:
    from smallfirst.ledger.reports import Group, Reports

_MOST_GROUPS = 6  # told apart by their colour; the others are one
_COLOURS = (OURS, INK, "#7fb8a4", PALE, "#c9a227", GREY)
_OTHERS = "others"
_DOLLARS = "US dollars"


class Step(NamedTuple):
    """One bar: from where to where, in nano-dollars; `what` is "sum", "saved" or "cost"."""

    name: str
    since_nusd: int
    until_nusd: int
    what: str
    low_nusd: int | None = None
    high_nusd: int | None = None


def steps_of(savings: Savings) -> list[Step]:
    """From the frontier alone down to what was paid for the same calls, and up to the bill's total. Empty where the
    frontier's cost is known of no task.
    """
    total = savings.total
    if total.full_nusd is None or total.ladder_nusd is None or savings.net_nusd is None:
        return []
    steps = [Step("frontier alone", 0, total.full_nusd, "sum", total.full_low_nusd, total.full_high_nusd)]
    at = total.full_nusd
    for name, nusd in (
        ("prompt caching", total.prompt_cache_nusd),
        ("the ladder", total.ladder_nusd),
        ("the cache", total.cache_nusd),
    ):
        steps.append(Step(name, at, at - nusd, "saved" if nusd >= 0 else "cost"))
        at -= nusd
    steps.append(Step("paid for these", 0, at, "sum"))
    for name, nusd in (
        ("proof", savings.proof_nusd),
        ("own hours", savings.own_models_nusd),
        ("not compared", savings.beside_nusd + savings.unknown_paid_nusd),
    ):
        if nusd:
            steps.append(Step(name, at, at + nusd, "cost"))
            at += nusd
    return [*steps, Step("the bill", 0, at, "sum")]


def draw_waterfall(path: Path, made: Bill) -> None:
    """Writes what was saved, step by step. Raises `ConfigError` where the drawing library is not installed, for another
    ending than `.png` or `.svg`, or where nothing can be compared.
    """
    alt = altair_for(path)
    steps = [] if made.savings is None else steps_of(made.savings)
    if not steps:
        raise ConfigError(
            "nothing can be compared with the frontier alone in this span: there is nothing to draw"
        )
    rows = [
        {
            "name": step.name,
            "from": step.since_nusd / NUSD_PER_USD,
            "to": step.until_nusd / NUSD_PER_USD,
            "top": max(step.since_nusd, step.until_nusd) / NUSD_PER_USD,
            "what": step.what,
            "label": _label(step),
        }
        for step in steps
    ]
    order = [step.name for step in steps]
    base = alt.Chart(alt.InlineData(values=rows)).encode(
        x=alt.X(
            "name:N",
            sort=order,
            axis=alt.Axis(
                title=None, labelAngle=0, labelColor=INK, ticks=False, domainColor=PALE, labelLimit=110
            ),
        ),
    )
    colours = alt.Scale(domain=["sum", "saved", "cost"], range=[INK, OURS, "#c2571a"])
    bars = base.mark_bar(size=54).encode(
        y=alt.Y("from:Q", axis=axis(alt, _DOLLARS, grid=True)),
        y2="to:Q",
        color=alt.Color("what:N", scale=colours, legend=None),
    )
    labels = base.mark_text(dy=-8, fontSize=12, color=INK).encode(y="top:Q", text="label:N")
    first = steps[0]
    layers = [bars, labels]
    if first.low_nusd is not None and first.high_nusd is not None and first.low_nusd != first.high_nusd:
        whisker = [
            {"name": first.name, "low": first.low_nusd / NUSD_PER_USD, "high": first.high_nusd / NUSD_PER_USD}
        ]
        mark = alt.Chart(alt.InlineData(values=whisker)).mark_rule(color="white", strokeWidth=2)
        layers.insert(1, mark.encode(x=alt.X("name:N", sort=order), y="low:Q", y2="high:Q"))
    simulated = made.savings is not None and made.savings.simulated
    chart = alt.layer(*layers).properties(width=max(420, 92 * len(steps)), height=340)
    save_chart(
        alt, path, chart, title="What was saved" + (" (simulated prices)" if simulated else ""), sized=True
    )


def _label(step: Step) -> str:
    nusd = step.until_nusd - step.since_nusd
    return format_usd(nusd) if step.what == "sum" else f"{'+' if nusd > 0 else '−'}{format_usd(abs(nusd))}"


def draw_days(path: Path, reports: Reports, made: Bill) -> None:
    """Writes each day's spending, stacked by what the bill is grouped by (by model where that is a time). The dearest
    are told apart, the rest is one. Raises `ConfigError` as above, or where nothing was spent.
    """
    alt = altair_for(path)
    group: Group = (
        made.by
        if made.by not in PERIODS
        else (made.then if made.then and made.then not in PERIODS else "model")
    )
    spent: dict[tuple[str, str], int] = defaultdict(int)
    of: dict[str, int] = defaultdict(int)
    simulated = False
    for row in reports.spend(made.span, "day", group):
        name = row.then or "(none)"
        spent[row.name, name] += row.cost_nusd
        of[name] += row.cost_nusd
        simulated = simulated or (row.simulated and bool(row.cost_nusd))
    if not any(of.values()):
        raise ConfigError("nothing was spent in this span: there is nothing to draw")
    dearest = sorted(of, key=lambda name: (-of[name], name))
    told = dearest[:_MOST_GROUPS] if len(dearest) <= _MOST_GROUPS else dearest[: _MOST_GROUPS - 1]
    folded: dict[tuple[str, str], int] = defaultdict(int)
    for (day, name), nusd in spent.items():
        folded[day, name if name in told else _OTHERS] += nusd
    domain = [*told, *([_OTHERS] if len(told) < len(dearest) else [])]
    rows = [
        {"day": day, "name": name, "usd": nusd / NUSD_PER_USD, "place": domain.index(name)}
        for (day, name), nusd in sorted(folded.items())
    ]
    chart = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            x=_days(alt),
            y=alt.Y("sum(usd):Q", axis=axis(alt, f"{_DOLLARS} a day", grid=True)),
            color=alt.Color(
                "name:N",
                sort=domain,
                scale=alt.Scale(domain=domain, range=list(_COLOURS[: len(domain)])),
                legend=alt.Legend(title=group, labelColor=INK, titleColor=GREY),
            ),
            order=alt.Order("place:Q"),
        )
    )
    save_chart(alt, path, chart, title="Spent each day" + (" (simulated prices)" if simulated else ""))


def draw_forecast(path: Path, ahead: Forecast) -> None:
    """Writes what the month has come to by the end of each day, and the forecast with its band. Raises `ConfigError` as
    above, or where nothing was spent in it and nothing is forecast.
    """
    alt = altair_for(path)
    rows, at = [], 0
    for day, nusd in ahead.spent:
        at += nusd
        rows.append({"day": str(day), "usd": at / NUSD_PER_USD})
    if not rows and not ahead.days:
        raise ConfigError("nothing was spent in this month: there is nothing to draw")
    coming = [
        {
            "day": str(day.day),
            "usd": day.total_nusd / NUSD_PER_USD,
            "low": day.low_nusd / NUSD_PER_USD,
            "high": day.high_nusd / NUSD_PER_USD,
        }
        for day in ahead.days
    ]
    if coming:
        rows = [
            row for row in rows if row["day"] < coming[0]["day"]
        ]  # this day is not over: its end is expected
        last = rows[-1:]
        coming = [row | {"low": row["usd"], "high": row["usd"]} for row in last] + coming
    x = _days(alt)
    y = axis(alt, f"{_DOLLARS}, this month until the day's end", grid=True)
    layers = [
        _marks(alt, coming)
        .mark_area(color=PALE, opacity=0.5)
        .encode(x=x, y=alt.Y("low:Q", axis=y), y2="high:Q"),
        _marks(alt, coming).mark_line(color=GREY, strokeDash=[5, 4], strokeWidth=2).encode(x=x, y="usd:Q"),
        _marks(alt, rows)
        .mark_line(color=OURS, strokeWidth=2.5, point={"color": OURS})
        .encode(x=x, y="usd:Q"),
    ]
    if coming:
        text = (
            f"{format_usd(ahead.total_nusd)} ({format_usd(ahead.low_nusd)} to {format_usd(ahead.high_nusd)})"
        )
        mark = _marks(alt, [coming[-1] | {"text": text}]).mark_text(
            align="right", dx=-8, dy=-12, color=INK, fontSize=12.5
        )
        layers.append(mark.encode(x=x, y="usd:Q", text="text:N"))
    title = f"{ahead.month}: spent, and expected with its {ahead.confidence:.0%} band"
    save_chart(
        alt, path, alt.layer(*layers), title=title + (" (simulated prices)" if ahead.simulated else "")
    )


def _marks(alt: Any, rows: list[dict[str, Any]]) -> Any:
    return alt.Chart(alt.InlineData(values=rows))


def _days(alt: Any) -> Any:
    """Days across, UTC's wherever this is drawn."""
    look = {"domainColor": PALE, "tickColor": PALE, "labelColor": GREY, "grid": False}
    days = alt.Axis(title=None, format="%d %b", tickCount=8, **look)
    return alt.X("utcyearmonthdate(day):T", axis=days, scale=alt.Scale(type="utc"))
