"""Follows what the keeper has proven of semantic hits: `STATE/cache/standings.json` and the guards that it names, loaded off the event loop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from pathlib import Path

from smallfirst.cache.semantic.look_up import Guard
from smallfirst.cache.semantic.standing import FILE, Standings, folder_of, guard_path, read_standings
from smallfirst.errors import ReleaseError, StateError

_log = logging.getLogger(__name__)
_UNSEEN = (-1, -1, -1)
Take = Callable[[Standings, Mapping[str, Guard]], None]
"""`Semantic.stand`."""

Load = Callable[[Path], Guard]
"""A learned guard from its file, which must be what its name says. Raises `ReleaseError`."""


class StandingsFollower:
    """What stands there of a policy takes effect whole: a threshold together with the guard that it is a threshold of."""

    def __init__(self, state: Path, take: Take, load: Load) -> None:
        self._state = state
        self._take = take
        self._load = load
        self._stamp = _UNSEEN
        self._guards: dict[str, Guard] = {}
        self._said = ""

    async def follow(self) -> None:
        """One look. A file that cannot be read changes nothing: leases end by themselves."""
        stamp = self._look()
        if stamp == self._stamp:
            return
        try:
            standings = await asyncio.to_thread(read_standings, self._state)
        except StateError as error:
            self._say(error)
            return
        guards, lacking = await asyncio.to_thread(self._load_all, standings)
        policies = {name: each for name, each in standings.policies.items() if each.guard not in lacking}
        if lacking:  # of the others all is there; the file is read again
            self._say(next(iter(lacking.values())))
        else:
            self._stamp, self._said = stamp, ""
        self._guards = guards
        self._take(Standings(policies=policies), guards)

    def _load_all(self, standings: Standings) -> tuple[dict[str, Guard], dict[str, Exception]]:
        """In a thread. Guards that were loaded before are kept; those that nobody names are let go of; and which cannot be loaded, and why."""
        guards: dict[str, Guard] = {}
        lacking: dict[str, Exception] = {}
        for sha256 in {each.guard for each in standings.policies.values() if each.guard}:
            try:
                guards[sha256] = self._guards.get(sha256) or self._load(guard_path(self._state, sha256))
            except (ReleaseError, OSError) as error:
                lacking[sha256] = error
        return guards, lacking

    def _say(self, error: Exception) -> None:
        if str(error) != self._said:
            _log.warning("what is proven of semantic hits was not taken up: %s", error)
            self._said = str(error)

    def _look(self) -> tuple[int, int, int]:
        """Changes whenever the file does: it is replaced, never written into."""
        try:
            found = (folder_of(self._state) / FILE).stat()
        except FileNotFoundError:
            return _UNSEEN
        return found.st_ino, found.st_mtime_ns, found.st_size
