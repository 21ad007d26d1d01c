"""What has been proven of a policy's semantic hits, and until when it counts: written by the keeper, followed by the gateway.

STATE/cache/standings.json            replaced whole, never written into
STATE/cache/<64 hex digits>.safetensors   learned guards that a standing names
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from smallfirst.errors import StateError

FOLDER = "cache"
FILE = "standings.json"


class Figures(msgspec.Struct, frozen=True, kw_only=True):
    """What was counted of a policy's semantic look-ups, since its evidence began."""

    requests: int = 0
    hits: int = 0
    checked: int = 0  # hits that the policy answered too
    wrong: int = 0  # of those, and those that clients told of, or of which nothing is known
    wrong_rate: float = 0.0  # of all requests, estimated by the checked hits
    wrong_low: float = 0.0
    wrong_high: float = 1.0
    would_hit: float | None = None  # the share of requests that would be hits at the threshold


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """From which probability on a policy's hits are served (None: none are), and how many of them are checked."""

    task: str
    policy: str
    lease_until_ms: int
    room: int = (
        0  # hits that may be served on it: so many, all of them wrong, would not be more than δ allows
    )
    read: str = ""  # the call of the last hit that it knows of; later ones take up room
    threshold: float | None = None
    check: float = 1.0
    guard: str = ""  # SHA-256 of the learned guard that judges; empty: what holds before anything is learned
    delta: float = 0.0
    confidence: float = 0.95
    why: str = ""  # none is served
    since_ms: int = 0  # open, or closed
    figures: Figures = Figures()

    def holds(self, now_ms: int) -> bool:
        return self.threshold is not None and now_ms < self.lease_until_ms


class Standings(msgspec.Struct, frozen=True, kw_only=True):
    policies: dict[str, Standing] = {}  # by the policy's hash


def folder_of(state: Path) -> Path:
    return state / FOLDER


def guard_path(state: Path, sha256: str) -> Path:
    return folder_of(state) / f"{sha256}.safetensors"


def read_standings(state: Path) -> Standings:
    """What the keeper said last; nothing where there is none. Raises `StateError` where it cannot be read."""
    path = folder_of(state) / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=Standings)
    except FileNotFoundError:
        return Standings()
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(
            f"{path} cannot be read ({error}); delete it: the controller writes it anew"
        ) from error
