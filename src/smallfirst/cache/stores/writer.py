"""The one thread that writes `cache.sqlite` for a process: what comes within a few tens of milliseconds is one transaction."""

from __future__ import annotations

import heapq
import itertools
import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol

from smallfirst import limits
from smallfirst.errors import StateError
from smallfirst.ledger.store import transaction

_log = logging.getLogger(__name__)

_THE_FILE = tuple(
    f"SQLITE_{name}"
    for name in ("BUSY", "LOCKED", "FULL", "IOERR", "READONLY", "CANTOPEN", "CORRUPT", "NOTADB")
)

_TAKEN_ALONG_S = limits.CACHE_PUT_EVERY_S

Job = Callable[[sqlite3.Connection], Any]


class Opener(Protocol):
    """Gives the writer its connection, and is told of one that failed."""

    def writing(self) -> sqlite3.Connection:
        """A connection that is up to date with the file. Raises `sqlite3.Error`, `OSError` or `StateError`."""
        ...

    def failed(self, error: Exception) -> None:
        """A transaction was lost to this error."""
        ...


class Writer:
    """Runs small functions in transactions, each in the order of its coming. Nobody waits for it who does not want to.

    A transaction takes along what would be due soon: another one for it would cost more than it does.

    A function that raises undoes itself alone; a disk that is full, a file that is damaged or locked undoes the whole transaction, and each of its
    functions fails with it.
    """

    def __init__(self, opener: Opener, *, most: int = limits.CACHE_WRITES_WAITING) -> None:
        self._opener = opener
        self._most = most
        self._wake = threading.Condition()
        self._due: list[tuple[float, int, Job, Future]] = []
        self._order = itertools.count()
        self._ends = False
        self._thread: threading.Thread | None = None

    def submit(self, job: Job, *, after_s: float = limits.CACHE_WRITE_EVERY_S) -> Future | None:
        """Runs `job` in a transaction `after_s` from now, together with what is due then. The future has its result once that is committed.

        None where too much waits already, or the writer has ended.
        """
        future: Future = Future()
        with self._wake:
            if self._ends or len(self._due) >= self._most:
                return None
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="cache-writer", daemon=True)
                self._thread.start()
            heapq.heappush(self._due, (time.monotonic() + after_s, next(self._order), job, future))
            self._wake.notify()
        return future

    def stop(self) -> None:
        """Writes what waits, whenever it was due, and ends."""
        with self._wake:
            self._ends = True
            self._wake.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while batch := self._next():
            self._write(batch)

    def _next(self) -> list[tuple[Job, Future]]:
        """Waits until something is due; empty at the end."""
        with self._wake:
            while not self._ends:
                if not self._due:
                    self._wake.wait()
                elif (left_s := self._due[0][0] - time.monotonic()) > 0:
                    self._wake.wait(left_s)
                else:
                    break
            until_s = time.monotonic() + _TAKEN_ALONG_S
            found = []
            while self._due and (self._ends or self._due[0][0] <= until_s):
                found.append(heapq.heappop(self._due))
        found.sort(key=lambda due: due[1])
        return [(job, future) for _due_s, _order, job, future in found]

    def _write(self, batch: list[tuple[Job, Future]]) -> None:
        try:
            results = self._transact(batch)
        except (sqlite3.Error, OSError, StateError) as error:
            self._opener.failed(error)
            results = [error] * len(batch)
        for (_job, future), result in zip(batch, results, strict=True):
            if not future.set_running_or_notify_cancel():
                continue
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)

    def _transact(self, batch: list[tuple[Job, Future]]) -> list[Any]:
        conn = self._opener.writing()
        with transaction(conn):
            return [_alone(conn, job) for job, _future in batch]


def is_the_file(error: Exception) -> bool:
    """Whether this is the file's or the disk's fault, and not that of the function that met it."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "").startswith(_THE_FILE)


def _alone(conn: sqlite3.Connection, job: Job) -> Any:
    """The job's result, or what it raised, undone."""
    conn.execute("SAVEPOINT job")
    try:
        result = job(conn)
    except Exception as error:  # a boundary: one function's fault is not the others'
        if is_the_file(error) or not conn.in_transaction:
            raise
        conn.execute("ROLLBACK TO job")
        _log.exception("a write to the cache failed")
        result = error
    conn.execute("RELEASE job")
    return result
