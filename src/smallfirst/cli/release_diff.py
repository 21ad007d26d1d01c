"""`smallfirst release diff`: what would change, in words, and for which recorded calls."""

from __future__ import annotations

import asyncio
import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.state import CONFIG, JSON, load_config
from smallfirst.money import format_usd

if TYPE_CHECKING:
    from smallfirst.config import Config
    from smallfirst.ledger.ledger import LedgerView
    from smallfirst.ledger.records import Call
    from smallfirst.planning.redecided import Redecided, Way
    from smallfirst.releases import Release
    from smallfirst.releases.difference import TaskDifference

_STYLES = {"+": "green", "-": "red", "@": "dim"}


def diff(
    one: str = typer.Argument(
        "",
        help="A release, `baseline`, or `candidate`: what the configuration describes now.",
        show_default=False,
    ),
    other: str = typer.Argument(
        "", help="Another; without it what is live is compared with the one.", show_default=False
    ),
    task: str = typer.Option("", "--task", "-t", help="Only this task."),
    limit: int = typer.Option(1000, min=0, help="Recorded calls a task that are decided again; 0: none."),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Say in words what would change, and which recorded calls would be decided differently. Nothing is sent.

    Calls can be decided again where their task keeps bodies.
    """
    from smallfirst.releases import Releases, read_live
    from smallfirst.releases.difference import differences, intents_difference

    loaded, state = load_config(config)
    if not other:
        one, other = read_live(state).release, one or Releases(state).newest()
    before, after = (_Named(name, loaded, state) for name in (one, other))
    found = [item for item in differences(before.release, after.release) if task in ("", item.task)]
    intents = intents_difference(before.release, after.release)
    again = _decided_again([item.task for item in found if item.kind == "changed"], before, after, limit)
    if as_json:
        plain = {
            "before": before.id,
            "after": after.id,
            "tasks": found,
            "intents": intents,
            "recorded": again,
        }
        typer.echo(msgspec.json.encode(plain).decode())
        return
    out = Console(highlight=False, soft_wrap=True)
    out.print(f"[bold]{before.id[:12]}[/] → [bold]{after.id[:12]}[/]")
    if intents:
        out.print(intents)
    _show(found, again, out)


class _Named:
    """A release by its name: the policies, and the folder of its weights."""

    def __init__(self, name: str, config: Config, state: Path) -> None:
        from smallfirst.classify.store import Artifacts
        from smallfirst.releases import BASELINE, LearnedHere, Releases, baseline, release_from_config
        from smallfirst.releases.bundle import WEIGHTS

        self.config, self.state = config, state
        self.weights: Path | None = None
        if name == BASELINE:
            self.id, self.release = BASELINE, baseline(config)
        elif name == "candidate":
            self.release: Release = release_from_config(config, LearnedHere(state))
            self.id, self.weights = self.release.id, Artifacts(state).folder
        else:
            releases = Releases(state)
            self.id = releases.find(name)
            self.release = releases.load(self.id)
            self.weights = releases.folder / self.id / WEIGHTS

    def way(self, task: str) -> Way:
        from smallfirst.cli.offline import examples_of, router_of
        from smallfirst.planning.redecided import Way

        policy = self.release.policies[task]
        router = router_of(policy, self.weights, self.config)
        indexes = examples_of(policy, self.weights, self.config)
        return Way({task: policy}, {task: router} if router else {}, indexes)


def _decided_again(tasks: list[str], before: _Named, after: _Named, limit: int) -> list[Redecided]:
    """Each changed task's recorded calls, decided by both releases; nothing where there is no ledger."""
    from smallfirst.cli.offline import ready_catalogue
    from smallfirst.cli.progress import progress_bar
    from smallfirst.errors import StateError
    from smallfirst.ledger import Ledger
    from smallfirst.planning.redecided import redecided

    if not tasks or not limit:
        return []
    try:
        ledger = Ledger.read(before.state)
    except StateError:
        return []
    catalogue = ready_catalogue(before.config)
    with ledger, progress_bar() as told:
        cost = _cost(before.config, ledger)
        return [
            asyncio.run(
                redecided(
                    task,
                    _recorded(ledger, task, limit, told),
                    before.way(task),
                    after.way(task),
                    catalogue=catalogue,
                    cost=cost,
                )
            )
            for task in tasks
        ]


def _recorded(
    ledger: LedgerView, task: str, limit: int, told: Callable[[str, int, int], None]
) -> Iterator[tuple[Call, bytes | None]]:
    from smallfirst.ledger.queries import Filter

    listed = ledger.queries.calls(Filter(task=task, origin="client"), limit=limit)
    for at, one in enumerate(listed):
        bodies = ledger.queries.bodies(one.call.id)
        told(f"deciding {task} again", at, len(listed))
        yield one.call, bodies.request if bodies else None


def _cost(config: Config, ledger: LedgerView) -> Callable[[str, str, int], int | None]:
    from smallfirst.cli.offline import ready_catalogue
    from smallfirst.planning.expected import expected
    from smallfirst.pricing import PriceBook

    prices, catalogue = PriceBook(config), ready_catalogue(config)
    today = datetime.datetime.now(datetime.UTC).date()

    def cost(task: str, model: str, prompt_bytes: int) -> int | None:
        found = expected(
            task,
            catalogue.get(model),
            prompt_bytes=prompt_bytes,
            prices=prices,
            memory=ledger.queries,
            latency_ms=None,
            on=today,
        )
        return found.cost_nusd

    return cost


def _show(found: list[TaskDifference], again: list[Redecided], out: Console) -> None:
    if all(item.kind == "same" for item in found):
        out.print("no task would be answered differently")
    recorded = {item.task: item for item in again}
    for item in found:
        if item.kind == "same":
            continue
        out.print(f"\n[bold]{escape(item.task)}[/] ({item.kind})")
        for line in item.changes:
            out.print(f"  {escape(line)}")
        for prompt in item.prompts:
            out.print(f"  instructions of {escape(prompt.where)}:")
            for line in prompt.diff.splitlines():
                style = _STYLES.get(line[:1], "")
                out.print(f"    [{style}]{escape(line)}[/]" if style else f"    {escape(line)}")
        if item.task in recorded:
            _show_recorded(recorded[item.task], out)
    same = [item.task for item in found if item.kind == "same"]
    if same and len(same) < len(found):
        out.print(f"\nunchanged: {escape(', '.join(same))}")


def _show_recorded(item: Redecided, out: Console) -> None:
    for why, count in item.left_out.items():
        out.print(f"  [dim]{count:,} recorded calls cannot be decided again: {why}[/]")
    if not item.calls:
        return
    out.print(f"  of {item.calls:,} recorded calls {item.different:,} would be decided differently")
    for way, count in item.moves.items():
        out.print(
            f"    {count:,} would begin at {escape(way.split(' → ')[1])} instead of {escape(way.split(' → ')[0])}"
        )
    if item.priced:
        out.print(
            f"  cost of the first answer, estimated over {item.priced:,} of them: "
            f"{format_usd(item.before_nusd)} → {format_usd(item.after_nusd)}"
        )
    for example in item.examples:
        said: Any = escape(example.text.replace("\n", " "))
        out.print(f"    {example.call[:16]} {escape(example.before[0])} → {escape(example.after[0])}: {said}")
