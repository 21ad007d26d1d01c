"""What `smallfirst bill` prints of what is to come: the month's forecast, budgets, and a plan beside what happened."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.markup import escape

from smallfirst.cli.table import Table
from smallfirst.money import format_usd

if TYPE_CHECKING:
    from smallfirst.planning.bill import Forecast, LimitAhead
    from smallfirst.planning.bill.against_plan import AgainstPlan

_A_DAY = 1
_HOURS_PER_DAY = 24


def forecast_lines(ahead: Forecast) -> list[str]:
    """The month in a sentence, and what is in no sum."""
    so_far = f"{ahead.month} so far: {format_usd(ahead.so_far_nusd)} for attempts"
    own = ""
    if ahead.own_models_total_nusd:
        own = (
            f" Own models' hours: {format_usd(ahead.own_models_so_far_nusd)} so far, "
            f"{format_usd(ahead.own_models_total_nusd)} at its end if they go on."
        )
    if ahead.total_nusd is None:
        days = "day is" if ahead.missing_days == 1 else "days are"
        lines = [f"{so_far}. For a forecast {ahead.missing_days} more whole {days} needed.{own}"]
    else:
        low, high = format_usd(ahead.low_nusd), format_usd(ahead.high_nusd)
        how = "weekdays told apart" if ahead.weekdays else "by their mean"
        band = f"{ahead.confidence:.0%} band {low} to {high}"
        forecast = f"[bold]Forecast: {format_usd(ahead.total_nusd)}[/] at its end ({band})"
        lines = [f"{so_far}. {forecast}, from {ahead.history_days} days, {how}.{own}"]
    if ahead.unknown_attempts:
        lines.append(f"[yellow]Without {ahead.unknown_attempts:,} attempts of unknown price[/]")
    if ahead.simulated:
        lines.append("[dim]Some of it is charged by a simulated provider and is no money[/]")
    return lines


def limits_table(limits: Sequence[LimitAhead]) -> Table:
    """Budgets of the month, and when each will be reached."""
    table = Table("budget of the month", title="budgets")
    for head in ("limit", "spent", "forecast"):
        table.add_column(head, justify="right")
    table.add_column("reached")
    for one in limits:
        name = f"{one.limit.scope} {one.limit.name}" if one.limit.name else "the whole gateway"
        forecast = (
            f"{format_usd(one.total_nusd)}\n({format_usd(one.low_nusd)} to {format_usd(one.high_nusd)})"
            if one.total_nusd is not None
            else f"{one.missing_days} more days needed"
        )
        table.add_row(
            escape(name), format_usd(one.limit.nusd), format_usd(one.spent_nusd), forecast, _reached(one)
        )
    return table


def _reached(one: LimitAhead) -> str:
    if one.spent_nusd >= one.limit.nusd:
        return "[red]it is reached[/]"
    if one.reached_on is not None:
        early = f", at the earliest on the {one.earliest_on:%d}" if one.earliest_on != one.reached_on else ""
        return f"[yellow]expected on the {one.reached_on:%d}{early}[/]"
    if one.earliest_on is not None:
        return f"not expected; at the earliest on the {one.earliest_on:%d}"
    return "unknown" if one.total_nusd is None else "not this month"


def against_plan_table(found: AgainstPlan) -> list[RenderableType]:
    """The plan beside what happened, and what explains the difference."""
    lasted = f"{found.days:.1f} days" if found.days >= _A_DAY else f"{found.days * _HOURS_PER_DAY:.1f} h"
    title = f"plan {escape(found.plan)} of {found.made_on} ({escape(found.way)}), a day, over {lasted}"
    table = Table("", title=title)
    for head in ("planned", "happened", "difference"):
        table.add_column(head, justify="right")
    for row in found.figures:
        table.add_row(
            row.what, _figure(row.planned), _figure(row.happened), _difference(row.planned, row.happened)
        )
    because = Table("what explains it", title="the difference, USD a day")
    because.add_column("", justify="right")
    for cause in found.because:
        because.add_row(cause.cause, f"{cause.usd_per_day:+,.4f}")
    because.add_row("together", f"{found.happened_usd - found.planned_usd:+,.4f}", style="bold")
    parts: list[RenderableType] = [table, because]
    if found.unknown_attempts:
        parts.append(f"[yellow]What happened lacks {found.unknown_attempts:,} attempts of unknown price[/]")
    return parts


def _difference(planned: float | None, happened: float | None) -> str:
    if planned is None or happened is None:
        return ""
    return "0" if math.isclose(planned, happened) else _figure(happened - planned)


def _figure(value: float | None) -> str:
    if value is None:
        return "unknown"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:,.4g}"
