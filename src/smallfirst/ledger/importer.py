"""Carries the journal into the store: a thread beside the event loop that never discards, and never fails in
silence.

A database that is locked or a disk that is full is waited for, however long: the journal keeps what comes
meanwhile, and refuses new calls when it has no room left. Any other error is logged, shown in `healthy` and
`last_error`, and the same records are tried again.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.ledger import frames, segment, store
from smallfirst.ledger.days import fold
from smallfirst.ledger.erasure import now_ms, retain
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.journal import Journal
from smallfirst.ledger.segment import HEADER_BYTES, Extent, Position

_log = logging.getLogger(__name__)
_BUSY_TIMEOUT_S = 0.25  # short, so that a stop is heard
_BACKOFF_MAX_S = 5.0
_SYNC_EVERY_S = 1.0
_RETAIN_EVERY_S = 60.0
_WAITING = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_FULL", "SQLITE_IOERR_SHMSIZE", "SQLITE_CANTOPEN")


class Importer:
    """Imports one journal into one store. `healthy` is False after an error that waiting may not cure, until
    the next success.
    """

    def __init__(self, state: Path, journal: Journal, *, calls_days: int | None = None) -> None:
        self._journal = journal
        self._calls_days = calls_days
        self._conn = store.connect(state, busy_timeout_s=_BUSY_TIMEOUT_S)
        self._intake = Intake(self._conn)
        self._position = self._intake.position
        self._erasure = self._intake.last_erasure
        self._turn = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._failures = 0
        self._synced_s = self._retained_s = time.monotonic()
        self.healthy = True
        self.last_error: str | None = None

    def start(self) -> None:
        """Begins to import, to sync the journal once a second and to delete what has been kept long
        enough.
        """
        assert self._thread is None, "an importer is started once"
        self._thread = threading.Thread(target=self._run, name="ledger-importer", daemon=True)
        self._thread.start()

    def stop(self, *, drain: bool = True) -> None:
        """Ends the thread. With `drain` what the journal holds is imported first, if the store takes it; it
        is kept in the journal otherwise.
        """
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if drain:
            self._attempt()
        self._conn.close()

    def import_now(self) -> int:
        """Imports all that was appended before. Returns how many records that were; raises
        `sqlite3.Error`.
        """
        count = 0
        with self._turn:
            for extent in self._journal.extents():
                while extent.number >= self._position.segment and (taken := self._import_batch(extent)):
                    count += taken
            self._journal.imported(self._position, 0)
        return count

    def _import_batch(self, extent: Extent) -> int:
        """Takes in the next records of a segment; 0 where there are none left."""
        start = self._position.offset if extent.number == self._position.segment else HEADER_BYTES
        position = Position(extent.number, max(start, HEADER_BYTES))
        found = segment.read(extent, position.offset, most=limits.IMPORT_BATCH_RECORDS)
        if not found.payloads:
            if position.offset < extent.end:
                raise OSError(f"{extent.path} cannot be read back at byte {position.offset}")
            self._position = max(position, self._position)
            return 0
        after = Position(extent.number, found.end)
        self._intake.take([frames.record(payload) for payload in found.payloads], after)
        self._position = after
        self._journal.imported(after, found.end - position.offset)
        return len(found.payloads)

    def _run(self) -> None:
        try:
            while not self._stop.wait(self._pause_s()):
                self._attempt()
                self._upkeep()
        except BaseException as error:  # a fault of ours: the thread ends, and everybody may know
            self.healthy, self.last_error = False, f"{type(error).__name__}: {error}"
            _log.critical("the ledger's importer has ended; the journal keeps what comes", exc_info=error)
            raise

    def _pause_s(self) -> float:
        return min(limits.IMPORT_EVERY_S * 2 ** min(self._failures, 8), _BACKOFF_MAX_S)

    def _attempt(self) -> None:
        """One import, whose failure is told once and tried again."""
        try:
            self.import_now()
            if self._intake.last_erasure != self._erasure:
                self._journal.rotate()  # so that the file which still holds what was erased is soon deleted
                self._erasure = self._intake.last_erasure
        except (sqlite3.Error, OSError, msgspec.MsgspecError) as error:
            self._failed(error)
        else:
            if self._failures:
                _log.info("the ledger is imported again after %d failed turns", self._failures)
            self._failures, self.healthy, self.last_error = 0, True, None

    def _failed(self, error: Exception) -> None:
        name = getattr(error, "sqlite_errorname", "")
        waits = name.startswith(_WAITING)
        text = f"{type(error).__name__}: {error}"
        if self._failures == 0 or (self.healthy and not waits):
            if waits:
                _log.warning("the ledger waits (%s); the journal keeps what comes meanwhile", text)
            else:
                _log.error("the ledger cannot be imported (%s); the journal keeps what comes meanwhile", text)
        self._failures += 1
        self.healthy = self.healthy and waits
        self.last_error = text

    def _upkeep(self) -> None:
        """Once a second and once a minute: nothing of this may end the thread."""
        now_s = time.monotonic()
        try:
            self._journal.prepare()
            if now_s - self._synced_s >= _SYNC_EVERY_S:
                self._synced_s = now_s
                self._journal.sync()
            if now_s - self._retained_s >= _RETAIN_EVERY_S:
                self._retained_s = now_s
                self.retain_now()
        except (sqlite3.Error, OSError) as error:
            self._failed(error)

    def retain_now(self) -> None:
        """Deletes a batch of what has been kept long enough, and sums a table of a day that is over; when there may be
        more, the next turn goes on.
        """
        with self._turn:
            with store.transaction(self._conn):
                more = retain(self._conn, now_ms=now_ms(), calls_days=self._calls_days)
            more = fold(self._conn, now_ms=now_ms(), at_most=1) or more
        if more:
            self._retained_s -= _RETAIN_EVERY_S
