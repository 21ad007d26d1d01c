"""What the keeper remembers of one policy's semantic hits: `STATE/cache/<policy's hash>.json`, written whole.

What was counted and up to where the evidence was read are in the one file, so that a controller that died at any moment counts nothing twice.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from smallfirst.cache.semantic.standing import FILE, Standings, folder_of
from smallfirst.durable import write_whole
from smallfirst.errors import StateError
from smallfirst.training.cache.threshold import ThresholdState

FORMAT = 1


class Kept(msgspec.Struct, kw_only=True):
    """One policy's evidence, as far as it was counted. `born`, `after`: which file it was read from, and up to which row."""

    format: int = FORMAT
    task: str
    policy: str
    confidence: float
    rule: ThresholdState
    born: str = ""
    after: int = 0
    in_flight: int = 0  # hits that were written and are not counted yet
    guard: str = ""  # the learned guard that is published
    known: int = 0  # observations that say right or wrong
    fitted: int = 0  # of those when the guard was fitted last
    open: bool = False  # as it was told last
    told_ms: int = 0
    since_ms: int = 0


def read_kept(state: Path, policy: str) -> Kept | None:
    """What was remembered; None where there is nothing, or another version wrote it. Raises `StateError` where it cannot be read."""
    path = _path(state, policy)
    try:
        data = path.read_bytes()
        if msgspec.json.decode(data, type=_Format).format != FORMAT:
            return None
        return msgspec.json.decode(data, type=Kept)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(
            f"{path} cannot be read ({error}); delete it: the evidence is then earned anew"
        ) from error


def write_kept(state: Path, kept: Kept) -> None:
    """Raises `OSError`."""
    write_whole(_path(state, kept.policy), msgspec.json.encode(kept))


def write_standings(state: Path, standings: Standings) -> None:
    """What the gateway follows. Raises `OSError`."""
    write_whole(folder_of(state) / FILE, msgspec.json.encode(standings))


class _Format(msgspec.Struct):
    format: int = 0


def _path(state: Path, policy: str) -> Path:
    return folder_of(state) / f"{policy}.json"
