"""`smallfirst release`: build, list and show; `release_diff.py` compares, `release_moves.py` says which answer."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column

from smallfirst.cli.release_diff import diff
from smallfirst.cli.release_moves import channels, percent, promote, rollback, told
from smallfirst.cli.state import load_config, minute
from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.releases import Channels

app = typer.Typer(
    help="Releases: immutable folders of policies, named by their content.", no_args_is_help=True
)
_CONFIG = typer.Option(
    None, "--config", "-c", help="The configuration; default: $SMALLFIRST_CONFIG, else ./smallfirst.toml."
)
_JSON = typer.Option(False, "--json", help="Print JSON.")
_FINDINGS = {
    "pass": "[green]pass[/]",
    "fail": "[red]fail[/]",
    "not-enough-evidence": "[yellow]not enough evidence[/]",
    "lapsed": "[red]lapsed[/]",
    "altered": "[red]altered[/]",
}


@app.command()
def build(
    task: list[str] = typer.Option(
        [], "--task", "-t", help="Change only this task; again for several. The others stay as they are live."
    ),
    config: Path | None = _CONFIG,
    note: str = typer.Option("", help="Why it was built; kept beside the release."),
    as_json: bool = _JSON,
) -> None:
    """Make a candidate from the tasks of the configuration. Nothing that is served changes."""
    from smallfirst.answering.check import compile_check
    from smallfirst.classify.store import Artifacts
    from smallfirst.releases import BASELINE, LearnedHere, Releases, read_channels, release_from_config

    loaded, state = load_config(config)
    live = read_channels(state).live.release
    before = None if live == BASELINE else Releases(state).load(live)
    release = release_from_config(loaded, LearnedHere(state), only=task, live=before)
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
    out.print(f"next: `smallfirst release diff {name[:12]}`, `smallfirst gate {name[:12]}`", highlight=False)


@app.command(name="list")
def list_(config: Path | None = _CONFIG, as_json: bool = _JSON) -> None:
    """All releases, newest first, their last verdict, and which are live, in canary or in shadow."""
    from smallfirst.releases import Releases, read_channels

    _, state = load_config(config)
    listed = Releases(state).list()
    now = read_channels(state)
    verdicts = {item.id: _last_verdict(state, item.id) for item in listed}
    if as_json:
        rows = [
            msgspec.to_builtins(item) | {"live": item.id == now.live.release} | verdicts[item.id]
            for item in listed
        ]
        line = {"live": now.live, "channels": told(now, state), "releases": rows}
        typer.echo(msgspec.json.encode(line).decode())
        return
    whole = (Column(head, no_wrap=True) for head in ("release", "built (UTC)", "tasks"))
    table = Table(*whole, "verdict", "channel", "note")
    table.add_row("baseline", "", "all", "needs none", _mark("baseline", now), "all to the frontier")
    for item in listed:
        table.add_row(
            item.id[:12],
            minute(item.built.at_ms),
            escape("\n".join(item.tasks)),
            _FINDINGS.get(verdicts[item.id]["finding"], "none"),
            _mark(item.id, now),
            escape(item.built.note),
        )
    Console().print(table)
    for model, reason in told(now, state)["lapsed"].items():
        Console(highlight=False).print(f"[bold red]lapsed[/] for {model}: {escape(reason)}")


def _last_verdict(state: Path, release: str) -> dict[str, str]:
    """The newest verdict on a release, and its finding; empty where there is none."""
    from smallfirst.errors import ReleaseError
    from smallfirst.releases import Verdicts

    verdicts = Verdicts(state)
    names = verdicts.ids(release)
    if not names:
        return {"verdict": "", "finding": ""}
    try:
        finding: str = verdicts.load(release, names[0]).finding
    except ReleaseError:
        finding = "altered"
    if finding == "pass" and verdicts.lapsed(release, names[0]):
        finding = "lapsed"
    return {"verdict": names[0], "finding": finding}


def _mark(release: str, now: Channels) -> str:
    """Which channels a release is in."""
    marks = []
    if now.live.release == release:
        marks.append("[bold red]live, unproven[/]" if now.live.unproven else "live")
    if now.canary is not None and now.canary.release == release:
        stage = f"{now.canary.stage + 1}/{len(now.canary.stages)}"
        over = ", lease over" if now.canary.lease_until_ms <= time.time() * 1000 else ""
        marks.append(f"canary {percent(now.canary.share)}, stage {stage}{over}")
    if now.shadow is not None and now.shadow.release == release:
        marks.append(f"shadow {percent(now.shadow.share)}")
    return "; ".join(marks)


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
    from smallfirst.releases.cache_words import cache_words
    from smallfirst.releases.policy import asked_as
    from smallfirst.routing.intent import read_fitted_intents

    _, state = load_config(config)
    releases = Releases(state)
    name = releases.find(release)
    loaded = releases.load(name)
    if as_json:
        typer.echo(msgspec.json.encode({"id": name} | msgspec.to_builtins(loaded)).decode())
        return
    out = Console()
    built = releases.built(name)
    note = f": {escape(built.note)}" if built.note else ""
    out.print(f"release [bold]{name}[/]", highlight=False)
    out.print(f"built {minute(built.at_ms)} UTC by {escape(built.by)}{note}", highlight=False)
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
            "may begin here",
            title=f"{task}  ·  {_contract(policy.contract)}  ·  margin {policy.margin:g}",
        )
        for index, rung in enumerate(policy.ladder):
            asked = asked_as(rung.provider, rung.upstream_id, rung.adapter)
            table.add_row(
                str(index),
                rung.model,
                asked,
                "the rest" if index == len(policy.ladder) - 1 else f"{rung.sample:.1%}",
            )
        out.print()
        out.print(table)
        for rung in policy.ladder:
            if rung.retrieve is not None:
                shown = rung.retrieve
                out.print(
                    f"{escape(rung.model)} is shown {shown.k} examples of index {shown.sha256[:12]} by {escape(shown.embedder)}",
                    highlight=False,
                )
        if policy.router is not None:
            bound = policy.router.bound
            by = policy.router.embedder or policy.router.by
            out.print(
                f"router {policy.router.weights_sha256[:12]} by {by}: {bound.small_share:.1%} stay small, loss at most "
                f"{bound.loss_bound:.2%} with {bound.confidence:.0%} confidence{'' if bound.kept else ' [yellow](not promised)[/]'}",
                highlight=False,
            )
        if told := cache_words(policy.cache):
            out.print(f"cache: {escape(told)}", highlight=False)


app.command()(diff)
app.command()(promote)
app.command()(rollback)
app.command()(channels)


def _contract(contract: object) -> str:
    name = type(contract).__name__.removesuffix("Contract").lower()
    labels = getattr(contract, "labels", ())
    return f"{name}, {len(labels)} labels" if labels else name
