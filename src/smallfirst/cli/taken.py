"""What `smallfirst explain` says of a call that names no task: which one it would be taken for, or none."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from rich.console import Console
from rich.markup import escape

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.routing.intent import Intent
    from smallfirst.wire.incoming import Incoming


def take(
    incoming: Incoming, config: Config, sha256: str | None, weights: Path | None, release: str
) -> Intent:
    """What the intent classifier of a release takes the call for. Raises `ConfigError` where there is no classifier."""
    from smallfirst.errors import ConfigError
    from smallfirst.models.embeddings_http import embedder_of
    from smallfirst.releases import weights_path
    from smallfirst.routing.intent import load_intents

    if sha256 is None or weights is None:
        raise ConfigError(
            f"give --task: {release} has no intent classifier (`smallfirst router intents` fits one, `smallfirst release build` takes it up)"
        )
    found = load_intents(weights_path(weights, sha256), lambda name: embedder_of(name, config, os.environ))
    return found.find_now(incoming.conversation, near=True)


def taken_figures(intent: Intent, near: Sequence[dict[str, Any]], config: Config) -> dict[str, Any]:
    """What is said of it, flat; `answered_by` the model where it is none of the tasks."""
    from smallfirst.config.routing import unclassified_model

    told = msgspec.to_builtins(intent) | {"near": list(near)}
    return told | ({} if intent.task else {"answered_by": unclassified_model(config)})


def show_taken(told: dict[str, Any], out: Console) -> None:
    named = ", ".join(f"{escape(name)} {chance:.2f}" for name, chance in told["nearest"].items())
    if told["task"]:
        out.print(f"taken for task [bold]{escape(told['task'])}[/] ({named})", highlight=False)
        return
    out.print(
        f"taken for [bold]none of the tasks[/], so {escape(str(told['answered_by']))} answers: it is any of them with probability "
        f"{told['in_scope']:.2f}, and {told['least']:.2f} is needed ({named})",
        highlight=False,
    )
    for seen in told["near"]:
        text = f": {escape(seen['text'][:100])}" if seen["text"] else ""
        out.print(f"  example, cosine {seen['similarity']:.2f}: {escape(seen['id'])}{text}", highlight=False)
