"""`smallfirst improve`: from a task's calls to a canary, or as far as the gate lets it."""

from __future__ import annotations

import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON, home_of
from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.evals.session import Home
    from smallfirst.improve.improver import Asked
    from smallfirst.improve.record import Done, Record, Step

_STATUS_BY_END = {"refused": 3, "undecided": 4}
_INTERRUPTED = 130
_UNITS_S = {"d": 86_400, "h": 3600, "m": 60, "s": 1}


def improve(
    task: str = typer.Argument(help="The task."),
    dataset: str = typer.Option(
        "",
        help="build (from the ledger), newest, or a hash; default: build, but newest where that was made of files.",
    ),
    canary: str = typer.Option(
        "5%,25%,100%", metavar="STAGES", help="The stages of the canary, once the gate is passed."
    ),
    propose: bool = typer.Option(
        False, "--propose", help="Stop before the canary: somebody else promotes it."
    ),
    watch: bool = typer.Option(False, "--watch", help="Again and again, and only propose."),
    every: str = typer.Option("1d", help="With --watch: how often, as 1d, 12h, 30m."),
    max_usd: float | None = typer.Option(None, min=0, help="Stop before more than this is spent."),
    concurrency: int = typer.Option(8, min=1, help="How many questions each model is put at once."),
    fresh: bool = typer.Option(
        False, "--fresh", help="Begin anew where an earlier one was not brought to its end."
    ),
    yes: bool = typer.Option(False, "--yes", "-y", help="Do not ask before the first step."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Dataset, head, router, release, gate, canary: one command. It shows its plan first, and goes on where it was stopped.

    Exit status: 0 where it came to a canary or a proposal, or there was nothing to gain; 3 where the gate refused, 4 where it could not decide.
    """
    from smallfirst.cli.release_moves import shares
    from smallfirst.improve.improver import Asked

    home = home_of(config)
    asked = Asked(
        task=task,
        dataset=dataset,
        stages=() if propose or watch else shares(canary, option="--canary"),
        max_nusd=None if max_usd is None else int(Decimal(str(max_usd)) * 10**9),
        concurrency=concurrency,
    )
    if watch:
        _watch(config, asked, _seconds(every), as_json=as_json)
        return
    _show_plan(home, asked, fresh=fresh)
    _agree(yes=yes or max_usd is not None)
    try:
        record = _run(home, asked, fresh=fresh, shown=not as_json)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on with the step that was not over", err=True)
        raise typer.Exit(_INTERRUPTED) from None
    _hand_over(record, as_json=as_json)
    raise typer.Exit(_STATUS_BY_END.get(record.end or "", 0))


def _agree(*, yes: bool) -> None:
    """A cap is a consent too. Where nobody can be asked, one of the two is needed."""
    from smallfirst.errors import ConfigError

    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigError("models are asked, and some cost money: --yes agrees to it, --max-usd caps it")
    typer.confirm("Go on?", abort=True, err=True)


def _run(home: Home, asked: Asked, *, fresh: bool, shown: bool) -> Record:
    from smallfirst.improve.improver import Improver

    out = Console(stderr=not shown)

    def done(step: Step, what: Done) -> None:
        if shown:
            out.print(f"[bold]{step}[/]: {escape(_in_words(step, what))}", highlight=False)

    with progress_bar() as progress:
        return Improver(home, asked, fresh=fresh, progress=progress, done=done).run()


def _watch(config: Path | None, asked: Asked, every_s: float, *, as_json: bool) -> None:
    """On a schedule: what goes wrong is said, and the next time comes."""
    from smallfirst.errors import SmallfirstError

    last = ""
    while True:
        try:
            record = _run(home_of(config), asked, fresh=False, shown=not as_json)
        except SmallfirstError as error:
            typer.echo(f"{asked.task}: {error}", err=True)
        else:
            if record.why != last:
                _hand_over(record, as_json=as_json)
            last = record.why
        time.sleep(every_s)


def _show_plan(home: Home, asked: Asked, *, fresh: bool) -> None:
    """What each step will do, and about what it costs, on stderr."""
    from smallfirst.improve.plan import plan_of

    table = Table("step", "what it does", "costs about", title=f"improve {escape(asked.task)}")
    for line in plan_of(home, asked, fresh=fresh):
        mark = "[green]done[/]" if line.done else line.step
        table.add_row(mark if not line.done else f"{line.step} {mark}", escape(line.what), escape(line.cost))
    Console(stderr=True).print(table)


def _hand_over(record: Record, *, as_json: bool) -> None:
    if as_json:
        typer.echo(msgspec.json.encode(record).decode())
        return
    Console().print(f"[bold]{record.end}[/]: {escape(record.why)}", highlight=False)


def _in_words(step: Step, done: Done) -> str:
    told: dict[str, Any] = done.told
    if done.state == "skipped":
        return f"nothing to do: {told['why']}"
    if step == "dataset":
        return f"{told['dataset'][:12]}, {told['why']}"
    if step == "head":
        right = "" if told.get("accuracy") is None else f", {told['accuracy']:.1%} right in cross-validation"
        return f"{told['head'][:12]}{right}{'' if told['new'] else ' (the one that there was)'}"
    if step == "answers":
        return f"run {told['run']}, {told['examples']:,} calibration examples"
    if step == "router":
        return (
            f"{told['router'][:12]}: {told['small_share']:.1%} of calls stay small, loss at most {told['loss_bound']:.2%}"
            + ("" if told["kept"] else " (not promised)")
        )
    if step == "release":
        return (
            f"{told['release'][:12]}{'' if told['new'] else ' (it was there)'}, against {told['live'][:12]}"
        )
    if step == "gate":
        findings = ", ".join(f"{task}: {found['finding']}" for task, found in told["tasks"].items())
        return f"{told['finding']} ({findings}); `smallfirst gate show {told['release'][:12]}`"
    return f"{told['release'][:12]}"


def _seconds(text: str) -> float:
    from smallfirst.errors import ConfigError

    if text[:-1].isdigit() and text[-1:] in _UNITS_S and int(text[:-1]):
        return float(int(text[:-1]) * _UNITS_S[text[-1]])
    raise ConfigError(f"expected how often as 1d, 12h, 30m, not {text!r}", path="--every")
