"""`smallfirst router`: fit a task's router, measure one, score prompts, list what was fitted."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.intents import intents
from smallfirst.cli.progress import progress_bar
from smallfirst.cli.router_shown import percent, show_eval, show_fit, write_eval
from smallfirst.cli.state import CONFIG, JSON
from smallfirst.cli.table import Table, print_list
from smallfirst.training.fit_figures import fit_figures

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.training.bound import Goal
    from smallfirst.training.outcomes import Example
    from smallfirst.training.router_fit import Fit, Wanted
    from smallfirst.training.source import Source

app = typer.Typer(
    help="Routers: which calls a small model may answer, learned from outcomes.", no_args_is_help=True
)
_FIT = typer.Option(..., "--fit", help="Outcome rows to fit on, one JSON object a line.")
_SMALL = typer.Option(
    ...,
    "--small",
    help="The small model's name in the rows; again, or with commas, for a ladder of more, cheapest first.",
)
_FRONTIER = typer.Option(..., "--frontier", help="The frontier model's name in the rows.")
_EMBEDDER = typer.Option("wordllama", help="wordllama, minilm, model2vec:PATH, onnx:FOLDER or model:NAME.")
_MAX_LOSS = typer.Option(
    None,
    "--max-loss",
    min=0,
    max=1,
    help="The loss that is acceptable; default: the task's margin, less what a semantic cache may lose, else 0.02.",
)
_CONFIDENCE = typer.Option(0.95, min=0.5, max=0.9999, help="With which confidence the loss is kept.")
_SEED = typer.Option(0, help="Of the split and of everything that draws.")
_BY = typer.Option(
    "",
    metavar="MODEL",
    help="Ask this configured model how hard each call is, instead of learning it from what calls mean.",
)
_CONCURRENCY = typer.Option(8, min=1, help="With --by: how many questions are put to it at once.")


@app.command()
def fit(
    task: str = typer.Option(..., "--task", "-t", help="The task."),
    outcomes: Path | None = typer.Option(None, help="Outcome rows, one JSON object a line."),
    run: str = typer.Option(
        "", metavar="RUN", help="Instead of rows: the answers of a run of `smallfirst eval`."
    ),
    ladder: str = typer.Option(
        "",
        help="Models' names in the rows, cheapest first, with commas; default: the task's ladder, else by cost or score.",
    ),
    max_loss: float | None = _MAX_LOSS,
    confidence: float = _CONFIDENCE,
    budget_share: float | None = typer.Option(
        None, min=0, max=1, help="Instead of a loss: at most this share of calls to the frontier."
    ),
    budget_usd: float | None = typer.Option(
        None, min=0, help="Instead of a loss: at most this many US dollars for 1,000 calls."
    ),
    binary: bool = typer.Option(
        False,
        help="Every loss is 0 or 1 by construction (the frontier's answer is the reference): a sharper test.",
    ),
    by: str = _BY,
    concurrency: int = _CONCURRENCY,
    embedder: str = typer.Option("", help="Default: the task's, else wordllama."),
    calibration_share: float = typer.Option(0.4, min=0.05, max=0.95, help="Of the rows, kept for the bound."),
    seed: int = _SEED,
    note: str = typer.Option("", help="Why it was fitted; kept beside it."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Learn which calls the small models may answer, under a stated bound on the loss. Nothing that is served changes."""
    from smallfirst.training.router_fit import fit_router

    loaded, state = _configured(config)
    told = loaded.tasks.get(task) if loaded else None
    goal = _goal(max_loss, told.models_margin if told else 0.02, confidence, budget_share, budget_usd, binary)
    wanted_embedder = embedder or (told.router.embedder if told else "wordllama")
    after, before = (told.router.question_after, told.router.question_before) if told else ("", "")
    with progress_bar() as progress:
        source_name, examples = _fit_on(outcomes, run, state, after=after, before=before)
        names = _ladder(ladder, told, examples, source_name)
        wanted = _wanted(task, names, goal, loaded, state)
        wanted = msgspec.structs.replace(
            wanted,
            looks=told is None or told.router.verify or _checked(told),
            verify=told.router.verify if told else False,
            question_after=after,
            question_before=before,
            calibration_share=calibration_share,
            seed=seed,
        )
        source = _source(by, wanted_embedder, concurrency, config)
        found = fit_router(examples, wanted, source, progress)
    sha256 = _save(state, found, task, note)
    if as_json:
        typer.echo(msgspec.json.encode(fit_figures(found) | {"router": sha256}).decode())
        return
    show_fit(found, sha256)


