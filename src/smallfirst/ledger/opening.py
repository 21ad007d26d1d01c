"""How a state directory is made ready: its directory made, its schema brought up, and what a gateway that is gone
has left imported and settled.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from smallfirst.errors import StateError
from smallfirst.ledger import store
from smallfirst.ledger.days import DAYS, fold
from smallfirst.ledger.erasure import now_ms
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.lock import StateLock
from smallfirst.ledger.recovery import recover
from smallfirst.ledger.segment import Position

JOURNAL = "journal"
_TABLES_A_COMMAND = 31 * len(DAYS)  # a month at most is summed first; of more, hours are read


def open_store(state: Path) -> None:
    """Sees to it that a command may write to the store of a state directory, which is made where there is
    none. Raises `StateError` where that cannot be.
    """
    make_directory(state)
    settle_down(state)


def make_directory(state: Path) -> None:
    """The directory, for its owner only. Raises `StateError` where it cannot be used."""
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{state} cannot be used as a state directory: {error.strerror}") from error
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        raise StateError(f"{state} cannot be written: check whose it is")


def settle_down(state: Path) -> None:
    """Where no gateway runs, does what the next one would do first: migrates, imports what the last one left
    and settles it, and sums days that are over.
    """
    with store.translated():
        lock = StateLock.take_if_free(state, "import")
        try:
            bring_up(state, migrate=lock is not None, recovers=lock is not None)
            if lock is not None:
                _sum_days(state)
        finally:
            if lock is not None:
                lock.release()


def _sum_days(state: Path) -> None:
    with contextlib.closing(store.connect(state)) as conn:
        fold(conn, now_ms=now_ms(), at_most=_TABLES_A_COMMAND)


def bring_up(state: Path, *, migrate: bool, recovers: bool = True) -> Position:
    """Migrates and, where this process holds the lock, recovers. Returns the place in the journal."""
    conn = store.connect(state)
    try:
        _protect(state)
        store.migrate(conn, allowed=migrate)
        if not recovers:
            return Position(0, 0)
        return recover(Intake(conn), state / JOURNAL)
    finally:
        conn.close()


def _protect(state: Path) -> None:
    """What calls cost, and what was said, is for the owner's eyes only."""
    for suffix in ("", "-wal", "-shm"):
        path = state / (store.FILE + suffix)
        if path.exists():
            path.chmod(0o600)
