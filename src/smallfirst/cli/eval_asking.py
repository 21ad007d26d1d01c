"""What `smallfirst eval` does beside computing: asks before it spends, shows how far it is, says how to go on, and writes what is wanted."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console

from smallfirst.cli.eval_shown import show_estimate, show_report
from smallfirst.cli.interrupt import run_interruptibly
from smallfirst.cli.progress import progress_bar

if TYPE_CHECKING:
    from smallfirst.datasets.example import Example
    from smallfirst.evals.estimate import Estimate
    from smallfirst.evals.plan import Plan
    from smallfirst.evals.run_report import RunReport
    from smallfirst.evals.runner import Run, Work
    from smallfirst.evals.session import Home
    from smallfirst.evals.store import RunStore

_ASKS_FROM_USD = 1.0
_INTERRUPTED = 130


def confirm(plan: Plan, home: Home, store: RunStore, *, yes: bool, max_usd: float | None) -> None:
    """Says what it will cost, and asks where that is much or unknown. A cap is a consent."""
    from smallfirst.errors import EvalError
    from smallfirst.evals.estimate import estimate, history

    found = estimate(
        plan.work,
        home.config,
        answers=store.read(),
        judge=plan.judge,
        history=history(home.config, home.state),
    )
    if not found.calls:
        return
    told = Console(stderr=True)
    show_estimate(found, told)
    dear = found.real_usd is None or found.real_usd > _ASKS_FROM_USD
    if yes or max_usd is not None or not dear:
        return
    if not sys.stdin.isatty():
        raise EvalError(
            f"this may cost {_about(found)}: --yes agrees to it, --max-usd caps it (asked from ${_ASKS_FROM_USD:g} on)"
        )
    typer.confirm(f"Spend about {_about(found)}?", abort=True, err=True)


def say_left_out(rows: int, data: Path, task: str) -> None:
    """Says that rows of a file are not asked, because they are held out; nothing where there are none."""
    if rows:
        Console(stderr=True).print(
            f"{rows:,} rows of {data.name} are held out in datasets of {task} and are left out: the gate alone asks those.",
            highlight=False,
        )


def _about(found: Estimate) -> str:
    return (
        "an unknown sum, since a model has no price" if found.real_usd is None else f"${found.real_usd:,.2f}"
    )


def ask(plan: Plan, home: Home, store: RunStore, *, concurrency: int, max_usd: float | None) -> Run | None:
    """Asks what is missing; None where it was stopped at once."""
    from decimal import Decimal

    from smallfirst.errors import EvalError
    from smallfirst.evals.runner import Options
    from smallfirst.evals.session import evaluate
    from smallfirst.money import format_usd, nusd_from_usd

    cap = None if max_usd is None else nusd_from_usd(Decimal(str(max_usd)).quantize(Decimal("1e-9")))
    with progress_bar() as bar:

        def told(done: int, total: int, spent_nusd: int) -> None:
            bar(f"asking, {format_usd(spent_nusd)} so far", done, total)

        try:
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
        except EvalError as error:
            raise EvalError(f"{error}\n{_how_to_go_on(store)}") from error


def _how_to_go_on(store: RunStore) -> str:
    return f"What was answered is kept: `smallfirst eval --resume {store.name}` asks only what is missing."


def tell(
    work: Work,
    home: Home,
    store: RunStore,
    done: Run | None,
    *,
    fields: Sequence[str],
    html: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    from smallfirst.evals.run_report import run_report
    from smallfirst.evals.runner import read_run

    whole = done is not None and not done.stopped
    run = (
        done
        if done is not None
        else msgspec.structs.replace(read_run(store, work.examples), stopped="interrupted")
    )
    report = run_report(store.name, run, work.examples, scorer=work.scorer, fields=fields)
    hand_out(report, run, work.examples, html=html, picture=picture, as_json=as_json)
    if whole:
        return
    why = {"money": "the cap was reached", "failures": "some were not answered or not scored"}.get(
        run.stopped, run.stopped
    )
    typer.echo(f"{why}: {run.missing:,} answers are missing. {_how_to_go_on(store)}", err=True)
    raise typer.Exit(_INTERRUPTED if run.stopped == "interrupted" else 1)


def hand_out(
    report: RunReport,
    run: Run,
    examples: Sequence[Example],
    *,
    html: Path | None,
    picture: Path | None,
    as_json: bool,
) -> None:
    from smallfirst.evals.inspection import inspect
    from smallfirst.evals.picture import draw_arms

    if as_json:
        typer.echo(msgspec.json.encode(report.figures()).decode())
    else:
        show_report(report, Console())
    if html is not None:
        write_page(html, report, inspect(run, examples))
    if picture is not None:
        left_out = draw_arms(
            picture, report.arms, title=f"{report.manifest.task}, {report.compared:,} examples"
        )
        if left_out:
            Console(stderr=True).print(f"{picture}: {left_out} are not in it, since their cost is unknown")


def write_page(path: Path, report: RunReport, found: Sequence[Any]) -> None:
    from smallfirst.evals.page import run_page

    path.touch(mode=0o600)  # it holds what users asked
    path.write_text(run_page(report, found), "utf-8")