@app.command(name="eval")
def eval_(
    fit: Path = _FIT,
    test: Path = typer.Option(
        ..., help="Outcome rows to measure on: only their messages are used before they are scored."
    ),
    small: list[str] = _SMALL,
    frontier: str = _FRONTIER,
    out: Path | None = typer.Option(
        None, help="A folder for the curve as PNG, SVG and CSV, and the figures as JSON."
    ),
    max_loss: float | None = _MAX_LOSS,
    confidence: float = _CONFIDENCE,
    by: str = _BY,
    concurrency: int = _CONCURRENCY,
    embedder: str = _EMBEDDER,
    seed: int = _SEED,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Fit on one file, measure on another: the cost–quality curve, calibration, and what the bound was worth."""
    from smallfirst.evals.router_report import evaluate

    names = (*_names(small), frontier)
    goal = _goal(max_loss, 0.02, confidence, None, None, binary=False)
    with progress_bar() as progress:
        report = evaluate(
            _read(fit, names),
            _read(test, names),
            _wanted("eval", names, goal, None, None, seed=seed),
            _source(by, embedder, concurrency, config),
            progress,
        )
    figures = report.figures()
    if out is not None:
        write_eval(out, report, figures, f"{fit.stem} → {test.stem}")
    if as_json:
        typer.echo(msgspec.json.encode(figures).decode())
        return
    show_eval(report, figures, out)


@app.command()
def score(
    fit: Path = _FIT,
    test: Path = typer.Option(..., help="Rows with `messages`; they need no outcomes."),
    small: list[str] = _SMALL,
    frontier: str = _FRONTIER,
    out: Path = typer.Option(..., help="The CSV to write: id, p_small, p_frontier, score."),
    by: str = _BY,
    concurrency: int = _CONCURRENCY,
    embedder: str = _EMBEDDER,
    seed: int = _SEED,
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Fit on one file and score the prompts of another, for your own measurements. A higher score is more reason for the frontier."""
    from smallfirst.evals.router_report import score as scored_by

    names = (*_names(small), frontier)
    goal = _goal(None, 0.02, 0.95, None, None, binary=False)
    rows = _read(test)
    with progress_bar() as progress:
        scored = scored_by(
            _read(fit, names),
            [row.prompt for row in rows],
            _wanted("score", names, goal, None, None, seed=seed),
            _source(by, embedder, concurrency, config),
            progress,
        )
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "p_small", "p_frontier", "score"))
        for row, *numbers in zip(rows, scored.p_small, scored.p_frontier, scored.score, strict=True):
            writer.writerow((row.id, *(f"{number:.9g}" for number in numbers)))
    if as_json:
        typer.echo(msgspec.json.encode({"rows": len(rows), "out": str(out)}).decode())
        return
    Console().print(f"{out}: {len(rows):,} scored", highlight=False)


app.command()(intents)


