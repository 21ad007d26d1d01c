"""`smallfirst explain --call`: a recorded decision made again."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.offline import examples_of, ready_catalogue, router_of
from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.answering.replay import Replay, ShotsAgain
    from smallfirst.config import Config
    from smallfirst.releases import Policy


def show_again(name: str, config: Config, state: Path, *, as_json: bool) -> None:
    """The decision of a recorded call, by the release that made it, and the examples that its rungs were shown."""
    from smallfirst.answering.replay import replay, shots_again
    from smallfirst.answering.shots import Finder
    from smallfirst.errors import ReleaseError
    from smallfirst.ledger import Ledger
    from smallfirst.releases import Live, load_serving

    with Ledger.read(state) as ledger:
        call = ledger.queries.call(name)
        bodies = ledger.queries.bodies(call.id)
    if not call.release or not call.task:
        raise ReleaseError(f"call {call.id[:12]} was of no task: nothing was decided for it")
    serving = load_serving(Live(release=call.release, unproven="explain"), state=state, config=config)
    policy = serving.policies[call.task]
    request = bodies.request if bodies else None
    router = router_of(policy, serving.weights, config)
    finder = Finder(examples_of(policy, serving.weights, config), call.tenant)
    shots = asyncio.run(shots_again(call, policy, finder, request, ready_catalogue(config)))
    if router is None and not shots:
        raise ReleaseError(
            f"call {call.id[:12]} was decided without a router: by release {serving.short}, which has none for {call.task}"
        )
    done = replay(call, policy, router, request) if router is not None else None
    if as_json:
        told = msgspec.to_builtins(done) if done is not None else {}
        again = [msgspec.to_builtins(one) | {"same": one.same} for one in shots]
        typer.echo(msgspec.json.encode(told | {"shots": again}).decode())
        return
    out = Console(highlight=False)
    if done is not None:
        _show(done, policy, f"call {call.id[:16]} by {serving.short}", out)
    for one in shots:
        _show_shots(one, policy, out)


def _show(done: Replay, policy: Policy, title: str, out: Console) -> None:
    table = Table("rung", "model", "P(adequate)", "frontier gains", "then", "now", title=title)
    for rung, (then, now) in enumerate(done.steps):
        table.add_row(
            str(rung),
            escape(policy.ladder[rung].model),
            f"{done.replayed.adequate[rung]:.3f}",
            f"{done.replayed.uplift[rung]:+.3f}",
            escape(then) or "asked",
            escape(now) or "asked",
        )
    out.print(table)
    how = (
        "from the request that was kept"
        if done.source == "request"
        else "from the numbers of then: its request was not kept as it came"
    )
    out.print(f"{'[green]the same, to the bit[/]' if done.same else '[red]not the same[/]'}, {how}")


def _show_shots(again: ShotsAgain, policy: Policy, out: Console) -> None:
    out.print(f"examples that {escape(policy.ladder[again.rung].model)} was shown:")
    for name, similarity in again.then:
        out.print(f"  cosine {similarity:.2f}: {escape(name)}")
    if again.now is None:
        out.print("  they cannot be looked up again: its request was not kept as it came")
    elif again.same:
        out.print("  [green]the same now[/]")
    else:
        now = ", ".join(escape(name) for name, _ in again.now) or "none"
        out.print(f"  [red]now[/]: {now}")
