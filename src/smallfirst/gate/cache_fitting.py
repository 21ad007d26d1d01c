"""The learned guard, fitted again as observations grow: in a thread of its own, since a lease must not wait for it."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import threading
from collections.abc import Iterable, Mapping
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.observed import latest_rows
from smallfirst.cache.semantic.standing import folder_of, guard_path
from smallfirst.cache.stores.opening import exists, open_store
from smallfirst.cache.stores.store import Which
from smallfirst.classify.artifact import SUFFIX
from smallfirst.config.schema import Config
from smallfirst.durable import write_whole
from smallfirst.errors import SmallfirstError
from smallfirst.gate.cache_kept import Kept
from smallfirst.training.cache.guard import LATEST, Known, fit_guard
from smallfirst.training.cache.refit import is_due

_log = logging.getLogger("smallfirst.controller")
_KEPT_GUARDS = 8  # files that nobody names any more: a gateway may be about to read one


class Fitting:
    """One guard at a time. `turn` takes up what was fitted, and begins where it is time."""

    def __init__(self, state: Path) -> None:
        self._state = state
        self._thread: threading.Thread | None = None
        self._policy = ""
        self._fitted: tuple[str, int] | None = (
            None  # a guard, and how many observations were known when it was begun
        )

    def turn(self, kept: Kept, config: Config) -> bool:
        """Whether the policy has another guard now. Never waits."""
        if self._thread is not None and not self._thread.is_alive() and self._policy == kept.policy:
            self._thread = None
            kept.fitted = self._known  # also where it failed: it is tried again with as many more
            if self._guard:
                kept.guard = self._guard
                return True
        if self._thread is None and is_due(kept.known, kept.fitted):
            self._policy, self._guard, self._known = kept.policy, "", kept.known
            self._thread = threading.Thread(
                target=self._fit, args=(kept.policy, config), name="cache-guard", daemon=True
            )
            self._thread.start()
        return False

    def forget(self, policies: Iterable[str]) -> None:
        """A policy that is not served any more need not be waited for."""
        if self._thread is not None and not self._thread.is_alive() and self._policy not in policies:
            self._thread = None

    def tidy(self, named: Iterable[str]) -> None:
        """Removes guards that nobody names, but for the newest."""
        keep = set(named)
        found = [path for path in folder_of(self._state).glob(f"*{SUFFIX}") if path.stem not in keep]
        found.sort(key=lambda path: path.stat().st_mtime_ns)
        for path in found[:-_KEPT_GUARDS]:
            path.unlink(missing_ok=True)

    def close(self) -> None:
        """Waits for the guard that is being fitted."""
        if self._thread is not None:
            self._thread.join()

    def _fit(self, policy: str, config: Config) -> None:
        """In the thread."""
        try:
            self._guard = fitted(self._state, policy, config, os.environ)
        except (SmallfirstError, OSError) as error:
            _log.warning("the guard of semantic hits could not be fitted: %s", error)
        except (
            Exception
        ):  # a boundary: a fault of ours, or numbers that do not fit, must not end the controller
            _log.exception("the guard of semantic hits could not be fitted")


def remove_damaged(path: Path) -> None:
    """Removes a guard that is not what its name says: no gateway would take it up. Raises `OSError`."""
    if path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() != path.stem:
        _log.warning("%s is damaged, and was removed", path)
        path.unlink()


def fitted(state: Path, policy: str, config: Config, environ: Mapping[str, str]) -> str:
    """Fits a guard of all that is known of a policy, and keeps it; its hash, empty where there is nothing to learn from.

    Raises `StateError` where the evidence or the cache cannot be read.
    """
    observations = [row.seen for row in latest_rows(state, policy, most=LATEST)]
    if not observations or not exists(config, state):
        return ""
    entries = asyncio.run(_entries(config, state, environ, policy))
    known = known_of(entries)
    if known is None:
        return ""
    data = fit_guard(observations, known).packed()
    sha256 = hashlib.sha256(data).hexdigest()
    write_whole(guard_path(state, sha256), data)
    return sha256


def known_of(entries: Iterable[Entry]) -> Known | None:
    """Entries as they are learned from, in their order. Partitions number their answers each for itself: what says the same is the same here."""
    usable = [entry for entry in entries if entry.vector]
    length = len(usable[-1].vector) if usable else 0
    usable = [entry for entry in usable if len(entry.vector) == length]
    if not usable:
        return None
    answers: dict[int, int] = {}  # by group
    by_text: dict[str, int] = {}
    for entry in usable:
        group = entry.group or entry.id
        answer = answers.get(group, by_text.get(entry.text, group))
        answers.setdefault(group, answer)
        by_text.setdefault(entry.text, answer)
    return Known(
        vectors=np.stack([np.frombuffer(entry.vector, np.float16) for entry in usable]).astype(np.float32),
        answers=np.array([answers[entry.group or entry.id] for entry in usable], np.int64),
        texts=[entry.question for entry in usable],
    )


def _bare(entry: Entry) -> Entry:
    """What is learned from: of an answer only whether another is the same, however long it is."""
    return msgspec.structs.replace(entry, answer=b"", text=hashlib.sha256(entry.text.encode()).hexdigest())


async def _entries(config: Config, state: Path, environ: Mapping[str, str], policy: str) -> list[Entry]:
    """The oldest first."""
    store = open_store(config, state, environ, owner=False)
    try:
        found = await store.listed(Which(policy=policy), LATEST, each=_bare)
        return [entry for entry in reversed(found) if entry.partition]
    finally:
        await store.close()
