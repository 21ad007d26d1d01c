"""`smallfirst explain`: what would be decided for a call, without making it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import typer
from rich.console import Console
from rich.table import Table


def explain(
    text: str = typer.Argument(help="The user's message."),
    task: str = typer.Option(..., "--task", "-t", help="The task it belongs to."),
    system: str = typer.Option("", help="A system prompt sent along."),
    release: str | None = typer.Option(
        None,
        help="By this release; default: the live one, or the configuration's candidate with `candidate`.",
    ),
    config: Path | None = typer.Option(
        None, "--config", "-c", help="The configuration; default: $SMALLFIRST_CONFIG, else ./smallfirst.toml."
    ),
    as_json: bool = typer.Option(False, "--json", help="Print JSON."),
) -> None:
    """Which rungs this call would be put to, in order, and why the others not. Nothing is sent."""
    from smallfirst.answering import decide
    from smallfirst.config import find, load
    from smallfirst.errors import ConfigError
    from smallfirst.models import Catalogue
    from smallfirst.models.endpoints import Endpoint
    from smallfirst.releases import Live, load_serving, read_live, release_from_config
    from smallfirst.wire.incoming import Incoming

    path = find(config)
    loaded = load(path)
    state = (path.parent / loaded.storage.path).resolve()
    if release == "candidate":
        name, policies = "candidate", release_from_config(loaded).policies
    else:
        live = read_live(state) if release is None else Live(release=release, unproven="explain")
        serving = load_serving(live, state=state, config=loaded)
        name, policies = serving.short, serving.policies
    policy = policies.get(task)
    if policy is None:
        raise ConfigError(f"task {task!r} is not known (tasks: {', '.join(policies) or 'none'})")
    messages = [{"role": "system", "content": system}] if system else []
    body = {"model": f"task/{task}", "messages": [*messages, {"role": "user", "content": text}]}
    incoming = Incoming("chat", msgspec.json.encode(body))
    assumed = {
        model: Endpoint("http://127.0.0.1", name="embedded")
        for model, one in loaded.models.items()
        if loaded.providers[one.provider].kind == "embedded"
    }
    decision = decide(policy, incoming, Catalogue(loaded, _any_secret(), embedded=assumed))
    if as_json:
        typer.echo(
            msgspec.json.encode(
                {"task": task, "release": name, "policy": policy.hash, "steps": decision.steps}
            ).decode()
        )
        return
    table = Table("rung", "model", "", title=f"{task} by {name}")
    for step in decision.steps:
        asked = step.rung == decision.asked[0]
        table.add_row(
            str(step.rung),
            step.model,
            f"skipped: {step.skipped}"
            if step.skipped
            else "[bold]asked first[/]"
            if asked
            else "asked if the one before fails or is unmet",
        )
    Console().print(table)


class _AnySecret(dict[str, str]):
    """Nothing is sent, so no secret is needed: every variable that is not set counts as set."""

    def __missing__(self, name: str) -> str:
        return "unset"

    def get(self, name: str, default: object = None) -> str:  # type: ignore[override]
        return self[name]


def _any_secret() -> dict[str, str]:
    return _AnySecret(os.environ)
