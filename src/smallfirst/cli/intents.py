"""`smallfirst router intents`: learn which of the configured tasks a call is, or none of them."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.progress import progress_bar
from smallfirst.cli.state import CONFIG, JSON
from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.training.intent_fit import IntentFit


def intents(
    examples: Path = typer.Option(
        ...,
        help='Rows {"messages" or "input", "task", "id"}, one JSON object a line; "task": null or "oos" is none of the tasks.',
    ),
    embedder: str = typer.Option(
        "wordllama", help="wordllama, minilm, model2vec:PATH, onnx:FOLDER or model:NAME."
    ),
    seed: int = typer.Option(0, help="Of everything that draws."),
    note: str = typer.Option("", help="Why it was fitted; kept beside it."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Learn which task a call is, or that it is none, for callers that ask for the model `auto`. Nothing that is served changes."""
    from smallfirst.config import find, load
    from smallfirst.errors import ConfigError
    from smallfirst.models.embeddings_http import embedder_of
    from smallfirst.training.intent_fit import fit_task_intents
    from smallfirst.training.task_rows import read_task_examples

    path = find(config)
    loaded = load(path)
    state = (path.parent / loaded.storage.path).resolve()
    if not loaded.tasks:
        raise ConfigError("there is no [tasks.NAME] in the configuration, so there is nothing to tell apart")
    rows = read_task_examples(examples, loaded.tasks)
    with progress_bar() as progress:
        found = fit_task_intents(
            rows, embedder_of(embedder, loaded, os.environ), seed=seed, progress=progress
        )
    sha256 = _save(state, found, note)
    absent = [name for name in loaded.tasks if name not in found.fitted.tasks]
    if as_json:
        told = {"intents": sha256} | found.report | {"tasks_without_examples": absent}
        typer.echo(msgspec.json.encode(told).decode())
        return
    _show(found, sha256, absent)


def _save(state: Path, found: IntentFit, note: str) -> str:
    from smallfirst.classify.store import Artifacts, Described

    described = Described(
        at_ms=int(time.time() * 1000), kind="intents", task="", note=note, report=found.report
    )
    return Artifacts(state).save(found.data, described)


def _show(found: IntentFit, sha256: str, absent: list[str]) -> None:
    out, told = Console(), found.report
    out.print(
        f"intent classifier [bold]{sha256[:12]}[/]: {len(found.fitted.tasks)} tasks from {told['examples']:,} examples and "
        f"{told['out_of_scope']:,} out of scope in {told['fit_s']:.1f} s, by {escape(told['embedder'])}",
        highlight=False,
    )
    table = Table("task", "examples", "with a system prompt", "likeliest", "taken for any")
    for name, one in told["by_task"].items():
        counts = (f"{one['examples']:,}", f"{one['with_system_prompt']:,}")
        table.add_row(escape(name), *counts, _percent(one["accuracy"]), _percent(one["kept"]))
    out.print(table)
    recall = (
        "no example is out of scope, so how many are recognised was not measured"
        if told["oos_recall"] is None
        else f"{_percent(told['oos_recall'])} of those out of scope are recognised"
    )
    out.print(
        f"cross-validated: the likeliest task is right for {_percent(told['accuracy'])}; {_percent(told['kept'])} are taken for a task, and {recall}",
        highlight=False,
    )
    if told["system_prompts"]:
        alone = told["question_alone"]
        out.print(
            f"without their system prompts: {_percent(alone['accuracy'])} and {_percent(alone['kept'])}",
            highlight=False,
        )
    else:
        out.print(
            "[yellow]system prompts are not compared[/]: the examples have none, or all the same; calls are taken by their question alone",
            highlight=False,
        )
    if absent:
        out.print(
            f"[yellow]without examples, so never chosen[/]: {escape(', '.join(absent))}", highlight=False
        )
    out.print("next: smallfirst release build", highlight=False)


def _percent(value: Any) -> str:
    return "–" if value is None else f"{value:.1%}"
