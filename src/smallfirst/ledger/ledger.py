"""The ledger of one state directory, opened to write by one gateway or to read by anybody."""

from __future__ import annotations

import os
from pathlib import Path

from smallfirst.errors import StateError
from smallfirst.ledger import store
from smallfirst.ledger.importer import Importer
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.journal import Journal
from smallfirst.ledger.keys import Keys
from smallfirst.ledger.lock import StateLock
from smallfirst.ledger.queries import Queries
from smallfirst.ledger.reader import Reader
from smallfirst.ledger.recovery import recover
from smallfirst.ledger.reports import Reports
from smallfirst.ledger.segment import Position

_JOURNAL = "journal"


class Ledger:
    """Written through `journal`, read through `queries` and `reports`; `keys` are its API keys."""

    def __init__(self, state: Path, lock: StateLock, journal: Journal, importer: Importer) -> None:
        self._lock = lock
        self.journal = journal
        self.importer = importer
        self._reader = Reader(state)
        self.queries = Queries(self._reader)
        self.reports = Reports(self._reader)
        self.keys = Keys(state)

    @classmethod
    def open(cls, state: Path, *, calls_days: int | None = None) -> Ledger:
        """The ledger of a gateway: locked, migrated, and with all that an earlier gateway left imported and
        settled.

        Makes the directory (for its owner only) where there is none. Raises `StateError`: another gateway has
        it, its database is newer than this code, locked or damaged, or its disk is full. `calls_days`: how
        long rows of calls are kept; sums by the hour stay.
        """
        _make_directory(state)
        lock = StateLock.take(state, "gateway")
        try:
            with store.translated():
                position = _bring_up(state, migrate=True)
                journal = Journal.open(state / _JOURNAL, after=position.segment)
                return cls(state, lock, journal, Importer(state, journal, calls_days=calls_days))
        except BaseException:
            lock.release()
            raise

    @classmethod
    def read(cls, state: Path) -> LedgerView:
        """The ledger for a command: what a running gateway has imported, and all of it where none runs.

        Raises `StateError` where there is no ledger, or it cannot be read.
        """
        if not (state / store.FILE).exists():
            raise StateError(
                f"there is no ledger in {state}: `smallfirst serve` makes it when it first starts"
            )
        _settle_down(state)
        return LedgerView(state)

    @property
    def healthy(self) -> bool:
        """Whether calls are being recorded and imported as they should."""
        return self.importer.healthy and self.journal.healthy

    def start(self) -> None:
        """Begins to import in the background."""
        self.importer.start()

    def close(self) -> None:
        """Imports what is left, if the store takes it, and lets go of the directory."""
        try:
            self.importer.stop(drain=True)
            self.journal.close()
        finally:
            self._reader.close()
            self.keys.close()
            self._lock.release()


class LedgerView:
    """A ledger that is only read, but for its keys and erasures. A context manager."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self._reader = Reader(state)
        self.queries = Queries(self._reader)
        self.reports = Reports(self._reader)

    def __enter__(self) -> LedgerView:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._reader.close()


def open_keys(state: Path) -> Keys:
    """The keys of a state directory, which is made where there is none. For commands; a gateway may be
    running.
    """
    _make_directory(state)
    _settle_down(state)
    return Keys(state)


def _make_directory(state: Path) -> None:
    try:
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise StateError(f"{state} cannot be used as a state directory: {error.strerror}") from error
    if not os.access(state, os.R_OK | os.W_OK | os.X_OK):
        raise StateError(f"{state} cannot be written: check whose it is")


def _settle_down(state: Path) -> None:
    """Where no gateway runs, does what the next one would do first: migrates, imports what the last one left
    and settles it.
    """
    with store.translated():
        lock = StateLock.take_if_free(state, "import")
        try:
            _bring_up(state, migrate=lock is not None, recovers=lock is not None)
        finally:
            if lock is not None:
                lock.release()


def _bring_up(state: Path, *, migrate: bool, recovers: bool = True) -> Position:
    """Migrates and, where this process holds the lock, recovers. Returns the place in the journal."""
    conn = store.connect(state)
    try:
        _protect(state)
        store.migrate(conn, allowed=migrate)
        if not recovers:
            return Position(0, 0)
        return recover(Intake(conn), state / _JOURNAL)
    finally:
        conn.close()


def _protect(state: Path) -> None:
    """What calls cost, and what was said, is for the owner's eyes only."""
    for suffix in ("", "-wal", "-shm"):
        path = state / (store.FILE + suffix)
        if path.exists():
            path.chmod(0o600)
