"""`smallfirst explain`: what would be decided for a call, without making it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from smallfirst.answering import Decision
    from smallfirst.config import Config
    from smallfirst.releases import Policy


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
    from smallfirst.config import find, load
    from smallfirst.errors import ConfigError

    path = find(config)
    loaded = load(path)
    name, policies = _policies(loaded, (path.parent / loaded.storage.path).resolve(), release)
    policy = policies.get(task)
    if policy is None:
        raise ConfigError(f"task {task!r} is not known (tasks: {', '.join(policies) or 'none'})")
    messages = [{"role": "system", "content": system}] if system else []
    body = {"model": f"task/{task}", "messages": [*messages, {"role": "user", "content": text}]}
    decision = _decide(policy, msgspec.json.encode(body), loaded)
    if as_json:
        told = {"task": task, "release": name, "policy": policy.hash, "steps": decision.steps}
        typer.echo(msgspec.json.encode(told).decode())
        return
    table = Table("rung", "model", "", title=f"{task} by {name}")
    for step in decision.steps:
        asked = (
            "[bold]asked first[/]"
            if step.rung == decision.asked[0]
            else "asked if the one before fails or is unmet"
        )
        table.add_row(str(step.rung), step.model, f"skipped: {step.skipped}" if step.skipped else asked)
    Console().print(table)


def _policies(config: Config, state: Path, release: str | None) -> tuple[str, dict[str, Policy]]:
    """The name and the policies of a release, of the live one, or of the configuration's candidate."""
    from smallfirst.releases import Live, load_serving, read_live, release_from_config

    if release == "candidate":
        return "candidate", release_from_config(config).policies
    live = read_live(state) if release is None else Live(release=release, unproven="explain")
    serving = load_serving(live, state=state, config=config)
    return serving.short, serving.policies


def _decide(policy: Policy, body: bytes, config: Config) -> Decision:
    """The decision as a gateway of this configuration would make it with all its models ready."""
    from smallfirst.answering import decide
    from smallfirst.models import Catalogue
    from smallfirst.models.endpoints import Endpoint
    from smallfirst.wire.incoming import Incoming

    ready = {
        name: Endpoint("http://127.0.0.1", name="embedded")
        for name, model in config.models.items()
        if config.providers[model.provider].kind == "embedded"
    }
    return decide(policy, Incoming("chat", body), Catalogue(config, _AnySecret(os.environ), embedded=ready))


class _AnySecret(dict[str, str]):
    """Nothing is sent, so no secret is needed: every variable that is not set counts as set."""

    def __missing__(self, name: str) -> str:
        return "unset"

    def get(self, name: str, default: object = None) -> str:  # type: ignore[override]
        return self[name]
