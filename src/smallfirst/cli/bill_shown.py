"""What `smallfirst bill` prints: the lines, what they are compared with, and latencies."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape

from smallfirst.cli.bill_ahead_shown import against_plan_table, forecast_lines, limits_table
from smallfirst.cli.bill_saved_shown import savings_lines, savings_table, unused_table
from smallfirst.cli.table import Table
from smallfirst.money import format_usd
from smallfirst.planning.bill.lines import PERIODS, together

if TYPE_CHECKING:
    from smallfirst.planning.bill import Bill, Forecast, LimitAhead
    from smallfirst.planning.bill.against_plan import AgainstPlan
    from smallfirst.planning.bill.bill import Latency
    from smallfirst.planning.bill.cached import Cached
    from smallfirst.planning.bill.counterfactual import Counterfactual, TaskCounterfactual
    from smallfirst.planning.bill.lines import Line, Section

_SECONDS_PER_HOUR = 3600
_MOST_LINES = 50  # of a section, the dearest; the rest is one line
_NAMELESS = {"task": "(no task)", "model": "(nobody answered)"}


def show_bill(
    made: Bill,
    out: Console,
    *,
    ahead: Forecast | None,
    limits: Sequence[LimitAhead],
    against: AgainstPlan | None,
) -> None:
    """Prints it all, the sum before what it is compared with."""
    _print(made, out)
    if ahead is not None and (made.sections or ahead.so_far_nusd):
        for line in forecast_lines(ahead):
            out.print(line, highlight=False)
    if limits:
        out.print(limits_table(limits))
    if against is not None:
        for part in against_plan_table(against):
            out.print(part, highlight=False)


def _print(made: Bill, out: Console) -> None:
    out.print(f"[bold]Bill[/] {escape(_span(made))}", highlight=False)
    if not made.sections:
        out.print("No calls in this span.")
    for section in made.sections:
        out.print(_table(section, made))
    if made.own_models:
        out.print(_own_models(made))
    out.print(f"[bold]Total: {format_usd(made.total_nusd)}[/]{_parts(made)}", highlight=False)
    for line in _remarks(made):
        out.print(line, highlight=False)
    if made.unused:
        out.print(unused_table(made))
    if made.cached:
        out.print(_cached_table(made.cached))
        out.print(_cached_line(made), highlight=False)
    _print_comparison(made, out)
    if made.savings is not None:
        out.print(savings_table(made.savings))
        for line in savings_lines(made.savings):
            out.print(line, highlight=False)
    if made.latency[0].total_p50_ms is not None:
        out.print(_latencies(made.latency))


def _span(made: Bill) -> str:
    def at(hour: int | None, otherwise: str) -> str:
        if hour is None:
            return otherwise
        return datetime.datetime.fromtimestamp(hour * _SECONDS_PER_HOUR, datetime.UTC).strftime(
            "%Y-%m-%d %H:%M"
        )

    text = f"from {at(made.span.since_hour, 'the beginning')} to {at(made.span.until_hour, 'now')} UTC"
    only = [
        f"{name} {value}"
        for name in ("tenant", "task", "model", "key", "origin")
        if (value := getattr(made.span, name)) is not None
    ]
    return ", ".join((text, *only))


def _table(section: Section, made: Bill) -> Table:
    title = "calls of clients" if section.origin == "client" else f"origin: {section.origin}"
    table = (
        Table(made.by, made.then, title=title, padding=0) if made.then else Table(made.by, title=title)
    )  # two names beside eight figures leave no room for more
    for head in ("calls", "failed", "attempts", "read", "cached", "written", "cost", "no\nanswer"):
        table.add_column(head, justify="right", no_wrap=True)  # a number is not cut in two
    shown = list(section.lines)
    if made.by not in PERIODS and len(shown) > _MOST_LINES:
        rest = shown[_MOST_LINES:]
        shown = [*shown[:_MOST_LINES], together(f"{len(rest):,} others (all: --csv, --json)", rest)]
    for line in shown:
        table.add_row(*_cells(line, made, False), end_section=line is shown[-1])
    table.add_row(*_cells(section.total, made, True), style="bold")
    return table


def _cells(line: Line, made: Bill, last: bool) -> list[str]:
    usage = line.usage
    cost = format_usd(line.cost_nusd)
    if line.unknown_attempts:
        alone = line.unknown_attempts == line.attempts
        cost = "unknown" if alone else f"{cost}\n+ {_count(line.unknown_attempts)}\nunknown"
    if line.simulated_nusd:
        cost += (
            "\nsimulated"
            if line.simulated_nusd == line.cost_nusd
            else f"\n{format_usd(line.simulated_nusd)}\nsimulated"
        )
    counted = "provider" not in (made.by, made.then)
    names = [escape(line.name) or _NAMELESS.get(made.by, "(none)")]
    if made.then:
        names.append(escape(line.then) or _NAMELESS.get(made.then, "(none)"))
    return [
        *(["total", *[""] * (len(names) - 1)] if last else names),
        _count(line.calls) if counted else "",
        _count(line.failed_calls) if counted else "",
        _count(line.attempts),
        _count(usage.prompt_tokens),
        _count(usage.cache_read_tokens),
        _count(usage.completion_tokens),
        cost,
        format_usd(line.wasted_nusd) if line.wasted_nusd else "",
    ]


def _count(count: int) -> str:
    """To the last one under a million, else to three digits: `21.4 M`; all of them are in `--csv` and `--json`."""
    for unit, letter in ((10**9, "B"), (10**6, "M")):
        if count >= unit:
            return f"{float(f'{count / unit:.3g}'):g} {letter}"
    return f"{count:,}"


def _own_models(made: Bill) -> Table:
    table = Table("own model", title="hours, used or not")
    table.add_column("hours", justify="right")
    table.add_column("cost", justify="right")
    for model in made.own_models:
        table.add_row(
            escape(model.model), f"{model.seconds / _SECONDS_PER_HOUR:,.2f}", format_usd(model.cost_nusd)
        )
    return table


def _parts(made: Bill) -> str:
    parts = []
    if made.own_models:
        parts.append(
            f"{format_usd(made.attempts_nusd)} for attempts, "
            f"{format_usd(made.own_models_nusd)} for own models' hours"
        )
    if made.simulated_nusd:
        parts.append(
            f"{format_usd(made.simulated_nusd)} of it was charged by a simulated provider and is no money"
        )
    return f" ({'; '.join(parts)})" if parts else ""


def _remarks(made: Bill) -> list[str]:
    totals = [section.total for section in made.sections]
    estimated = sum(total.estimated_attempts for total in totals)
    unproven = sum(total.unproven_calls for total in totals)
    outside = sum(total.outside_bound_calls for total in totals)
    lines = []
    if made.unknown_attempts:
        lines.append(
            f"[yellow]Without a known price, and in no sum: {made.unknown_attempts:,} attempts[/]; "
            + escape("give their models' prices in [[models.NAME.prices]]")
        )
    if estimated:
        nusd = format_usd(sum(total.estimated_nusd for total in totals))
        lines.append(
            f"Usage estimated because it was not reported: {estimated:,} attempts, {nusd} of the total"
        )
    if unproven:
        lines.append(f"[red]Answered by an unproven release: {unproven:,} calls[/]")
    if outside:
        lines.append(f"Answered outside the quality bound: {outside:,} calls")
    return lines


def _cached_table(lines: tuple[Cached, ...]) -> Table:
    table = Table("task", title="answered by the cache")
    for head in ("asked", "hits", "exact", "in other words", "at the same time", "saved"):
        table.add_column(head, justify="right")
    for line in [*lines[1:], lines[0]]:
        rate = "" if line.hit_rate is None else f" ({line.hit_rate:.1%})"
        unknown = f" + {line.unknown_hits:,} unknown" if line.unknown_hits else ""
        table.add_row(
            escape(line.task) or "total",
            f"{line.calls:,}",
            f"{line.hits:,}{rate}",
            f"{line.exact_hits:,}",
            f"{line.semantic_hits:,}",
            f"{line.flight_hits:,}",
            format_usd(line.saved_nusd) + unknown,
            style="bold" if line is lines[0] else None,
        )
    return table


def _cached_line(made: Bill) -> str:
    total = made.cached[0]
    text = (
        f"Answered by the cache: {total.hits:,} {'call' if total.hits == 1 else 'calls'}, saved {format_usd(total.saved_nusd)}; "
        f"without them the bill would have been {format_usd(made.uncached_nusd)}"
    )
    text += f", and the unknown price of {total.unknown_hits:,} more." if total.unknown_hits else "."
    if total.semantic_hits:
        text += " Checks of answers to other wordings were paid for as origin spot-check."
    return text


def _print_comparison(made: Bill, out: Console) -> None:
    compared = made.counterfactual
    if not compared.calls and not compared.uncompared_calls:
        return
    table = Table("task", title="the same answered client calls on the frontier model alone")
    for head in ("calls", "frontier", "paid", "frontier alone", "how known"):
        table.add_column(head, justify="left" if head in ("frontier", "how known") else "right")
    for task in compared.tasks:
        table.add_row(
            escape(task.task) or "(no task)",
            f"{task.calls:,}",
            escape(task.frontier),
            format_usd(task.paid_nusd),
            _alone(task),
            _how(task),
        )
    out.print(table)
    out.print(_verdict(made, compared), highlight=False)
    if compared.uncompared_calls:
        out.print(
            f"Not compared, because a price is unknown: {compared.uncompared_calls:,} calls", highlight=False
        )
    if any(task.other_nusd for task in compared.tasks):
        out.print(f"[dim]{compared.selection}[/]", highlight=False)


def _alone(task: TaskCounterfactual) -> str:
    if task.frontier_nusd is None or not task.calls:
        return "unknown"
    text = format_usd(task.frontier_nusd)
    return (
        text
        if task.low_nusd == task.high_nusd
        else f"{text} ({format_usd(task.low_nusd)} to {format_usd(task.high_nusd)})"
    )


def _how(task: TaskCounterfactual) -> str:
    mark = "; simulated" if task.simulated else ""
    if task.frontier_nusd is None:
        return (
            f"too few answers of the frontier: {task.sample_calls}; {task.missing_answers} more are needed "
            f"to estimate the other {task.other_calls:,}{mark}"
        )
    if not task.calls:
        return "not compared: a price is unknown"
    if not task.other_calls and not task.hit_calls:
        return f"recorded: the frontier answered all of them{mark}"
    if not task.other_calls:
        return f"recorded for {task.asked_calls:,}, by the cache's first answers for {task.hit_calls:,}{mark}"
    again = f", by the cache's first answers for {task.hit_calls:,}" if task.hit_calls else ""
    return (
        f"recorded for {task.asked_calls:,}{again}, estimated for {task.other_calls:,} "
        f"from {task.sample_calls:,} answers{mark}"
    )


def _verdict(made: Bill, compared: Counterfactual) -> str:
    own = f", and {format_usd(made.own_models_nusd)} for own models' hours" if made.own_models else ""
    paid = f"Paid for these {compared.calls:,} calls: {format_usd(compared.paid_nusd)}{own}."
    if compared.frontier_nusd is None:
        return f"{paid} On the frontier alone: unknown, for the tasks marked above."
    alone = format_usd(compared.frontier_nusd)
    if compared.low_nusd != compared.high_nusd:
        low, high = format_usd(compared.low_nusd), format_usd(compared.high_nusd)
        alone += f" ({compared.confidence:.0%} interval {low} to {high})"
    return f"{paid} On the frontier alone: {alone}{', by simulated prices' if compared.simulated else ''}."


def _latencies(rows: tuple[Latency, ...]) -> Table:
    table = Table("answered client calls", title="latency in ms: p50 / p99")
    for head in ("whole call", "first token", "gateway's own"):
        table.add_column(head, justify="right")
    for row in rows:
        table.add_row(
            escape(row.task) or "all",
            _pair(row.total_p50_ms, row.total_p99_ms),
            _pair(row.first_token_p50_ms, row.first_token_p99_ms),
            _pair(row.overhead_p50_ms, row.overhead_p99_ms),
        )
    return table


def _pair(p50_ms: float | None, p99_ms: float | None) -> str:
    return "" if p50_ms is None or p99_ms is None else f"{_short(p50_ms)} / {_short(p99_ms)}"


def _short(value_ms: float) -> str:
    return f"{value_ms:,.0f}" if value_ms >= 100 else f"{value_ms:.3g}"
