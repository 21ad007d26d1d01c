"""What `smallfirst dataset distil` and `synthesise` have in common: the task, the dataset that is continued, and asking a teacher."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.eval_asking import confirm
from smallfirst.cli.eval_shown import show_estimate
from smallfirst.cli.interrupt import run_interruptibly
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import home_of
from smallfirst.user import user_name

if TYPE_CHECKING:
    from smallfirst.evals.plan import Plan
    from smallfirst.evals.runner import Run
    from smallfirst.evals.session import Home
    from smallfirst.teaching.lesson import Lesson
    from smallfirst.teaching.teacher import Teacher

_INTERRUPTED = 130


def open_lesson(config: Path | None, task: str, dataset: str, note: str) -> Lesson:
    """Raises as `teaching.lesson.lesson_of` does."""
    from smallfirst.teaching.lesson import lesson_of

    return lesson_of(home_of(config), task, dataset, note=note)


def ask(plan: Plan, lesson: Lesson, *, note: str, yes: bool, max_usd: float | None, concurrency: int) -> Run:
    """The teacher's answers, asked where they are not there yet. Ends the command where it was interrupted, or the cap was reached."""
    from smallfirst.errors import EvalError
    from smallfirst.evals.runner import read_run
    from smallfirst.teaching.asking import store_of

    store = store_of(plan, lesson.home, by=user_name(), note=note)
    before = read_run(store, plan.work.examples)
    if not before.missing:
        return before
    confirm(plan, lesson.home, store, yes=yes, max_usd=max_usd)
    try:
        done = _asked(plan, lesson.home, store, max_usd=max_usd, concurrency=concurrency)
    except EvalError as error:
        raise EvalError(f"{error}\n{_GO_ON}") from error
    run = done or msgspec.structs.replace(read_run(store, plan.work.examples), stopped="interrupted")
    if run.stopped in ("interrupted", "money"):
        _stop(run)
    return run


_GO_ON = "What was answered is kept: the same command again asks only what is missing."


def _stop(run: Run) -> NoReturn:
    why = {"money": "the cap was reached"}.get(run.stopped, run.stopped)
    typer.echo(f"{why}: {run.missing:,} answers are missing, and no dataset was made. {_GO_ON}", err=True)
    raise typer.Exit(_INTERRUPTED if run.stopped == "interrupted" else 1)


def _asked(plan: Plan, home: Home, store: Any, *, max_usd: float | None, concurrency: int) -> Run | None:
    from decimal import Decimal

    from smallfirst.evals.runner import Options
    from smallfirst.evals.session import evaluate
    from smallfirst.money import format_usd, nusd_from_usd

    cap = None if max_usd is None else nusd_from_usd(Decimal(str(max_usd)).quantize(Decimal("1e-9")))
    with progress_bar() as bar:

        def told(done: int, total: int, spent_nusd: int) -> None:
            bar(f"asking, {format_usd(spent_nusd)} so far", done, total)

        return run_interruptibly(
            lambda stop: evaluate(
                plan.work,
                home,
                store=store,
                judge=plan.judge,
                options=Options(concurrency=concurrency, max_nusd=cap, stop=stop),
                progress=told,
            )
        )


def forecast(plan: Plan, lesson: Lesson, out: Console | None) -> dict[str, Any]:
    """What asking would cost, shown and as figures; what was answered already costs nothing again."""
    from smallfirst.evals.estimate import estimate, history
    from smallfirst.teaching.asking import Askings

    home = lesson.home
    found = estimate(
        plan.work,
        home.config,
        answers=Askings(home.state).known(plan, plan.manifest(home)),
        judge=plan.judge,
        history=history(home.config, home.state),
    )
    if out is not None:
        show_estimate(found, out)
    return {"calls": found.calls, "usd": found.usd, "at_most_usd": found.at_most_usd}


def spent_usd(run: Run) -> float | None:
    """What the answers cost, whenever they were asked; None where a price is unknown."""
    costs = [answer.total_nusd for answer in run.answers.values()]
    return None if None in costs else sum(cost or 0 for cost in costs) / 1e9


def write_lines(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """A JSON object a line, whole or not at all; for its owner's eyes. Raises `DatasetError` where it cannot be written."""
    from smallfirst.durable import write_whole
    from smallfirst.errors import DatasetError

    try:
        write_whole(path, b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
    except OSError as error:
        raise DatasetError(f"{path} cannot be written: {error.strerror}") from error


def show_reasons(counts: Mapping[str, int], what: str, out: Console) -> None:
    """A line a reason, the commonest first."""
    for why, count in sorted(counts.items(), key=lambda item: -item[1]):
        out.print(f"{count:,} {what}: {escape(why)}", highlight=False)


def say_simulated(teacher: Teacher, out: Console) -> None:
    """Where the teacher only pretends, says so."""
    if teacher.simulated:
        out.print(
            f"[yellow]SIMULATED: {escape(teacher.name)} stands in for a model; what is learned from it says nothing of a real one.[/]",
            highlight=False,
        )
