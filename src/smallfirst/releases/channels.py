"""Which releases answer: `STATE/channels.json`, written by `release promote`, `release rollback` and the rollout's controller.

The gateway follows this file and decides by itself whether it may serve what stands there: a release needs a verdict (`proof.py`), or an
operator's reason to do without, which is written to the ledger and stays marked on every call. Whoever writes does so under a lock and on what
the file says at that moment, so that a rollback is never undone by somebody who had read the file before it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import msgspec

from smallfirst.durable import locked, write_whole
from smallfirst.errors import StateError
from smallfirst.releases.bundle import BASELINE

FILE = "channels.json"
_LOCK = "channels.lock"


class _Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class Live(_Strict, frozen=True):
    """What answers calls: a release's id, or `baseline`; the id of the verdict that proves it, or the operator's reason to do without."""

    release: str = BASELINE
    verdict: str = ""
    unproven: str = ""
    by: str = ""  # who made it live, and when
    since_ms: int = 0

    @property
    def content(self) -> tuple[str, str, str]:
        """What of it is served: two of the same content need not be told apart."""
        return self.release, self.verdict, self.unproven


class Canary(_Strict, frozen=True, kw_only=True):
    """A candidate that answers a share of the calls, for as long as its controller renews the lease; then all go to what is live."""

    release: str
    verdict: str = ""
    unproven: str = ""
    stages: tuple[float, ...]  # shares of calls, ascending; the last may be 1
    stage: int = 0
    began_ms: int  # of the canary; it names the draw by which tenants and conversations are chosen
    stage_began_ms: int
    lease_until_ms: int
    by: str = ""

    @property
    def share(self) -> float:
        return self.stages[self.stage]

    @property
    def as_live(self) -> Live:
        """What it would be if it were live."""
        return Live(release=self.release, verdict=self.verdict, unproven=self.unproven, by=self.by)


class Shadow(_Strict, frozen=True):
    """A candidate whose answers nobody gets: computed for a share of the calls, off their path."""

    release: str
    share: float
    began_ms: int
    by: str = ""


class Channels(_Strict, frozen=True):
    """`channels.json`, whole. `previous` is what `release rollback` returns to where there is no canary.

    `rolled_back_ms` is when somebody last rolled back: a gateway that was started with `--release` lets go of that too.
    """

    live: Live = Live()
    previous: Live | None = None
    canary: Canary | None = None
    shadow: Shadow | None = None
    rolled_back_ms: int = 0


class _Old(_Strict, frozen=True):
    """What this file was before there were channels."""

    release: str = BASELINE
    unproven: str = ""


def read_channels(state: Path) -> Channels:
    """What the file says; baseline is live where nothing was ever promoted. Raises `StateError` where it cannot be read."""
    try:
        data = (state / FILE).read_bytes()
    except FileNotFoundError:
        return Channels()
    return parse_channels(data, state / FILE)


def parse_channels(data: bytes, path: Path) -> Channels:
    """The channels in these bytes; those of the format before there were channels are read as what is live."""
    try:
        return _checked(msgspec.json.decode(data, type=Channels))
    except (msgspec.DecodeError, UnicodeDecodeError, ValueError) as error:
        try:
            old = msgspec.json.decode(data, type=_Old)
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise StateError(f"{path} cannot be read ({error}); delete it to return to baseline") from error
    return Channels(live=Live(release=old.release, unproven=old.unproven))


def read_live(state: Path) -> Live:
    """What is live; baseline where nothing was ever promoted."""
    return read_channels(state).live


def change_channels(
    state: Path, change: Callable[[Channels], Channels], *, mend: bool = False
) -> tuple[Channels, Channels]:
    """Replaces what the file says by what `change` makes of it, and returns both. Nobody else writes in between.

    `mend`: a file that cannot be read is taken for one that says baseline, instead of raising `StateError`.

    What `change` raises is passed on, and nothing is changed. On the disk when this returns; a process that dies in it leaves the one or the other.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(state / _LOCK):
        try:
            before = read_channels(state)
        except StateError:
            if not mend:
                raise
            before = Channels()
        after = _checked(change(before))
        if after != before or not (state / FILE).exists():
            write_whole(state / FILE, msgspec.json.encode(after))
    return before, after


def write_channels(state: Path, channels: Channels, *, expected: Channels) -> None:
    """Replaces the channels if they are what was expected. Raises `StateError` where somebody else has changed them."""

    def swap(now: Channels) -> Channels:
        if now != expected:
            raise StateError(
                f"{state / FILE} was changed by somebody else in the meantime: look again, and decide anew"
            )
        return channels

    change_channels(state, swap)


def _checked(channels: Channels) -> Channels:
    """The channels, if their numbers make sense. Raises `ValueError`."""
    canary, shadow = channels.canary, channels.shadow
    if canary is not None:
        shares = canary.stages
        rising = all(low < high for low, high in itertools.pairwise(shares))
        if not shares or not rising or shares[0] <= 0 or shares[-1] > 1:
            raise ValueError("canary.stages: expected rising shares in (0, 1]")
        if not 0 <= canary.stage < len(shares):
            raise ValueError(f"canary.stage: expected one of its {len(shares)} stages")
    if shadow is not None and not 0 < shadow.share <= 1:
        raise ValueError("shadow.share: expected a share in (0, 1]")
    return channels
