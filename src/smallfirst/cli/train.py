"""`smallfirst train`: a small model from examples. A label head takes seconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON

if TYPE_CHECKING:
    from smallfirst.training.label_head import HeadFit


def train(
    task: str = typer.Argument(help="The task: its contract is one label of a set."),
    data: Path = typer.Option(..., help='Examples, one JSON object a line: {"id", "input", "label"}.'),
    method: str = typer.Option("head", help="head: a linear classifier over embeddings."),
    embedder: list[str] = typer.Option(
        [],
        help="wordllama, minilm, …; again for several. Default: wordllama, and minilm where it is installed.",
    ),
    outcomes: Path | None = typer.Option(
        None,
        help="Also write what the head says of each example when it has not seen it: outcome rows for `router fit`.",
    ),
    model: str = typer.Option(
        "", help="The head's name in these rows; default: the configured model that is this head."
    ),
    seed: int = typer.Option(0, help="Of everything that draws."),
    note: str = typer.Option("", help="Why it was trained; kept beside it."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Train a small model on a task's examples. Nothing that is served changes until a release is built with it."""
    from smallfirst.config import find, load
    from smallfirst.contracts import LabelContract
    from smallfirst.errors import ConfigError
    from smallfirst.training.label_head import fit_head, open_embedders
    from smallfirst.training.labels import check_labels, read_labels

    path = find(config)
    loaded = load(path)
    state = (path.parent / loaded.storage.path).resolve()
    if method != "head":
        raise ConfigError(f"--method {method} is not known (known: head)")
    told = loaded.tasks.get(task)
    if told is None:
        raise ConfigError(f"task {task!r} is not known (tasks: {', '.join(loaded.tasks) or 'none'})")
    contract = told.contract
    if not isinstance(contract, LabelContract) or contract.pick not in ("one", "ordinal"):
        raise ConfigError(
            f"tasks.{task}.contract: a head answers with one label of a set, and this contract wants something else"
        )
    rows = read_labels(data)
    check_labels(rows, contract.labels, data)
    with progress_bar() as progress:
        fitted = fit_head(rows, open_embedders(embedder), task=task, seed=seed, progress=progress)
    sha256 = _save(state, fitted, task, note)
    if outcomes is not None:
        name = model or next(
            (
                name
                for name, one in loaded.models.items()
                if loaded.providers[one.provider].kind == "head" and (one.id or name) == task
            ),
            "head",
        )
        outcomes.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in fitted.outcome_rows(name)))
    if as_json:
        typer.echo(msgspec.json.encode({"head": sha256} | fitted.report).decode())
        return
    _show(fitted, sha256, outcomes)


def _save(state: Path, fitted: HeadFit, task: str, note: str) -> str:
    from smallfirst.classify.store import Artifacts, Described

    described = Described(
        at_ms=int(time.time() * 1000), kind="head", task=task, note=note, report=fitted.report
    )
    return Artifacts(state).save(fitted.data, described)


def _show(fitted: HeadFit, sha256: str, outcomes: Path | None) -> None:
    out = Console()
    told: dict[str, Any] = fitted.report
    out.print(
        f"head [bold]{sha256[:12]}[/] for {escape(told['task'])}: {told['labels']} labels from {told['examples']:,} examples "
        f"in {told['fit_s']:.1f} s, by {' and '.join(told['embedders'])}",
        highlight=False,
    )
    out.print(
        f"cross-validated on the same examples: {told['accuracy']:.1%} right, {told['accuracy_at_80']:.1%} on the surest 80 %",
        highlight=False,
    )
    if outcomes is not None:
        out.print(f"outcome rows: {outcomes}", highlight=False)
