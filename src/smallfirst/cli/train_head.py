"""`smallfirst train --method head`: a linear classifier over embeddings, in seconds."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.train_job import Job

if TYPE_CHECKING:
    from smallfirst.training.label_head import HeadFit
    from smallfirst.training.labels import LabelRow
    from smallfirst.training.tuned import Tunes


class HeadOptions(msgspec.Struct, frozen=True, kw_only=True):
    """`outcomes`: where outcome rows are written, of a model called `model`."""

    data: Path | None
    embedder: list[str]
    outcomes: Path | None
    model: str


def train_head(job: Job, options: HeadOptions, *, tuner: Callable[[], Tunes] | None = None) -> None:
    """Trains, saves and prints. `tuner` opens what tunes an encoder too, once the examples are known to be good."""
    from smallfirst.contracts import LabelContract
    from smallfirst.errors import ConfigError
    from smallfirst.training.label_head import fit_head, open_embedders
    from smallfirst.training.labels import check_labels

    contract = job.told.contract
    if not isinstance(contract, LabelContract) or contract.pick not in ("one", "ordinal"):
        raise ConfigError(
            f"tasks.{job.task}.contract: a head answers with one label of a set, and this contract wants something else: "
            "--method lora tunes a language model for it, --method retrieval shows examples to one"
        )
    rows, source, used = _rows(job, options.data)
    check_labels(rows, contract.labels, source)
    tunes = tuner() if tuner else None
    with progress_bar() as progress:
        fitted = fit_head(
            rows,
            open_embedders(options.embedder),
            task=job.task,
            seed=job.seed,
            progress=progress,
            tunes=tunes,
        )
    sha256 = _save(job, fitted, dataset=used)
    if tunes is not None:
        tunes.forget()
    if options.outcomes is not None:
        name = options.model or _configured(job) or "head"
        options.outcomes.write_bytes(
            b"".join(msgspec.json.encode(row) + b"\n" for row in fitted.outcome_rows(name))
        )
    if job.as_json:
        told = {"head": sha256} | ({"dataset": used} if used else {}) | fitted.report
        typer.echo(msgspec.json.encode(told).decode())
        return
    _show(fitted, sha256, options.outcomes)


def _configured(job: Job) -> str | None:
    """The configured model that is this task's head."""
    config = job.home.config
    return next(
        (
            name
            for name, one in config.models.items()
            if config.providers[one.provider].kind == "head" and (one.id or name) == job.task
        ),
        None,
    )


def _rows(job: Job, data: Path | None) -> tuple[list[LabelRow], Path | str, str]:
    """The examples, what they are called in messages, and the hash of the dataset that they are of (empty for a file)."""
    from smallfirst.errors import ConfigError
    from smallfirst.training.labels import labels_of, read_labels

    if data is not None and job.dataset:
        raise ConfigError("give either --data FILE or --dataset newest (or a hash), not both")
    if data is not None:
        return read_labels(data), data, ""
    found = job.opened()
    return labels_of(found.examples("train")), f"dataset {found.id[:12]}", found.id


def _save(job: Job, fitted: HeadFit, *, dataset: str) -> str:
    from smallfirst.classify.store import Artifacts, Described

    report = fitted.report | ({"dataset": dataset} if dataset else {})
    described = Described(
        at_ms=int(time.time() * 1000), kind="head", task=job.task, note=job.note, report=report
    )
    return Artifacts(job.state).save(fitted.data, described)


def _show(fitted: HeadFit, sha256: str, outcomes: Path | None) -> None:
    out = Console()
    told: dict[str, Any] = fitted.report
    out.print(
        f"head [bold]{sha256[:12]}[/] for {escape(told['task'])}: {told['labels']} labels from {told['examples']:,} examples "
        f"in {told['fit_s']:.1f} s, by {' and '.join(told['embedders'])}",
        highlight=False,
        soft_wrap=True,
    )
    out.print(
        f"cross-validated on the same examples: {told['accuracy']:.1%} right, {told['accuracy_at_80']:.1%} on the surest 80 %",
        highlight=False,
    )
    if outcomes is not None:
        out.print(f"outcome rows: {outcomes}", highlight=False)
