"""`smallfirst eval`: models and releases on a task's examples, with error bars; runs compared, looked at, and handed on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.eval_asking import ask, confirm, hand_out, say_left_out, tell, write_page
from smallfirst.cli.eval_shown import show_compared, show_inspected
from smallfirst.cli.state import CONFIG, JSON, STATE, home_of, minute, state_of
from smallfirst.cli.table import Table, print_list
from smallfirst.user import user_name

if TYPE_CHECKING:
    from smallfirst.datasets.example import Example
    from smallfirst.evals.run_report import RunReport
    from smallfirst.evals.runner import Run
    from smallfirst.evals.session import Home
    from smallfirst.evals.store import Manifest, RunStore

app = typer.Typer(help="Evaluate models and releases on a task's examples, with error bars.")


@app.callback(invoke_without_command=True)
def eval_(
    context: typer.Context,
    task: str = typer.Option("", "--task", "-t", help="The task."),
    model: list[str] = typer.Option(
        [], "--model", "-m", help="A configured model, asked by itself; again for more."
    ),
    release: list[str] = typer.Option(
        [], help="A release, by its id or the beginning of it; again for more."
    ),
    no_frontier: bool = typer.Option(
        False,
        "--no-frontier",
        help="Do not ask the task's frontier model, which the others are compared with.",
    ),
    dataset: str = typer.Option("newest", help="A dataset's hash, or the newest of the task."),
    split: str = typer.Option("calibration", help="Which part of it: calibration, or train."),
    data: Path | None = typer.Option(
        None, help="Rows of a file instead: input, and label, fields or references."
    ),
    reference: str = typer.Option("", help="With --data: the field that says what is right."),
    limit: int | None = typer.Option(None, min=1, help="At most so many examples, drawn by their ids."),
    slice_: list[str] = typer.Option(
        [], "--slice", help="A field by which results are told apart; again for more."
    ),
    concurrency: int = typer.Option(8, min=1, help="How many questions each model is put at once."),
    max_usd: float | None = typer.Option(None, min=0, help="Stop before more than this is spent."),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask before money is spent."),
    resume: str = typer.Option("", metavar="RUN", help="Go on with a run that was not brought to its end."),
    note: str = typer.Option("", help="Why; kept with the run."),
    html: Path | None = typer.Option(
        None, help="Also write a page to look at, every example with its answers."
    ),
    picture: Path | None = typer.Option(None, help="Also draw quality over cost, as .svg or .png."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Ask models and releases a task's calibration examples and say how good, how dear and how fast each is.

    The same command again goes on with a run that was not brought to its end.
    """
    if context.invoked_subcommand is not None:
        return
    from smallfirst.datasets.mapping import Mapping
    from smallfirst.evals import material
    from smallfirst.evals.plan import planned, planned_again, task_of
    from smallfirst.evals.slices import check_fields
    from smallfirst.evals.store import Runs

    home = home_of(config)
    if resume:
        store = Runs(home.state).open(resume)
        told = store.manifest()
        plan = planned_again(store, home)
    else:
        contract = task_of(home, task).contract
        mapping = Mapping(reference=reference, slices=tuple(slice_) if data is not None else ())
        if data is None:
            found = material.from_dataset(home.state, task, dataset, split)
        else:
            given = material.from_file(data, contract, mapping)
            found = material.without_heldout(given, home.state, home.config, task)
            say_left_out(len(given.examples) - len(found.examples), data, task)
        found = found.limited(limit)
        plan = planned(home, task, models=model, releases=release, found=found, with_frontier=not no_frontier)
        told = plan.manifest(home, note=note, by=user_name(), slices=tuple(slice_))
        runs = Runs(home.state)
        store = runs.unfinished(told) or runs.new(task)
    check_fields(slice_ or told.slices, plan.work.examples)
    store.begin(told, plan.work.examples)
    confirm(plan, home, store, yes=yes, max_usd=max_usd)
    done = ask(plan, home, store, concurrency=concurrency, max_usd=max_usd)
    tell(
        plan.work,
        home,
        store,
        done,
        fields=slice_ or told.slices,
        html=html,
        picture=picture,
        as_json=as_json,
    )


