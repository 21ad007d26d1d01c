"""`smallfirst outcomes`: tell the ledger what was learned of calls' answers, and list it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, STATE, minute, moment, state_of
from smallfirst.cli.table import Table, print_list
from smallfirst.errors import ConfigError

if TYPE_CHECKING:
    from smallfirst.ledger.queries import OutcomeCount, ToldOutcome

app = typer.Typer(
    help="Outcomes: corrections, scores and thumbs, told later of calls' answers.", no_args_is_help=True
)
_MS_PER_S = 1000
_SHOWN_REFUSALS = 20
_SHOWN_CHARS = 60
_NONE = "no outcome fits"
_TASK = typer.Option(None, "--task", "-t", help="Only of calls of this task.")
_TENANT = typer.Option(None, "--tenant", help="Only of this tenant's calls.")


@app.command(name="import")
def import_(
    file: Path = typer.Argument(
        metavar="FILE.csv|jsonl",
        help="Rows of call or key, kind and value; and task, source, at.",
    ),
    source: str = typer.Option("import", help="Who found it out, for rows that do not say so."),
    tenant: str | None = typer.Option(None, help="Only this tenant's calls can be meant."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Note what a file tells, row by row. Exit status 1 where a row was refused; doing it again changes nothing."""
    from smallfirst import limits
    from smallfirst.ledger import Ledger
    from smallfirst.ledger.records import ASIDE
    from smallfirst.ledger.told_file import import_outcomes

    if not source or len(source) > limits.MAX_OUTCOME_SOURCE_CHARS or source in ASIDE:
        raise ConfigError(f"expected a name of yours, not {source[:40]!r}", path="--source")
    place = state_of(state, config)
    Ledger.read(place).close()  # says so where there is none
    with progress_bar() as progress:
        done = import_outcomes(
            place, file, source=source, tenant=tenant, progress=lambda rows: progress("rows", rows, 0)
        )
    if as_json:
        typer.echo(msgspec.json.encode(done).decode())
    else:
        shown = Console(stderr=True, highlight=False)
        for refused in done.refusals[:_SHOWN_REFUSALS]:
            where = f"{file}, line {refused.line}: {refused.field}"
            shown.print(escape(f"{where}: {refused.message}"), soft_wrap=True)
        if done.refused > _SHOWN_REFUSALS:
            shown.print(f"and {done.refused - _SHOWN_REFUSALS} more; --json has them")
        Console(highlight=False).print(
            f"{done.new} new, {done.repeated} known before, {done.refused} refused"
        )
    if done.refused:
        raise typer.Exit(1)


@app.command(name="list")
def list_(
    task: str | None = _TASK,
    tenant: str | None = _TENANT,
    kind: str | None = typer.Option(None, help="Only score, label, thumbs, judge or bad-hit."),
    source: str | None = typer.Option(None, help="Only what this source told."),
    since: str | None = typer.Option(
        None, help="Only of calls since 2026-11-24, 2026-11-24T08:00 (UTC), or 7d, 12h, 30m ago."
    ),
    counts: bool = typer.Option(False, "--counts", help="How many there are, by task, kind and source."),
    limit: int = typer.Option(50, min=1, max=100_000, help="At most so many, the latest."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """The outcomes that were told last, superseded ones included. With --json one object a line."""
    from smallfirst.ledger import Filter, Ledger
    from smallfirst.ledger.records import OutcomeKind

    if kind is not None and kind not in (kinds := get_args(OutcomeKind)):
        raise ConfigError(f"expected one of {', '.join(kinds)}, not {kind!r}", path="--kind")
    since_ms = None if since is None else int(moment(since, option="--since").timestamp() * _MS_PER_S)
    wanted = Filter(task=task, tenant=tenant, since_ms=since_ms)
    with Ledger.read(state_of(state, config)) as ledger:
        if counts:
            _show_counts(ledger.queries.outcome_counts(wanted, kind=kind, source=source), as_json=as_json)
        else:
            told = ledger.queries.told(wanted, kind=kind, source=source, limit=limit)
            _show_told(told, as_json=as_json)


def _show_counts(found: list[OutcomeCount], *, as_json: bool) -> None:
    if as_json:
        _json_lines(found)
        return
    table = Table(
        "task", "kind", "source", *(Column(head, justify="right") for head in ("outcomes", "calls"))
    )
    for row in found:
        table.add_row(escape(row.task), row.kind, escape(row.source), f"{row.outcomes:,}", f"{row.calls:,}")
    print_list(table, none=_NONE)


def _show_told(found: list[ToldOutcome], *, as_json: bool) -> None:
    if as_json:
        _json_lines(found)
        return
    table = Table(
        Column("at (UTC)", no_wrap=True), Column("call", no_wrap=True), "task", "kind", "source", "value"
    )
    for row in found:
        told = row.outcome
        cells = (minute(told.at_ms), row.call[:16], escape(row.task), told.kind, escape(told.source))
        table.add_row(*cells, _shown(told.value))
    print_list(table, none=_NONE)


def _json_lines(rows: Sequence[msgspec.Struct]) -> None:
    for row in rows:
        typer.echo(msgspec.json.encode(row).decode())


def _shown(value: object) -> str:
    """What fits a line; of a call that was answered again, whose answer it was and its score."""
    if isinstance(value, dict) and {"model", "score"} <= value.keys():
        return escape(f"{value['model']} {'–' if value['score'] is None else format(value['score'], '.3g')}")
    text = msgspec.json.encode(value).decode()
    return escape(text if len(text) <= _SHOWN_CHARS else text[: _SHOWN_CHARS - 1] + "…")
