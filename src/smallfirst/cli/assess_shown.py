"""What `smallfirst assess` shows: one line a feature, then a block for each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.planning.assess.judging.assessment import Assessed, Report

_COLOURS = {"candidate": "green", "prototype": "yellow", "frontier": "dim", "unknown": "cyan"}
_WIDTHS = {
    "feature": 20,
    "what to do": 10,
    "calls a day": 9,
    "a year now": 10,
    "small first": 11,
    "small takes": 9,
}
"""Of the table's columns where there is little room: together eighty, and no word is cut."""
_WIDE = 110
_ANSWERS = {"yes": "[green]yes[/]", "no": "[red]no[/]", "unknown": "[yellow]unknown[/]"}


def show(report: Report, out: Console) -> None:
    """All of it."""
    from smallfirst.planning.assess.told import rest_of, title_of, total_of

    out.print(f"[bold]{escape(title_of(report))}[/]", highlight=False)
    out.print(_table(report, wide=out.width >= _WIDE))
    if total := total_of(report):
        out.print(escape(total), highlight=False)
    for line in rest_of(report):
        out.print(escape(line), highlight=False)
    for at, one in enumerate(report.features, start=1):
        _show_feature(at, one, out)
    if report.features:
        out.print(
            f"[dim]Prices of {report.made_on.isoformat()}. A year: 365 days at this volume. ≈: a rough range.[/]",
            highlight=False,
        )


def _table(report: Report, *, wide: bool) -> Table:
    from smallfirst.planning.assess.told import now, per_day, printable, small_share, then

    table = Table(
        *(
            Column(
                head,
                width=None if wide else width,
                justify="left" if head in ("feature", "what to do") else "right",
            )
            for head, width in _WIDTHS.items()
        )
    )
    for at, one in enumerate(report.features, start=1):
        colour = _COLOURS[one.verdict.decision]
        table.add_row(
            f"{at}. {escape(printable(one.name))}",
            f"[{colour}]{escape(one.verdict.words)}[/]",
            per_day(one),
            now(one.money) + ("\nsimulated" if one.money.simulated else ""),
            then(one.money),
            small_share(one),
        )
    return table


def _show_feature(at: int, one: Assessed, out: Console) -> None:
    from smallfirst.planning.assess.told import QUESTIONS, printable, rows_of

    out.print()
    out.rule(
        f"[bold]{at}. {escape(printable(one.name))}[/]: {escape(one.verdict.words)}",
        align="left",
        style="dim",
    )
    if one.words:
        out.print(f"[dim]{escape(printable(', '.join(one.words)))}[/]", highlight=False)
    for question in one.questions:
        out.print(
            f"{QUESTIONS[question.name]} {_ANSWERS[question.answer]}: {escape(question.why)} [dim](yes: {escape(question.threshold)})[/]",
            highlight=False,
        )
    for reason in one.verdict.against:
        out.print(f"[red]Against it:[/] {escape(reason)}", highlight=False)
    for missing in one.verdict.missing:
        out.print(f"[yellow]Not known yet:[/] {escape(missing)}", highlight=False)
    table = Table(Column(no_wrap=True, style="dim"), "", show_header=False)
    for name, text in rows_of(one):
        table.add_row(name, escape(text))
    out.print(table)
    if one.suggestion is not None and one.verdict.decision in ("candidate", "prototype"):
        out.print("[dim]As a task, for smallfirst.toml:[/]")
        out.print(escape(one.suggestion.toml), highlight=False, soft_wrap=True)
        for note in one.suggestion.notes:
            out.print(f"[dim]{escape(note)}[/]", highlight=False)
    for example in one.examples:
        out.print(f"[dim]asked:[/] {escape(_short(example.input))}", highlight=False)
        out.print(f"[dim]answered:[/] {escape(_short(example.answer))}", highlight=False)


def _short(text: str) -> str:
    from smallfirst.planning.assess.told import printable

    text = printable(" ".join(text.split()))
    return text if len(text) <= 300 else text[:299] + "…"


def told_json(report: Report) -> dict[str, Any]:
    """The report for scripts, with its totals. Money is in dollars but where a name ends in `nusd`."""
    year = [one.money.usd_per_year for one in report.features]
    known = [value for value in year if value is not None]
    return msgspec.to_builtins(report) | {
        "usd_per_year": sum(known),
        "unknown_usd_per_year_features": len(year) - len(known),
    }