@app.command(name="list")
def list_(config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """The routers that were fitted here, newest first."""
    from smallfirst.classify.store import Artifacts

    _, state = _configured(config)
    found = Artifacts(state).list(kind="router")
    if as_json:
        typer.echo(msgspec.json.encode(found).decode())
        return
    table = Table("router", "task", "small", "loss", "at most", "examples", "note")
    for item in found:
        told = item.described.report
        table.add_row(
            item.sha256[:12],
            escape(item.described.task),
            percent(told.get("small_share")),
            percent(told.get("loss")),
            percent(told.get("loss_bound")),
            str(told.get("examples", "")),
            escape(item.described.note),
        )
    print_list(table, none="no router yet; `smallfirst router fit` makes one")


def _fit_on(
    outcomes: Path | None, run: str, state: Path, *, after: str, before: str
) -> tuple[Path, list[Example]]:
    """The examples to fit on, and what they are called. Raises `ConfigError` unless one source is given."""
    from smallfirst.errors import ConfigError

    if (outcomes is None) == (not run):
        raise ConfigError("give --outcomes FILE, or --run with a run of `smallfirst eval`")
    if outcomes is not None:
        return outcomes, _read(outcomes, after=after, before=before)
    from smallfirst.evals.outcome_rows import outcome_rows
    from smallfirst.evals.runner import read_run
    from smallfirst.evals.store import Runs
    from smallfirst.training.outcomes import examples_of

    store = Runs(state).open(run)
    asked = store.examples()
    rows = outcome_rows(read_run(store, asked), asked)
    return Path(store.name), examples_of(rows, after=after, before=before)


def _read(path: Path, names: Sequence[str] = (), *, after: str = "", before: str = "") -> list[Example]:
    from smallfirst.training.outcomes import check_models, read_outcomes

    examples = read_outcomes(path, after=after, before=before)
    check_models(examples, names, path)
    return examples


def _goal(
    max_loss: float | None,
    margin: float,
    confidence: float,
    budget_share: float | None,
    budget_usd: float | None,
    binary: bool,
) -> Goal:
    from smallfirst.errors import ConfigError
    from smallfirst.training.bound import Goal

    if sum(value is not None for value in (max_loss, budget_share, budget_usd)) > 1:
        raise ConfigError(
            "--max-loss, --budget-share and --budget-usd exclude one another: choose what is to be kept"
        )
    return Goal(
        margin=margin if max_loss is None else max_loss,
        confidence=confidence,
        frontier_share=budget_share,
        usd_per_call=None if budget_usd is None else budget_usd / 1000,
        binary=binary,
    )


def _names(given: Sequence[str]) -> tuple[str, ...]:
    """Names given one by one, or with commas."""
    return tuple(name.strip() for part in given for name in part.split(",") if name.strip())


def _ladder(named: str, task: Any, examples: Sequence[Example], path: Path) -> tuple[str, ...]:
    """The models by name: as given, as the task has them, or all of the rows', by cost where it is told, else by score."""
    from smallfirst.errors import ConfigError
    from smallfirst.training.outcomes import check_models, ladder_of

    if named:
        names = _names([named])
    elif task is not None:
        names = tuple(rung if isinstance(rung, str) else rung.model for rung in task.ladder)
    else:
        names = ladder_of(examples)
    if len(names) < 2:
        raise ConfigError(f"a ladder has at least two models, and this one has: {', '.join(names) or 'none'}")
    check_models(examples, names, path)
    return names


def _wanted(
    task: str, names: tuple[str, ...], goal: Goal, config: Config | None, state: Path | None, *, seed: int = 0
) -> Wanted:
    from smallfirst.releases import LearnedHere
    from smallfirst.releases.policy import asked_as, rungs_asked_as
    from smallfirst.training.router_fit import Wanted

    heads, models = [""] * len(names), [""] * len(names)
    rungs: dict[str, str] = {}
    if config is not None and state is not None and task in config.tasks:
        rungs = rungs_asked_as(task, config, LearnedHere(state))
    for at, name in enumerate(names):
        model = config.models.get(name) if config else None
        if config is None or model is None or state is None:
            continue
        models[at] = rungs.get(name) or asked_as(model.provider, model.id or name)
        if config.providers[model.provider].kind == "head":
            heads[at] = LearnedHere(state).head(model.weights_sha256 or model.id or name)
    return Wanted(task=task, ladder=names, goal=goal, heads=tuple(heads), asked_as=tuple(models), seed=seed)


def _source(by: str, embedder: str, concurrency: int, config: Path | None) -> Source:
    """Where the router's figures are to come from. Raises `ConfigError` where it cannot be had."""
    from smallfirst.config import find, load
    from smallfirst.models.embeddings_http import embedder_of
    from smallfirst.training.learned_source import LearnedSource

    if not by:
        return LearnedSource(embedder_of(embedder, _configured(config)[0], os.environ))
    from smallfirst.training.asked_source import AskedSource
    from smallfirst.training.ratings import Rater

    path = find(config)
    loaded = load(path)
    state = (path.parent / loaded.storage.path).resolve()
    return AskedSource(
        Rater(loaded, by, state=state, base=path.parent, environ=os.environ, concurrency=concurrency)
    )


def _checked(task: Any) -> bool:
    """Whether the task's answers are held back until they are checked, so that a second look costs no waiting."""
    from smallfirst.contracts import TextContract

    return not isinstance(task.contract, TextContract)


def _configured(config: Path | None) -> tuple[Config | None, Path]:
    """The configuration where there is one, and the state directory."""
    from smallfirst.config import find, load
    from smallfirst.errors import ConfigError

    try:
        path = find(config)
    except ConfigError:
        if config is not None:
            raise
        return None, Path(".smallfirst").resolve()
    loaded = load(path)
    return loaded, (path.parent / loaded.storage.path).resolve()


def _save(state: Path, found: Fit, task: str, note: str) -> str:
    from smallfirst.classify.store import Artifacts, Described

    described = Described(
        at_ms=int(time.time() * 1000), kind="router", task=task, note=note, report=fit_figures(found)
    )
    return Artifacts(state).save(found.data, described)
