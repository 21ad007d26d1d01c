"""`smallfirst rollout`: what the controller sees of a canary or a shadow, and of what is live."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.text import Text

from smallfirst.cli.state import CONFIG, JSON, utc
from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.gate.outlook import Outlook
    from smallfirst.gate.rollout_seen import RolloutSeen, Seen

app = typer.Typer(help="Rollouts: how a canary stands, and what is live.", no_args_is_help=True)


@app.command()
def status(config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """Stage, pairs, what each question says with its confidence sequence, and what it waits for."""
    seen, outlook = _look(config)
    if as_json:
        typer.echo(msgspec.json.encode(_told(seen, outlook)).decode())
        return
    Console().print(_shown(seen, outlook))


@app.command()
def watch(
    config: Path | None = CONFIG,
    every: float = typer.Option(1.0, min=0.2, help="Seconds between two looks."),
    as_json: bool = typer.Option(False, "--json", help="Print one line of JSON for each change."),
) -> None:
    """The same, again and again, until the rollout ends or Ctrl-C."""
    if as_json:
        _watch_json(config, every)
        return
    with Live(console=Console(), auto_refresh=False) as live:
        while True:
            seen, outlook = _look(config)
            live.update(_shown(seen, outlook), refresh=True)
            if seen.rollouts == ():
                return
            time.sleep(every)


def _watch_json(config: Path | None, every: float) -> None:
    last = b""
    while True:
        seen, outlook = _look(config)
        line = msgspec.json.encode(_told(seen, outlook))
        if line != last:
            typer.echo(line.decode())
            last = line
        if seen.rollouts == ():
            return
        time.sleep(every)


def _look(config: Path | None) -> tuple[RolloutSeen, Outlook]:
    from smallfirst.config import find, load
    from smallfirst.gate.outlook import read_outlook
    from smallfirst.gate.rollout_seen import look

    path = find(config)
    loaded = load(path)
    state = (path.parent / loaded.storage.path).resolve()
    return look(state, loaded), read_outlook(state)


def _told(seen: RolloutSeen, outlook: Outlook) -> dict[str, Any]:
    live = {
        task: {
            "release": found.release,
            "explored": found.explored,
            "disagreement": found.disagreement,
            "low": found.low,
            "high": found.high,
            "expected": found.expected,
            "broken": found.broken,
            "shift": found.shift,
            "models": {
                name: {"answers": model.answers, "score": model.score} for name, model in found.models.items()
            },
        }
        for task, found in outlook.tasks.items()
    }
    return msgspec.to_builtins(seen) | {"live": live, "drift": msgspec.to_builtins(outlook.findings)}


def _shown(seen: RolloutSeen, outlook: Outlook) -> RenderableType:
    parts: list[RenderableType] = []
    for rollout in seen.rollouts:
        parts += _rollout(rollout)
    if not seen.rollouts:
        parts.append(Text("nothing is being rolled out"))
        if seen.last is not None:
            last = seen.last
            parts.append(
                Text(f"the last {last.channel}, {last.release[:12]}, ended at {utc(last.at_ms)}: {last.how}")
            )
            parts += [Text(f"  {why}") for why in last.why]
    if outlook.tasks:
        parts.append(_outlook(outlook))
    return Group(*parts)


def _rollout(seen: Seen) -> list[RenderableType]:
    stage = (
        f"stage {seen.stage + 1} of {seen.stages}, {seen.share:.0%} of calls"
        if seen.stages
        else f"{seen.share:.0%} of calls"
    )
    lease = "" if seen.lease_s is None else f"; lease for {max(0.0, seen.lease_s):.0f} s"
    parts: list[RenderableType] = [Text(f"{seen.channel} {seen.release[:12]}: {stage}{lease}")]
    for task in seen.tasks:
        table = Table(
            "question", "seen", "surely above", "may be", "observations", "alarm", title=escape(task.task)
        )
        for each in task.estimates:
            table.add_row(
                each.question,
                "–" if each.seen is None else f"{each.seen:.3f}",
                f"{each.at_least:.3f}",
                f"{each.expected:.3f}",
                f"{each.observations:,}",
                "[bold red]too much[/]" if each.alarm else "",
            )
        parts.append(table)
        parts.append(
            Text(
                f"  {task.pairs:,} of {task.pairs_needed:,} pairs and {task.calls:,} of {task.calls_needed:,} calls in this stage; "
                f"waits for {task.waits_for or 'nothing'}"
            )
        )
        if task.finds is not None and task.finds > task.drop:
            parts.append(
                Text(
                    f"  its held-out examples are too few to tell {task.drop:.1%} worse from luck: so many pairs find {task.finds:.1%} worse",
                    style="yellow",
                )
            )
    if seen.note:
        parts.append(Text(seen.note, style="yellow"))
    return parts


def _outlook(outlook: Outlook) -> Table:
    table = Table(
        "task", "release", "explored", "disagree", "95 %", "small may", "shift",
        title="What is live, on explored calls: how often the frontier's answer is another",
    )  # fmt: skip
    for task, found in outlook.tasks.items():
        table.add_row(
            escape(task),
            found.release[:12],
            f"{found.explored:,}",
            "–" if found.disagreement is None else f"{found.disagreement:.3f}",
            f"{found.low:.3f} to {found.high:.3f}",
            f"{found.expected:.3f}" + (" [bold red]broken[/]" if found.broken else ""),
            ", ".join(f"{name} {index:.2f}" for name, index in found.shift.items()) or "–",
        )
    return table
