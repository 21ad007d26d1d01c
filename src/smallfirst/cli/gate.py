"""`smallfirst gate`: judge a candidate, show and approve what was found."""

from __future__ import annotations

import sys
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.state import CONFIG, JSON, home_of, utc
from smallfirst.cli.table import Table
from smallfirst.cli.verb import Verb
from smallfirst.user import user_name

if TYPE_CHECKING:
    from smallfirst.evals.session import Home
    from smallfirst.gate.gate import Found, Wish
    from smallfirst.gate.plan import Plan
    from smallfirst.releases.verdict import TaskVerdict, Verdict


class _Gate(Verb):
    default = "judge"


app = typer.Typer(
    cls=_Gate,
    help="The gate: `smallfirst gate [CANDIDATE]` judges a release on held-out examples, and nothing is promoted past it. "
    "Its options: `smallfirst gate judge --help`.",
    subcommand_metavar="[CANDIDATE] | COMMAND [ARGS]...",
)
_CANDIDATE = typer.Argument(help="A release's id, or the beginning of one.")
_OR_NEWEST = typer.Argument("", help="A release's id, or the beginning of one; default: the newest.")
_MARKDOWN = typer.Option(None, "--markdown", help="Also write the verdict here, for a pull request.")
_INTERRUPTED = 130
_COLOURS = {"pass": "green", "fail": "red", "not-enough-evidence": "yellow"}


