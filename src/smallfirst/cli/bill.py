"""`smallfirst bill`: what was spent, on what, and what the same calls would have cost on the frontier model
alone.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.state import CONFIG, JSON, STATE, moment, state_of
from smallfirst.cli.table import Table
from smallfirst.errors import ConfigError, StateError
from smallfirst.money import format_usd

if TYPE_CHECKING:
    from smallfirst.planning.bill.bill import Bill, Cached, Latency, Line, Section
    from smallfirst.planning.bill.counterfactual import Counterfactual, TaskCounterfactual

_GROUPS = ("task", "model", "key", "tenant", "provider", "day")
_SECONDS_PER_HOUR = 3600


def bill(
    by: str = typer.Option("task", "--by", help="One line a: task, model, key, tenant, provider or day."),
    since: str | None = typer.Option(
        None, help="From this hour on (UTC): 2026-11-24, 2026-11-24T08:00, or 7d, 12h."
    ),
    until: str | None = typer.Option(None, help="Up to and without this hour (UTC)."),
    tenant: str | None = typer.Option(
        None, help="Only this tenant's calls; own models' hours are then left out."
    ),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """What was spent, and what it is compared with."""
    from smallfirst.ledger import Ledger, Span
    from smallfirst.planning.bill.bill import make_bill

    if by not in _GROUPS:
        raise ConfigError(f"expected one of {', '.join(_GROUPS)}, not {by!r}", path="--by")
    span = Span(since_hour=_hour(since, "--since"), until_hour=_hour(until, "--until"), tenant=tenant)
    place = state_of(state, config)
    with Ledger.read(place) as ledger:
        made = make_bill(ledger.reports, span, by=by)  # pyright: ignore[reportArgumentType]  (checked above)
        empty = not made.sections and not made.own_models
        if empty and not ledger.queries.counts().calls:
            raise StateError(f"the ledger in {place} has no calls")
    if as_json:
        typer.echo(msgspec.json.encode(made).decode())
    else:
        _print(made, Console())


def _hour(text: str | None, option: str) -> int | None:
    return None if text is None else int(moment(text, option=option).timestamp() // _SECONDS_PER_HOUR)


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
    if made.cached:
        out.print(_cached_table(made.cached))
        out.print(_cached_line(made), highlight=False)
    _print_comparison(made, out)
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
    return text if made.span.tenant is None else f"{text}, tenant {made.span.tenant}"


def _table(section: Section, made: Bill) -> Table:
    title = "calls of clients" if section.origin == "client" else f"origin: {section.origin}"
    table = Table(made.by, title=title)
    for head in (
        "calls",
        "failed",
        "attempts",
        "read",
        "cached",
        "written",
        "cost",
        "no answer",
    ):
        table.add_column(head, justify="right")
    lines = [*section.lines, section.total]
    for line in lines:
        last = line is section.total
        table.add_row(
            *_cells(line, made, last),
            style="bold" if last else None,
            end_section=line is lines[-2] if len(lines) > 1 else False,
        )
    return table


def _cells(line: Line, made: Bill, last: bool) -> list[str]:
    usage = line.usage
    nameless = {"task": "(no task)", "model": "(nobody answered)"}.get(made.by, "(none)")
    cost = format_usd(line.cost_nusd)
    if line.unknown_attempts:
        alone = line.unknown_attempts == line.attempts
        cost = "unknown" if alone else f"{cost} + {line.unknown_attempts:,} unknown"
    if line.simulated_nusd:
        cost += (
            "\nsimulated"
            if line.simulated_nusd == line.cost_nusd
            else f"\n{format_usd(line.simulated_nusd)} simulated"
        )
    counted = made.by != "provider"
    return [
        "total" if last else escape(line.name) or nameless,
        f"{line.calls:,}" if counted else "",
        f"{line.failed_calls:,}" if counted else "",
        f"{line.attempts:,}",
        f"{usage.prompt_tokens:,}",
        f"{usage.cache_read_tokens:,}",
        f"{usage.completion_tokens:,}",
        cost,
        format_usd(line.wasted_nusd) if line.wasted_nusd else "",
    ]


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
    if not task.other_calls:
        return f"recorded: the frontier answered all of them{mark}"
    return (
        f"recorded for {task.asked_calls:,}, estimated for {task.other_calls:,} "
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
