"""What an operator has stopped: `STATE/stops.json`, written by `smallfirst stop` and `resume`, followed by every gateway.

A stop holds until it is lifted, over restarts, and whether a gateway runs or not. The file is replaced as a whole, under a lock.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from smallfirst import limits
from smallfirst.durable import locked, write_whole
from smallfirst.errors import StateError

FILE = "stops.json"
_LOCK = "stops.lock"
Kind = Literal["all", "tenant", "key", "task", "model"]


class Stop(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One thing that is stopped: all calls, or those of a tenant, of a key, of a task, or to a model."""

    kind: Kind
    name: str = ""  # empty where it is all
    reason: str = ""  # for operators: no client is told
    by: str = ""
    since_ms: int
    cut_ms: int = 0  # when calls under way were last to be ended too; 0: never, they go on

    def __post_init__(self) -> None:
        if bool(self.name) == (self.kind == "all"):  # it would be shown, and stop nothing
            raise ValueError(f"a stop of kind {self.kind!r} cannot have the name {self.name!r}")

    @property
    def scope(self) -> tuple[Kind, str]:
        return self.kind, self.name

    @property
    def words(self) -> str:
        """What is stopped, as in "tenant 'acme'"."""
        return "this gateway" if self.kind == "all" else f"{self.kind} {self.name!r}"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    stops: tuple[Stop, ...] = ()


def read_stops(state: Path) -> tuple[Stop, ...]:
    """What is stopped, in the order in which it was. Raises `StateError` where the file cannot be read: then nothing may be taken for running."""
    path = state / FILE
    try:
        with path.open("rb") as file:
            data = file.read(limits.MAX_STOPS_BYTES + 1)
        if len(data) > limits.MAX_STOPS_BYTES:
            raise msgspec.DecodeError(f"more than {limits.MAX_STOPS_BYTES} bytes")  # noqa: TRY301 (one place says what to do)
        return msgspec.json.decode(data, type=_File).stops
    except FileNotFoundError:
        return ()
    except OSError as error:
        raise StateError(f"{path} cannot be read: {error.strerror}") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(
            f"{path} is damaged ({error}): delete it to let all calls go on, then stop again what must not"
        ) from error


def change_stops(
    state: Path, change: Callable[[tuple[Stop, ...]], tuple[Stop, ...]]
) -> tuple[tuple[Stop, ...], tuple[Stop, ...]]:
    """Replaces what is stopped by what `change` makes of it, and returns both. On the disk when this returns; nobody else writes in between.

    Raises `StateError` where the file cannot be read, or would hold too many.
    """
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    with locked(state / _LOCK):
        before = read_stops(state)
        after = change(before)
        if len(after) > limits.MAX_STOPS:
            raise StateError(
                f"at most {limits.MAX_STOPS} things can be stopped one by one; `--all` stops all"
            )
        if after != before:
            write_whole(state / FILE, msgspec.json.encode(_File(after)))
    return before, after


def stopped(now: tuple[Stop, ...], stop: Stop) -> tuple[Stop, ...]:
    """With this one too. One of the same scope keeps since when it holds."""
    for known in now:
        if known.scope == stop.scope:
            fresh = msgspec.structs.replace(stop, since_ms=known.since_ms, cut_ms=stop.cut_ms or known.cut_ms)
            return tuple(fresh if each is known else each for each in now)
    return (*now, stop)
