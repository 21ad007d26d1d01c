"""How a rollout stands, as it is saved: `STATE/rollout.json`, written whole after each turn of the controller.

What was counted and up to where the ledger was read are in the one file, so that a controller that died at any moment counts nothing twice
and nothing not at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import msgspec

from smallfirst.durable import write_whole
from smallfirst.errors import StateError
from smallfirst.gate.watch import WatchState

FILE = "rollout.json"
FORMAT = 1

Channel = Literal["canary", "shadow"]
End = Literal["live", "rolled-back", "withdrawn", "passed", "failed"]
"""`withdrawn`: somebody else ended it. `passed`, `failed`: of a shadow, which changes nothing by itself."""


class StageBegin(msgspec.Struct, kw_only=True):
    """What a task had when a stage began: the stage's own share is what came since."""

    pairs: int = 0
    answered: int = 0
    by_small: int = 0


class Watched(msgspec.Struct, kw_only=True):
    """A candidate that is watched, the tasks that it changes, and up to where the ledger was read for it."""

    channel: Channel
    release: str
    began_ms: int
    verdict: str = ""
    stage: int = 0
    calls_after: int = 0  # the number of the last call that was counted
    outcomes_after: int = 0  # and of the last outcome
    tasks: dict[str, WatchState] = {}
    began: dict[str, StageBegin] = {}


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How the last rollout ended, with the figures it ended on."""

    channel: Channel
    release: str
    at_ms: int
    how: End
    why: tuple[str, ...] = ()


class RolloutState(msgspec.Struct, kw_only=True):
    """All that a controller remembers of rollouts."""

    canary: Watched | None = None
    shadow: Watched | None = None
    last: Ended | None = None
    format: int = FORMAT


def read_rollout(state: Path) -> RolloutState:
    """What was saved; nothing where nothing ever was. Raises `StateError` where it cannot be read."""
    path = state / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=RolloutState)
    except FileNotFoundError:
        return RolloutState()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(
            f"{path} cannot be read ({error}); delete it, and the watch over a canary begins anew"
        ) from error
    if found.format != FORMAT:
        raise StateError(f"{path} has format {found.format}, this version reads {FORMAT}; delete it")
    return found


def write_rollout(state: Path, rollout: RolloutState) -> None:
    """Saves it whole. Raises `OSError` where the disk does not take it."""
    write_whole(state / FILE, msgspec.json.encode(rollout))
