"""The ledger of one state directory, opened to write by one gateway or to read by anybody."""

from __future__ import annotations

from pathlib import Path

from smallfirst.errors import StateError
from smallfirst.ledger import store
from smallfirst.ledger.attempt_queries import AttemptQueries
from smallfirst.ledger.importer import Importer
from smallfirst.ledger.journal import Journal
from smallfirst.ledger.keys import Keys
from smallfirst.ledger.lock import StateLock
from smallfirst.ledger.notes import Notes
from smallfirst.ledger.opening import JOURNAL, bring_up, make_directory, open_store, settle_down
from smallfirst.ledger.queries import Queries
from smallfirst.ledger.reader import Reader
from smallfirst.ledger.reports import Reports
from smallfirst.ledger.traffic import Traffic


class Ledger:
    """Written through `journal`, read through `queries` and `reports`; `keys` are its API keys."""

    def __init__(self, state: Path, lock: StateLock, journal: Journal, importer: Importer) -> None:
        self._lock = lock
        self.state = state
        self.journal = journal
        self.importer = importer
        self._reader = Reader(state)
        self.queries = Queries(self._reader)
        self.reports = Reports(self._reader)
        self.keys = Keys(state)
        self._notes: Notes | None = None

    @classmethod
    def open(cls, state: Path, *, calls_days: int | None = None) -> Ledger:
        """The ledger of a gateway: locked, migrated, and with all that an earlier gateway left imported and
        settled.

        Makes the directory (for its owner only) where there is none. Raises `StateError`: another gateway has
        it, its database is newer than this code, locked or damaged, or its disk is full. `calls_days`: how
        long rows of calls are kept; sums by the hour stay.
        """
        make_directory(state)
        lock = StateLock.take(state, "gateway")
        try:
            with store.translated():
                position = bring_up(state, migrate=True)
                journal = Journal.open(state / JOURNAL, after=position.segment)
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
        settle_down(state)
        return LedgerView(state)

    @property
    def healthy(self) -> bool:
        """Whether calls are being recorded and imported as they should."""
        return self.importer.healthy and self.journal.healthy

    @property
    def notes(self) -> Notes:
        """For what must be on the disk before its sender is told so: not for what a call waits for. Opened
        once it is asked for, by one thread.
        """
        if self._notes is None:
            self._notes = Notes(self.state)
        return self._notes

    def start(self) -> None:
        """Begins to import in the background."""
        self.importer.start()

    def close(self) -> None:
        """Imports what is left, if the store takes it, and lets go of the directory."""
        try:
            self.importer.stop(drain=True)
            self.journal.close()
        finally:
            if self._notes is not None:
                self._notes.close()
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
        self.attempts = AttemptQueries(self._reader)
        self.traffic = Traffic(self._reader)

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
    open_store(state)
    return Keys(state)
