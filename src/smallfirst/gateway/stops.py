"""Stops as a gateway keeps them: looked at before a call is let in and before each request to a model, and followed by a file."""

from __future__ import annotations

import logging
from collections.abc import Callable, Set
from pathlib import Path
from typing import Protocol

from smallfirst.errors import StateError, Stopped
from smallfirst.stops import FILE, Kind, Stop, read_stops

_log = logging.getLogger(__name__)
_UNSEEN = (-1, -1, -1)


class Target(Protocol):
    """What a stop can hit: a call, as far as it is known whose it is and what it asks. `asking` is the model that is being asked now."""

    tenant: str
    key: str
    task: str
    asking: str


class Stops:
    """What is stopped now. Raises `StateError` where the file cannot be read at the start; later what was known holds."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._stamp = self._look()
        self._names: dict[Kind, dict[str, Stop]] = {}
        self._models: set[str] = set()
        self._complaint = ""
        self.in_force: tuple[Stop, ...] = ()
        self._take(read_stops(state))

    @property
    def models(self) -> Set[str]:
        """The names of stopped models: the same object always, which changes."""
        return self._models

    def check(self, target: Target, model: str = "") -> None:
        """Raises `Stopped` where the call's tenant, key or task is stopped, or all are, or the model that it asks."""
        if not self.in_force:
            return
        of: tuple[tuple[Kind, str], ...] = (
            ("all", ""),
            ("tenant", target.tenant),
            ("key", target.key),
            ("task", target.task),
            ("model", model),
        )
        for kind, name in of:
            stop = self._names.get(kind, {}).get(name)
            if stop is not None:
                raise _error(stop)

    def follow(self, cut: Callable[[Stop, Stopped], int]) -> None:
        """Takes up what the file says. `cut` ends the calls under way that a stop hits, and returns how many they were."""
        try:
            stamp = self._look()
            if stamp == self._stamp:
                return
            fresh = read_stops(self._state)
        except (StateError, OSError) as error:
            if str(error) != self._complaint:
                self._complaint = str(error)
                _log.error("stops were not taken up, those that were known hold: %s", error)
            return
        self._stamp, self._complaint = stamp, ""
        before = {stop.scope: stop for stop in self.in_force}
        self._take(fresh)
        for stop in fresh:
            known = before.pop(stop.scope, None)
            if known is None:
                _log.warning("stopped by %s: %s (%s)", stop.by, stop.words, stop.reason)
            if stop.cut_ms > (known.cut_ms if known is not None else 0):
                _log.warning("%d calls under way were ended", cut(stop, _error(stop)))
        for stop in before.values():
            _log.warning("goes on: %s", stop.words)

    def _take(self, fresh: tuple[Stop, ...]) -> None:
        names: dict[Kind, dict[str, Stop]] = {}
        for stop in fresh:
            names.setdefault(stop.kind, {})[stop.name] = stop
        self.in_force, self._names = fresh, names
        self._models.clear()
        self._models.update(names.get("model", {}))

    def _look(self) -> tuple[int, int, int]:
        """Changes whenever the file does: it is replaced, never written into."""
        try:
            found = (self._state / FILE).stat()
        except FileNotFoundError:
            return _UNSEEN
        return found.st_ino, found.st_mtime_ns, found.st_size


def hits(stop: Stop, target: Target) -> bool:
    """Whether a stop is of this call."""
    names = {
        "all": "",
        "tenant": target.tenant,
        "key": target.key,
        "task": target.task,
        "model": target.asking,
    }
    return names[stop.kind] == stop.name


def _error(stop: Stop) -> Stopped:
    """What a client is told: the scope, and nothing of the reason."""
    return Stopped(f"{stop.words} is stopped by an operator", is_model=stop.kind == "model")
