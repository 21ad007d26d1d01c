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
    from smallfirst.training.labels import LabelRow


def train(
    task: str = typer.Argument(help="The task: its contract is one label of a set."),
    data: Path | None = typer.Option(
        None, help='Examples, one JSON object a line: {"id", "input", "label"}.'
    ),
    dataset: str = typer.Option(
        "", help="Or the train part of a dataset: newest, or a hash. It is named in the head's description."
    ),
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
    from smallfirst.training.labels import check_labels

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
    rows, source, used = _rows(data, dataset, state, task)
    check_labels(rows, contract.labels, source)
    with progress_bar() as progress:
        fitted = fit_head(rows, open_embedders(embedder), task=task, seed=seed, progress=progress)
    sha256 = _save(state, fitted, task, note, dataset=used)
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
        told = {"head": sha256} | ({"dataset": used} if used else {}) | fitted.report
        typer.echo(msgspec.json.encode(told).decode())
        return
    _show(fitted, sha256, outcomes)


def _rows(data: Path | None, dataset: str, state: Path, task: str) -> tuple[list[LabelRow], Path | str, str]:
    """The examples, what they are called in messages, and the hash of the dataset that they are of (empty for a file)."""
    from smallfirst.datasets.store import Datasets
    from smallfirst.errors import ConfigError
    from smallfirst.training.labels import labels_of, read_labels

    if (data is None) == (not dataset):
        raise ConfigError("give either --data FILE or --dataset newest (or a hash)")
    if data is not None:
        return read_labels(data), data, ""
    found = Datasets(state).open(dataset, task=task)
    if found.manifest.task != task:
        raise ConfigError(
            f"dataset {found.id[:12]} is of task {found.manifest.task!r}, not of {task!r}", path="--dataset"
        )
    return labels_of(found.examples("train")), f"dataset {found.id[:12]}", found.id


def _save(state: Path, fitted: HeadFit, task: str, note: str, *, dataset: str) -> str:
    from smallfirst.classify.store import Artifacts, Described

    report = fitted.report | ({"dataset": dataset} if dataset else {})
    described = Described(at_ms=int(time.time() * 1000), kind="head", task=task, note=note, report=report)
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
