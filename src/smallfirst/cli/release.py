"""`smallfirst release`: build, list, show, and say which is live."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from smallfirst.config import Config

app = typer.Typer(
    help="Releases: immutable folders of policies, named by their content.", no_args_is_help=True
)
_CONFIG = typer.Option(
    None, "--config", "-c", help="The configuration; default: $SMALLFIRST_CONFIG, else ./smallfirst.toml."
)
_JSON = typer.Option(False, "--json", help="Print JSON.")


@app.command()
def build(
    config: Path | None = _CONFIG,
    note: str = typer.Option("", help="Why it was built; kept beside the release."),
    as_json: bool = _JSON,
) -> None:
    """Make a candidate from the tasks of the configuration. Nothing that is served changes."""
    from smallfirst.answering.check import compile_check
    from smallfirst.classify.store import Artifacts
    from smallfirst.releases import LearnedHere, Releases, release_from_config

    loaded, state = _load(config)
    release = release_from_config(loaded, LearnedHere(state))
    for policy in release.policies.values():
        compile_check(policy.contract)
    name, new = Releases(state).save(release, note=note, artifacts=Artifacts(state))
    if as_json:
        typer.echo(msgspec.json.encode({"id": name, "new": new, "tasks": sorted(release.policies)}).decode())
        return
    out = Console()
    out.print(
        f"{'built' if new else 'unchanged:'} release [bold]{name[:12]}[/] with {', '.join(sorted(release.policies))}",
        highlight=False,
    )
    out.print(f'serve it: smallfirst serve --release {name[:12]} --unproven "why"', highlight=False)


@app.command(name="list")
def list_(config: Path | None = _CONFIG, as_json: bool = _JSON) -> None:
    """All releases, newest first, and which one is live."""
    from smallfirst.releases import Releases, read_live

    _, state = _load(config)
    listed = Releases(state).list()
    live = read_live(state)
    if as_json:
        rows = [msgspec.to_builtins(item) | {"live": item.id == live.release} for item in listed]
        typer.echo(msgspec.json.encode({"live": live, "releases": rows}).decode())
        return
    table = Table("release", "built", "by", "tasks", "note", "")
    table.add_row(
        "baseline",
        "",
        "",
        "all to the frontier model",
        "needs no proof",
        "live" if live.release == "baseline" else "",
    )
    for item in listed:
        mark = "" if item.id != live.release else "[bold red]live, unproven[/]" if live.unproven else "live"
        table.add_row(
            item.id[:12], _when(item.built.at_ms), item.built.by, ", ".join(item.tasks), item.built.note, mark
        )
    Console().print(table)


@app.command()
def show(
    release: str = typer.Argument(help="A release's id, or the beginning of one."),
    config: Path | None = _CONFIG,
    as_json: bool = _JSON,
) -> None:
    """What a release decides: each task's contract, ladder and prompts."""
    from smallfirst.classify import artifact
    from smallfirst.releases import Releases, weights_path
    from smallfirst.releases.bundle import WEIGHTS
    from smallfirst.routing.intent import read_fitted_intents

    _, state = _load(config)
    releases = Releases(state)
    name = releases.find(release)
    loaded = releases.load(name)
    if as_json:
        typer.echo(msgspec.json.encode({"id": name} | msgspec.to_builtins(loaded)).decode())
        return
    out = Console()
    out.print(f"release [bold]{name}[/]", highlight=False)
    if loaded.intents is not None:
        fitted = read_fitted_intents(
            artifact.read(weights_path(releases.folder / name / WEIGHTS, loaded.intents))
        )
        out.print(
            f"intent classifier {loaded.intents[:12]} by {fitted.embedder}: takes calls for {', '.join(fitted.tasks)}, or for none",
            highlight=False,
        )
    for task, policy in loaded.policies.items():
        table = Table(
            "rung",
            "model",
            "asked as",
            "share that may begin here",
            title=f"{task}  ·  {_contract(policy.contract)}  ·  margin {policy.margin:g}",
        )
        for index, rung in enumerate(policy.ladder):
            asked = f"{rung.provider}/{rung.upstream_id}"
            table.add_row(
                str(index),
                rung.model,
                asked,
                "the rest" if index == len(policy.ladder) - 1 else f"{rung.sample:.1%}",
            )
        out.print(table)
        if policy.router is not None:
            bound = policy.router.bound
            by = policy.router.embedder or policy.router.by
            out.print(
                f"router {policy.router.weights_sha256[:12]} by {by}: {bound.small_share:.1%} stay small, loss at most "
                f"{bound.loss_bound:.2%} with {bound.confidence:.0%} confidence{'' if bound.kept else ' [yellow](not promised)[/]'}",
                highlight=False,
            )


@app.command()
def promote(
    release: str = typer.Argument(
        "",
        help="A release's id, the beginning of one, or `baseline`; default: the newest.",
        show_default=False,
    ),
    unproven: str = typer.Option(
        "", metavar="REASON", help="Make it live without a passing verdict; the reason is recorded."
    ),
    config: Path | None = _CONFIG,
) -> None:
    """Make a release live from the next start on. Until there is a gate, only `baseline` needs no reason."""
    from smallfirst.releases import BASELINE, Live, Releases, load_serving, write_live

    loaded, state = _load(config)
    name = BASELINE if release == BASELINE else Releases(state).find(release or _newest(state))
    live = Live(release=name, unproven="" if name == BASELINE else unproven)
    load_serving(live, state=state, config=loaded)
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    write_live(state, live)
    Console().print(f"live from the next start on: [bold]{name[:12]}[/]", highlight=False)


def _newest(state: Path) -> str:
    from smallfirst.errors import ReleaseError
    from smallfirst.releases import Releases

    listed = Releases(state).list()
    if not listed:
        raise ReleaseError("there is no release yet; `smallfirst release build` makes one")
    return listed[0].id


def _load(config: Path | None) -> tuple[Config, Path]:
    from smallfirst.config import find, load

    path = find(config)
    loaded = load(path)
    return loaded, (path.parent / loaded.storage.path).resolve()


def _when(at_ms: int) -> str:
    return datetime.datetime.fromtimestamp(at_ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M")


def _contract(contract: object) -> str:
    name = type(contract).__name__.removesuffix("Contract").lower()
    labels = getattr(contract, "labels", ())
    return f"{name}, {len(labels)} labels" if labels else name