@app.command(name="list")
def list_(config: Path | None = CONFIG, state: Path | None = STATE, as_json: bool = JSON) -> None:
    """The runs that were made here, newest first."""
    from smallfirst.evals.store import Runs

    rows = []
    for store in Runs(state_of(state, config)).list():
        told, answers = store.manifest(), store.read()
        rows.append(
            {
                "run": store.name,
                "at_ms": told.at_ms,
                "task": told.task,
                "arms": [arm.name for arm in told.arms],
                "examples": told.count,
                "dataset": told.dataset,
                "split": told.split,
                "finished": store.finished,
                "answers": len(answers),
                "by": told.by,
                "note": told.note,
            }
        )
    if as_json:
        typer.echo(msgspec.json.encode(rows).decode())
        return
    table = Table("run", "when (UTC)", "what answered", "examples", "state", "note")
    for row in rows:
        whole = len(row["arms"]) * row["examples"]
        table.add_row(
            escape(row["run"]),
            minute(row["at_ms"]),
            escape("\n".join(row["arms"])),
            f"{row['examples']:,}",
            "whole" if row["finished"] else f"{row['answers']:,} of {whole:,}",
            escape(row["note"]),
        )
    print_list(table, none="no run yet; `smallfirst eval --task TASK --model MODEL` makes one")


@app.command()
def show(
    run: str = typer.Argument(help="The run."),
    example: str = typer.Option("", help="Only this example, by its id."),
    where: str = typer.Option("", help="Only examples that are: wrong, differ, unmet, failed; or all."),
    arm: str = typer.Option("", help="With --where: only this arm's answers count."),
    limit: int = typer.Option(20, min=1, help="At most so many examples."),
    slice_: list[str] = typer.Option(
        [], "--slice", help="A field by which results are told apart; again for more."
    ),
    html: Path | None = typer.Option(
        None, help="Write a page to look at instead, with all examples that fit."
    ),
    picture: Path | None = typer.Option(None, help="Also draw quality over cost, as .svg or .png."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """A run's report again; or its examples, the answers side by side and what differs marked."""
    from smallfirst.evals.inspection import inspect
    from smallfirst.evals.runner import read_run
    from smallfirst.evals.store import Runs

    home = home_of(config)
    store = Runs(home.state).open(run)
    examples = store.examples()
    found = read_run(store, examples)
    if not example and not where:
        report = _report(store, found, examples, home, slice_)
        hand_out(report, found, examples, html=html, picture=picture, as_json=as_json)
        return
    fits = inspect(found, examples, where=where or "all", example=example, arm=arm)
    if html is not None:
        write_page(html, _report(store, found, examples, home, slice_), fits)
        return
    if as_json:
        typer.echo(msgspec.json.encode(fits[:limit]).decode())
        return
    out = Console()
    show_inspected(fits[:limit], found.manifest.reference, out)
    out.print(
        f"{min(limit, len(fits)):,} of {len(fits):,} that fit, of {len(examples):,} examples", highlight=False
    )


@app.command()
def compare(
    one: str = typer.Argument(metavar="RUN_A", help="The run before."),
    two: str = typer.Argument(metavar="RUN_B", help="The run after."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """How two runs differ on the examples that both have answered, paired, with intervals."""
    from smallfirst.evals.run_report import compare_runs
    from smallfirst.evals.runner import read_run
    from smallfirst.evals.store import Runs

    home = home_of(config)
    sides = []
    for name in (one, two):
        store = Runs(home.state).open(name)
        examples = store.examples()
        sides.append((store.name, read_run(store, examples), examples))
    compared = compare_runs(sides[0], sides[1], scorer=_scorer(sides[0][1].manifest, home))
    if as_json:
        typer.echo(msgspec.json.encode(compared).decode())
        return
    show_compared(compared, Console())


@app.command()
def outcomes(
    run: str = typer.Argument(help="The run."),
    out: Path = typer.Option(..., help="The file to write: a JSON object a line."),
    config: Path | None = CONFIG,
    state: Path | None = STATE,
    as_json: bool = JSON,
) -> None:
    """A run's answers as outcome rows, for `smallfirst router fit --outcomes` and other tools."""
    from smallfirst.evals.outcome_rows import outcome_rows
    from smallfirst.evals.runner import read_run
    from smallfirst.evals.store import Runs

    store = Runs(state_of(state, config)).open(run)
    examples = store.examples()
    rows = outcome_rows(read_run(store, examples), examples)
    out.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    if as_json:
        typer.echo(msgspec.json.encode({"rows": len(rows), "out": str(out)}).decode())
        return
    Console().print(f"{out}: {len(rows):,} rows", highlight=False)


def _report(
    store: RunStore, run: Run, examples: Sequence[Example], home: Home, fields: Sequence[str]
) -> RunReport:
    from smallfirst.evals.run_report import run_report

    return run_report(store.name, run, examples, scorer=_scorer(run.manifest, home), fields=fields)


def _scorer(manifest: Manifest, home: Home) -> Any:
    """The run's scorer, for its summary; None where the configuration's is another by now."""
    from smallfirst.evals.session import scorer_of

    task = home.config.tasks.get(manifest.task)
    if task is None:
        return None
    scorer, _ = scorer_of(task.scorer, task.contract, home)
    return scorer if scorer.id == manifest.scorer else None
