"""`smallfirst judge`: measure how far a task's judge agrees with people, and show what was measured."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, STATE, minute, state_of
from smallfirst.cli.table import Table, print_list

if TYPE_CHECKING:
    from smallfirst.evals.scored_by_people import Scored
    from smallfirst.scoring.measurement import Measured

app = typer.Typer(
    help="Judges: language models as scorers, whose agreement with people is measured first.",
    no_args_is_help=True,
)
_TASK = typer.Option(..., "--task", "-t", help='A task whose scorer.kind is "judge".')


@app.command()
def measure(
    task: str = _TASK,
    labels: Path | None = typer.Option(
        None, help="Answers that people scored, one JSON object a line; see docs/scorers.md."
    ),
    outcomes: bool = typer.Option(
        False, "--outcomes", help="Take the thumbs and scores that people gave the task's kept answers."
    ),
    concurrency: int = typer.Option(4, min=1, help="How many answers are judged at once."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Put the judge to answers that people scored. It costs what the judge costs; broken off, the same command goes on."""
    from smallfirst.config import find, load
    from smallfirst.evals.judge_measure import Session
    from smallfirst.evals.judge_measure import measure as measured_by
    from smallfirst.evals.session import Home
    from smallfirst.scoring.measurement import Measured, Measurements

    path = find(config)
    loaded = load(path)
    if task not in loaded.tasks:
        raise typer.BadParameter(f"{task!r} is not in [tasks] of {path}", param_hint="--task")
    state = state_of(None, config)
    rows = _rows(labels, outcomes, state, task)
    home = Home(config=loaded, state=state, base=path.parent, environ=os.environ)
    sources = ([labels.name] if labels else []) + (["outcomes"] if outcomes else [])
    with progress_bar() as progress:
        session = Session(task=task, home=home, concurrency=concurrency, progress=progress)
        found = measured_by(rows, session, source=", ".join(sources))
    if not found.pairs:
        _refuse(f"the judge gave no verdict that can be read, of {len(rows)} answers")
    measured = Measured(Measurements(state).save(found), found)
    _show(measured, as_json=as_json)


@app.command()
def show(
    measurement: str = typer.Argument("", help="The beginning of its name; default: the newest."),
    task: str = typer.Option("", "--task", "-t", help="The newest of this task."),
    state: Path | None = STATE,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """What was measured: agreement, bias, confusion."""
    from smallfirst.scoring.measurement import Measurements

    kept = Measurements(state_of(state, config))
    if measurement:
        _show(kept.find(measurement), as_json=as_json)
        return
    listed = kept.list(task or None)
    if not listed:
        _refuse("nothing was measured yet; `smallfirst judge measure` does it")
    _show(listed[0], as_json=as_json)


@app.command(name="list")
def list_(state: Path | None = STATE, config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """The measurements of this state directory, newest first."""
    from smallfirst.scoring.measurement import Measurements

    listed = Measurements(state_of(state, config)).list()
    if as_json:
        rows = [{"measurement": one.id, **_told(one)} for one in listed]
        typer.echo(msgspec.json.encode(rows).decode())
        return
    table = Table("measurement", "task", "judge", "scorer", "answers", "when (UTC)")
    for one in listed:
        told = one.measurement
        table.add_row(
            one.id[:12],
            escape(told.task),
            escape(told.model),
            told.scorer,
            f"{len(told.pairs):,}",
            minute(told.at_ms),
        )
    print_list(table, none="no judge was measured yet; `smallfirst judge measure` does it")


def _rows(labels: Path | None, outcomes: bool, state: Path, task: str) -> list[Scored]:
    from smallfirst.evals.scored_by_people import read_outcomes, read_scored

    if labels is None and not outcomes:
        raise typer.BadParameter("give --labels FILE, --outcomes, or both", param_hint="--labels")
    rows = read_scored(labels) if labels is not None else []
    if outcomes:
        from smallfirst.ledger import Ledger

        with Ledger.read(state) as ledger:
            rows += read_outcomes(ledger.queries, task)
    if not rows:
        _refuse("the ledger has no kept answer of this task that a person scored")
    return rows


def _show(measured: Measured, *, as_json: bool) -> None:
    from smallfirst.scoring.agreement import agreement_of
    from smallfirst.scoring.correction import ENOUGH_LABELS, MIN_LABELS

    told = measured.measurement
    found = agreement_of(*told.scores())
    if as_json:
        figures = {"measurement": measured.id, **_told(measured), **msgspec.to_builtins(found)}
        typer.echo(msgspec.json.encode(figures).decode())
        return
    table = Table("", "", show_header=False, title=f"{escape(told.model)} as judge of {escape(told.task)}")
    table.add_row("answers", f"{found.answers:,}, people's scores from {escape(told.source)}")
    table.add_row(
        "same score", f"{found.agreement:.1%}  [{found.agreement_low:.1%}, {found.agreement_high:.1%}]"
    )
    table.add_row("beyond chance (κ)", "–" if found.kappa is None else f"{found.kappa:.3f}")
    table.add_row("people's mean, judge's", f"{found.human:.3f}, {found.judge:.3f}")
    table.add_row("bias of the judge", f"{found.bias:+.3f}  [{found.bias_low:+.3f}, {found.bias_high:+.3f}]")
    if told.position_bias is not None:
        table.add_row("chose the same place twice", f"{told.position_bias:.1%}")
    if told.unreadable:
        table.add_row("without a verdict", f"{told.unreadable:,}")
    table.add_row("scorer", told.scorer)
    table.add_row("measurement", measured.id[:12])
    console = Console()
    console.print(table)
    console.print(_confusion(found.confusion))
    if found.answers < MIN_LABELS:
        console.print(f"fewer than {MIN_LABELS} answers: the gate takes this judge's word for nothing yet")
    elif found.answers < ENOUGH_LABELS:
        console.print(f"fewer than {ENOUGH_LABELS} answers: corrected intervals cover less than they say")


def _confusion(confusion: dict[str, dict[str, int]]) -> Table:
    columns = sorted({given for row in confusion.values() for given in row}, key=float)
    table = Table("people ↓  judge →", *columns)
    for truth in sorted(confusion, key=float):
        table.add_row(truth, *(f"{confusion[truth].get(given, 0):,}" for given in columns))
    return table


def _told(measured: Measured) -> dict[str, Any]:
    fields = msgspec.to_builtins(measured.measurement)
    return {name: fields[name] for name in fields if name not in ("pairs", "format")}


def _refuse(message: str) -> NoReturn:
    from smallfirst.errors import ScorerError

    raise ScorerError(message)
