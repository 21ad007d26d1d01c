"""`smallfirst release promote`, `rollback` and `channels`: which releases answer, and what a running gateway does within a second."""

from __future__ import annotations

import itertools
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.markup import escape

from smallfirst.cli.state import CONFIG, JSON, load_config, minute, state_of
from smallfirst.cli.table import Table

if TYPE_CHECKING:
    from smallfirst.releases import Channels


def promote(
    release: str = typer.Argument(
        "",
        help="A release's id, the beginning of one, or `baseline`; default: the newest.",
        show_default=False,
    ),
    canary: str = typer.Option(
        "",
        metavar="STAGES",
        help="Begin with a share of the conversations and go on while it does well: 5%,25%,100%.",
    ),
    shadow: str = typer.Option(
        "", metavar="SHARE", help="Let it answer a share of the calls for nobody to see: 5%."
    ),
    verdict: str = typer.Option(
        "", help="The verdict that proves it: its id's beginning, or a file; default: the newest that counts."
    ),
    unproven: str = typer.Option(
        "", metavar="REASON", help="Serve it without a passing verdict; the reason is recorded and shown."
    ),
    config: Path | None = CONFIG,
    as_json: bool = JSON,
) -> None:
    """Let a release answer: all calls at once, or as a canary or a shadow.

    It needs a passing verdict against what is live. A running gateway takes it up within a second.
    """
    from smallfirst.errors import ConfigError
    from smallfirst.releases import BASELINE, Releases
    from smallfirst.releases.promotion import Promoter, Promotion

    if canary and shadow:
        raise ConfigError("give --canary or --shadow, not both: a shadow may become a canary later")
    loaded, state = load_config(config)
    name = BASELINE if release == BASELINE else Releases(state).find(release or Releases(state).newest())
    how = Promotion(
        stages=shares(canary, option="--canary") if canary else (),
        shadow=shares(shadow, option="--shadow", most=1)[0] if shadow else None,
        verdict=verdict,
        unproven=unproven,
    )
    now = Promoter(state, loaded, os.environ).promote(name, how)
    if as_json:
        typer.echo(msgspec.json.encode(now).decode())
        return
    _show(now, Console(highlight=False), runs=_runs(state))


def rollback(
    config: Path | None = CONFIG,
    state: Path | None = typer.Option(
        None, "--state", help="The state directory, where the configuration cannot be read."
    ),
    as_json: bool = JSON,
) -> None:
    """End the canary; without one, return to what was live before, or else to baseline.

    The kill switch: it asks for no proof, and every running gateway follows within a second.
    """
    from smallfirst.releases.promotion import roll_back

    if state is not None:
        before, after, why = roll_back(state, None, os.environ)
        where = state
    else:
        loaded, where = load_config(config)
        before, after, why = roll_back(where, loaded, os.environ)
    if as_json:
        told = {"before": before, "after": after, "why_baseline": why}
        typer.echo(msgspec.json.encode(told).decode())
        return
    out = Console(highlight=False)
    ended = before.canary or before.shadow
    if ended is not None:
        out.print(f"{'canary' if before.canary else 'shadow'} [bold]{ended.release[:12]}[/] has ended")
    if before.live.release != after.live.release:
        out.print(f"{before.live.release[:12]} is live no more")
    if why:
        out.print(f"[yellow]to baseline[/], since what was live before cannot be served: {escape(why)}")
    _show(after, out, runs=_runs(where))


def channels(config: Path | None = CONFIG, as_json: bool = JSON) -> None:
    """What is live, in canary and in shadow, and since when."""
    from smallfirst.releases import read_channels

    state = state_of(None, config)
    now = read_channels(state)
    if as_json:
        typer.echo(msgspec.json.encode(told(now, state)).decode())
        return
    _show(now, Console(highlight=False), runs=_runs(state))


def told(now: Channels, state: Path) -> dict[str, Any]:
    """The channels for programs: what the file says, whether the canary's lease runs, and which evidence has lapsed."""
    plain = msgspec.to_builtins(now)
    if now.canary is not None:
        plain["canary"] |= {"share": now.canary.share, "lapsed": _lease_over(now)}
    return plain | {"lapsed": lapsed(now, state)}


def lapsed(now: Channels, state: Path) -> dict[str, str]:
    """Why the evidence for what is live no longer counts, by model."""
    from smallfirst.releases import Verdicts

    if not now.live.verdict:
        return {}
    found = Verdicts(state).lapsed(now.live.release, now.live.verdict)
    return {model: lapse.reason for model, lapse in found.items()}


def shares(text: str, *, option: str, most: int = 16) -> tuple[float, ...]:
    """`5%,25%,100%` as shares. Raises `ConfigError` where they do not rise, or are no shares."""
    from smallfirst.errors import ConfigError

    try:
        found = tuple(
            float(part.strip().removesuffix("%")) / (100 if part.strip().endswith("%") else 1)
            for part in text.split(",")
        )
    except ValueError:
        found = ()
    rising = all(low < high for low, high in itertools.pairwise(found))
    if not found or len(found) > most or not rising or not all(0 < share <= 1 for share in found):
        wanted = "a share as 5% or 0.05" if most == 1 else f"rising shares as 5%,25%,100%, at most {most}"
        raise ConfigError(f"expected {wanted}, not {text!r}", path=option)
    return found


def percent(share: float) -> str:
    """A share as people write it: 5%, 2.5%."""
    return f"{share * 100:.4g}%"


def _show(now: Channels, out: Console, *, runs: bool) -> None:
    table = Table("channel", "release", "share", "since (UTC)", "by", "proof")
    live = now.live
    table.add_row(
        "live",
        live.release[:12],
        "the rest",
        _when(live.since_ms),
        live.by,
        _proof(live.verdict, live.unproven),
    )
    if now.canary is not None:
        canary = now.canary
        stages = ", ".join(
            f"[bold]{percent(share)}[/]" if at == canary.stage else percent(share)
            for at, share in enumerate(canary.stages)
        )
        over = " [red]lease over[/]" if _lease_over(now) else ""
        table.add_row(
            "canary",
            canary.release[:12],
            f"{stages}{over}",
            _when(canary.began_ms),
            canary.by,
            _proof(canary.verdict, canary.unproven),
        )
    if now.shadow is not None:
        shadow = now.shadow
        table.add_row(
            "shadow",
            shadow.release[:12],
            f"{percent(shadow.share)} of calls, unseen",
            _when(shadow.began_ms),
            shadow.by,
            "none needed",
        )
    if now.previous is not None:
        previous = now.previous
        table.add_row(
            "[dim]before[/]", f"[dim]{previous.release[:12]}[/]", "", "", "", "[dim]a rollback goes here[/]"
        )
    out.print(table)
    if not runs:
        out.print("no gateway runs here: this holds from its next start on")


def _proof(verdict: str, unproven: str) -> str:
    if unproven:
        return f"[bold red]UNPROVEN[/]: {escape(unproven)}"
    return f"verdict {verdict[:12]}" if verdict else "none needed"


def _lease_over(now: Channels) -> bool:
    return now.canary is not None and now.canary.lease_until_ms <= time.time() * 1000


def _when(at_ms: int) -> str:
    return minute(at_ms)


def _runs(state: Path) -> bool:
    """Whether a gateway holds the state directory now."""
    from smallfirst.ledger.lock import StateLock

    if not state.is_dir():
        return False
    lock = StateLock.take_if_free(state, "import")
    if lock is None:
        return True
    lock.release()
    return False