@app.command()
def judge(
    candidate: str = _OR_NEWEST,
    task: str = typer.Option(
        "", "--task", "-t", help="Judge this task alone: a look, not a verdict on the release."
    ),
    plan: bool = typer.Option(
        False, "--plan", help="Only say what calibration leads to expect; spend no read."
    ),
    anyway: bool = typer.Option(False, "--anyway", help="Spend the read even where it promises little."),
    concurrency: int = typer.Option(8, min=1, max=1024, help="Questions at once that a model is put."),
    max_usd: float | None = typer.Option(None, min=0, help="Stop before more than this is spent."),
    markdown: Path | None = _MARKDOWN,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Compare a release with what is live and with the frontier alone. Exit status: 0 pass, 3 fail, 4 not enough evidence."""
    from smallfirst.gate.gate import Wish
    from smallfirst.releases import Releases

    home = home_of(config)
    wish = Wish(
        task=task,
        plan_only=plan,
        anyway=anyway,
        concurrency=concurrency,
        max_nusd=None if max_usd is None else int(Decimal(str(max_usd)) * 10**9),
    )
    found = _judged(home, candidate or Releases(home.state).newest(), wish, quiet=as_json)
    if found is None:
        typer.echo("stopped; what was answered is kept, and the same command goes on", err=True)
        raise typer.Exit(_INTERRUPTED)
    if as_json:
        typer.echo(msgspec.json.encode(_told(found)).decode())
    if found.verdict is None:
        if not found.plans and not as_json:
            typer.echo("no task has anything to be asked: a verdict spends no read")
        raise typer.Exit
    _hand_over(found.verdict, task=task, markdown=markdown, shown=not as_json)
    if not as_json and found.known:
        Console().print("This comparison was made before: its verdict is shown, and no read was spent.")


@app.command()
def show(
    candidate: str = _OR_NEWEST,
    verdict: str = typer.Option("", help="A verdict's id, or the beginning of one; default: the newest."),
    markdown: Path | None = _MARKDOWN,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """A verdict that was reached. Exit status as when it was."""
    from smallfirst.errors import ReleaseError
    from smallfirst.releases import Releases, Verdicts

    home = home_of(config)
    name, verdicts = (
        Releases(home.state).find(candidate or Releases(home.state).newest()),
        Verdicts(home.state),
    )
    names = [verdicts.find(name, verdict)] if verdict else verdicts.ids(name)
    if not names:
        raise ReleaseError(f"release {name[:12]} has no verdict; `smallfirst gate {name[:12]}` reaches one")
    found = verdicts.load(name, names[0])
    lapsed = verdicts.lapsed(name, names[0])
    if as_json:
        beside = {"id": names[0], "lapsed": lapsed, "approval": verdicts.approval(name, names[0])}
        typer.echo(msgspec.json.encode(beside | msgspec.to_builtins(found)).decode())
    for model, lapse in {} if as_json else lapsed.items():
        Console().print(f"[red]lapsed[/] on {model}: {escape(lapse.reason)}", highlight=False)
    _hand_over(found, task="", markdown=markdown, shown=not as_json)


@app.command()
def approve(
    candidate: str = _CANDIDATE,
    verdict: str = typer.Option(
        "", help="A verdict's id, or the beginning of one; default: the newest that passed."
    ),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Approve a passing verdict, as one of `gate.approvers` who did not build the release."""
    from smallfirst.gate.approval import approve

    approval = approve(home_of(config), candidate, by=user_name(), verdict=verdict)
    if as_json:
        typer.echo(msgspec.json.encode(approval).decode())
        return
    Console().print(f"verdict {approval.verdict[:12]} approved by {escape(approval.by)}", highlight=False)


@app.command()
def reads(
    task: str = typer.Option(..., "--task", "-t"),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Who read the held-out part of a task's dataset, for what, and what is left of its α."""
    from smallfirst.datasets import Datasets
    from smallfirst.gate.reads import Reads
    from smallfirst.statistics import spending

    home = home_of(config)
    wanted = home.config.tasks[task].gate.dataset if task in home.config.tasks else "newest"
    dataset = Datasets(home.state).open(wanted, task=task)
    alpha, seal = home.config.gate.alpha, dataset.manifest.seal
    kept = Reads(home.state, alpha=alpha)
    kin = kept.kin(dataset)
    made, elsewhere = kept.made(seal, *kin), kept.elsewhere(task, {seal, *kin})
    left = spending.left_after(len(made), alpha)
    if as_json:
        figures = {"dataset": dataset.id, "reads": made, "alpha_left": left, "reads_elsewhere": elsewhere}
        typer.echo(msgspec.json.encode(figures).decode())
        return
    out = Console()
    if made:
        out.print(_reads_table(made))
    out.print(
        f"the held-out part of {dataset.id[:12]} was read {_times(len(made))}; α left for all to come: {left:.4g} of {alpha:g}",
        highlight=False,
    )
    if elsewhere:
        out.print(
            f"other held-out parts of {escape(task)} were read {_times(elsewhere)}, each with an α of its own",
            highlight=False,
        )


def _times(count: int) -> str:
    return {0: "never", 1: "once"}.get(count, f"{count:,} times")


def _reads_table(made: list[dict[str, Any]]) -> Table:
    table = Table("read", "α spent", "release", "against", "by")
    for one in made:
        spent = f"{one['alpha']:.4g}"
        table.add_row(str(one["read"]), spent, one["release"][:12], one["comparator"][:12], escape(one["by"]))
    return table


def _judged(home: Home, candidate: str, wish: Wish, *, quiet: bool) -> Found | None:
    """What the gate found; None where it was stopped at once. Plans are printed as they are made, before a read is spent."""
    from smallfirst.cli.interrupt import run_interruptibly
    from smallfirst.cli.progress import progress_bar
    from smallfirst.gate.gate import Gate
    from smallfirst.gate.report import plan_words
    from smallfirst.money import format_usd

    out = Console(stderr=quiet)

    def planned(plan: Plan) -> None:
        first, *rest = plan_words(plan)
        out.print(f"[bold]{escape(first)}[/]", highlight=False)
        for line in rest:
            out.print(f"  {escape(line)}", highlight=False)

    with progress_bar() as bar:

        def told(step: str, done: int, total: int, spent_nusd: int) -> None:
            bar(f"{step} · {format_usd(spent_nusd)}", done, total)

        gate = Gate(home, candidate, wish, told=told, planned=planned)
        return run_interruptibly(gate.judge)


def _told(found: Found) -> dict[str, Any]:
    verdict = found.verdict
    named = {} if verdict is None else {"id": verdict.id} | msgspec.to_builtins(verdict)
    return named | {"plans": msgspec.to_builtins(found.plans), "known": found.known, "saved": found.saved}


def _hand_over(verdict: Verdict, *, task: str, markdown: Path | None, shown: bool) -> None:
    """Prints a verdict, writes it for a pull request, and ends the command with its status."""
    from smallfirst.gate.report import EXIT_STATUS
    from smallfirst.gate.report import markdown as written

    if markdown is not None:
        markdown.write_text(written(verdict, task=task), encoding="utf-8")
    if shown:
        _print(verdict, task)
    status = EXIT_STATUS[verdict.finding]
    if status:
        sys.stdout.flush()
        raise typer.Exit(status)


def _print(verdict: Verdict, task: str) -> None:
    from smallfirst.gate.report import WORDS

    out = Console()
    against = "baseline" if verdict.comparator == "baseline" else verdict.comparator[:12]
    out.print(
        f"[bold {_COLOURS[verdict.finding]}]{WORDS[verdict.finding]}[/]  release {verdict.candidate[:12]} against {against}, "
        f"{utc(verdict.at_ms)} by {escape(verdict.by)}",
        highlight=False,
    )
    if verdict.simulated:
        out.print(f"[yellow]simulated: {escape(', '.join(verdict.simulated))}[/]", highlight=False)
    for each in verdict.tasks:
        _print_task(out, each)
    if task:
        out.print(f"only {escape(task)} was judged: this is no verdict on the release", highlight=False)
        return
    out.print(f"verdict {verdict.id}", highlight=False)
    if verdict.finding == "pass":
        out.print(f"promote it: smallfirst release promote {verdict.candidate[:12]}", highlight=False)


def _print_task(out: Console, each: TaskVerdict) -> None:
    from smallfirst.gate.report import WORDS, budget_words, loss_words, points

    mark = f"[{_COLOURS[each.finding]}]{WORDS[each.finding]}[/]"
    if each.unchanged and not (each.comparisons or each.note):
        out.print(f"{escape(each.task)}: {mark}, the policy is the live one", highlight=False)
        return
    read = f"read {each.read}" if each.read else "held-out part not read"
    nothing = "no dataset" if each.finding == "not-enough-evidence" else "nothing had to be asked"
    of = f"{read} of {each.dataset[:12]}" if each.dataset else nothing
    out.print(f"[bold]{escape(each.task)}[/]: {mark}  ({of})", highlight=False)
    if each.note:
        out.print(f"  {escape(each.note)}", highlight=False)
    table = Table("against", "examples", "score", "theirs", "loss, 95 %", "bound", "margin", "")
    for one in each.comparisons:
        what = one.against + (f", {one.slice}" if one.slice else "")
        interval = f"{points(one.loss)} ({points(one.low)} to {points(one.high)})"
        table.add_row(
            escape(what),
            f"{one.examples:,}",
            f"{100 * one.score:.1f}",
            f"{100 * one.other_score:.1f}",
            interval,
            points(one.bound),
            points(one.margin),
            f"[{_COLOURS[one.finding]}]{WORDS[one.finding]}[/]",
        )
    if each.comparisons:
        out.print(table)
    for one in each.comparisons:
        if one.finding != "pass":
            name = f"{one.against}{', ' + one.slice if one.slice else ''}"
            out.print(f"  against {escape(name)}: {escape(loss_words(one))}", highlight=False)
    for budget in each.budgets:
        out.print(
            f"  [{_COLOURS[budget.finding]}]{WORDS[budget.finding]}[/]: {budget_words(budget)}",
            highlight=False,
        )
    for alert in each.alerts:
        out.print(
            f"  [yellow]looks worse[/] in {escape(alert.slice)}: loss {points(alert.loss)} on {alert.examples:,} examples, "
            f"p = {alert.p:.2g} after Holm's correction",
            highlight=False,
        )
