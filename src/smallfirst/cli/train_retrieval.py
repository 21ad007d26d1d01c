"""`smallfirst train --method retrieval`: an index of examples that a rung shows its model, in seconds."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.train_job import Job

if TYPE_CHECKING:
    from smallfirst.training.retrieval import Index

_DEFAULT = "wordllama"


def train_retrieval(job: Job, embedder: list[str]) -> None:
    """Makes the index, saves and prints."""
    from smallfirst.errors import ConfigError
    from smallfirst.models.embeddings_http import embedder_of
    from smallfirst.training.retrieval import Wanted, make_index

    if len(embedder) > 1:
        raise ConfigError("an index has one embedder", path="--embedder")
    dataset = job.opened()
    router = job.told.router
    wanted = Wanted(
        task=job.task,
        contract=job.told.contract,
        dataset=dataset.id,
        question_after=router.question_after,
        question_before=router.question_before,
        erased=_erased(job.state),
        seed=job.seed,
    )
    found = embedder_of(embedder[0] if embedder else _DEFAULT, job.home.config, job.home.environ)
    with progress_bar() as progress:
        made = make_index(dataset.examples("train"), wanted, found, progress=progress)
    sha256 = _save(job, made)
    if job.as_json:
        typer.echo(msgspec.json.encode({"index": sha256} | made.report).decode())
        return
    _show(sha256, job.task, made.report, Console(highlight=False, soft_wrap=True))


def _erased(state: Path) -> frozenset[bytes]:
    """The calls that were forgotten; none where there is no ledger."""
    from smallfirst.errors import StateError
    from smallfirst.ledger import Ledger

    try:
        ledger = Ledger.read(state)
    except StateError:
        return frozenset()
    with ledger:
        return ledger.queries.tombstones()


def _save(job: Job, made: Index) -> str:
    from smallfirst.classify.examples import KIND
    from smallfirst.classify.store import Artifacts, Described

    described = Described(
        at_ms=int(time.time() * 1000), kind=KIND, task=job.task, note=job.note, report=made.report
    )
    return Artifacts(job.state).save(made.data, described, rows=made.rows)


def _show(sha256: str, task: str, told: dict[str, Any], out: Console) -> None:
    synthetic = f", {told['synthetic']:,} of them synthetic" if told["synthetic"] else ""
    out.print(
        f"index [bold]{sha256[:12]}[/] for {escape(task)}: {told['examples']:,} examples{synthetic} of dataset {told['dataset'][:12]}, "
        f"by {escape(told['embedder'])}; {told['memory_bytes'] / 1e6:.1f} MB in memory"
    )
    if told["tenants"]:
        out.print(
            f"{told['tenants']:,} tenants find their own and the {told['everybodys']:,} that are nobody's in particular"
        )
    if told["nearest_same_answer"] is not None:
        out.print(f"the nearest other example has the same answer for {told['nearest_same_answer']:.1%}")
    for why, count in told["left_out"].items():
        out.print(f"left out: {count:,} {why}")
    out.print(
        f'show them to a model: a rung {{ model = "…", retrieve = {{ k = 8 }} }} in tasks.{escape(task)}.ladder, '
        "then `smallfirst release build`",
        markup=False,
    )
