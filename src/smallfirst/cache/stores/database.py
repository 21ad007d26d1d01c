"""The file `cache.sqlite` of a state directory: made, opened, written by one thread, and begun anew where it cannot be used.

    await database.write(function)   runs `function(connection)` in a transaction, soon; returns what it returns
    database.later(function)         the same, and nobody waits
    await database.read(function)    runs `function(connection)` off the event loop, on a connection that cannot write

It may be deleted at any time, and holds nothing that is not got or earned again. It is no part of the ledger.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from smallfirst import limits
from smallfirst.cache.stores.schema import TABLES, VERSION
from smallfirst.cache.stores.writer import Writer, is_the_file
from smallfirst.errors import StateError
from smallfirst.ledger.opening import make_directory
from smallfirst.ledger.store import transaction, use_wal

FILE = "cache.sqlite"
_BUSY_TIMEOUT_S = 5.0
_PAGES_KIB = 16 * 1024
_PAGE_BYTES = 8192  # of 4096 a row with a vector and an answer of 1 KB wastes half
_SAID_EVERY_S = 60.0
_LOOKED_AT_EVERY_S = 1.0
_VACUUM_PAGES = 2000

_log = logging.getLogger(__name__)

T = TypeVar("T")


class Database:
    """`cache.sqlite`, for one process. The `owner`, the gateway, begins the file anew where it is damaged or of another version; commands do not.

    Raises `StateError` where a command cannot use the file. An owner that cannot says so in the log, and tries again with each write.
    """

    def __init__(self, state: Path, *, owner: bool = True) -> None:
        self._path = state / FILE
        self._owner = owner
        self._opening = threading.Lock()
        self._writing: sqlite3.Connection | None = None
        self._file: tuple[int, int] | None = None  # the file that is open, by device and inode
        self._condemned = ""  # why the file has to go
        self._generation = 0  # of the file: grows where it is begun anew
        self._looking: tuple[int, sqlite3.Connection] | None = None
        self._reading: tuple[int, sqlite3.Connection] | None = None
        self._looked_s = 0.0
        self._said_s = -_SAID_EVERY_S
        self._writer = Writer(self)
        self._aside = ThreadPoolExecutor(1, thread_name_prefix="cache-reader")
        try:
            make_directory(state)
            self.writing()
        except (sqlite3.Error, OSError, StateError) as error:
            if not owner:
                raise _told(error) from error
            self.failed(error)

    # Writing.

    def later(self, function: Callable[[sqlite3.Connection], Any], *, after_s: float | None = None) -> bool:
        """Runs it in a transaction, soon or `after_s` from now. False where too much waits; what fails is logged."""
        return self.submit(function, after_s=after_s) is not None

    def submit(
        self, function: Callable[[sqlite3.Connection], T], *, after_s: float | None = None
    ) -> Future[T] | None:
        """The same with its future, done once it is committed."""
        return self._writer.submit(
            function, after_s=limits.CACHE_WRITE_EVERY_S if after_s is None else after_s
        )

    async def write(self, function: Callable[[sqlite3.Connection], T], *, after_s: float | None = None) -> T:
        """Runs it in a transaction and returns what it returns, once that is committed. Raises `StateError` where it could not be."""
        future = self.submit(function, after_s=after_s)
        if future is None:
            raise StateError("too much waits to be written to the cache")
        try:
            return await asyncio.wrap_future(future)
        except (sqlite3.Error, OSError) as error:
            raise _told(error) from error

    def writing(self) -> sqlite3.Connection:
        """For the writer: the connection that writes, to the file that is there now."""
        with self._opening:
            if self._condemned:
                self._begin_anew(self._condemned)
                self._condemned = ""
            if self._writing is not None and self._file != _identity(self._path):
                self._writing.close()
                self._writing = None
            if self._writing is None:
                self._writing = self._opened()
                self._file = _identity(self._path)
                self._generation += 1
            return self._writing

    def failed(self, error: Exception) -> None:
        """For the writer and those who read: this went wrong. A damaged file is begun anew by its owner."""
        now_s = time.monotonic()
        if now_s - self._said_s >= _SAID_EVERY_S:
            _log.warning("the cache cannot be used (%s): calls go on without it", _told(error))
            self._said_s = now_s
        if self._owner and _is_damage(error):
            self._condemned = str(error)
            self.later(_nothing)  # the writer begins anew

    async def tidy(self) -> None:
        """Gives the room of what was removed back to the disk, and leaves nothing of it in the log."""
        await asyncio.get_running_loop().run_in_executor(self._aside, self._tidy)

    def _tidy(self) -> None:
        try:
            with contextlib.closing(_connect(self._path, timeout_s=_BUSY_TIMEOUT_S)) as conn:
                while conn.execute("PRAGMA freelist_count").fetchone()[0]:
                    conn.execute(f"PRAGMA incremental_vacuum({_VACUUM_PAGES})").fetchall()
                conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise _told(error) from error

    # Reading.

    def looking(self) -> sqlite3.Connection:
        """The event loop's own connection, for reads of microseconds: it waits for nobody. Raises `sqlite3.Error`."""
        now_s = time.monotonic()
        if now_s - self._looked_s > _LOOKED_AT_EVERY_S:
            self._looked_s = now_s
            if self._file is not None and self._file != _identity(self._path):
                self.later(_nothing)  # deleted: the writer begins anew
        if self._looking is not None and self._looking[0] == self._generation:
            return self._looking[1]
        self._looking = self._renewed(self._looking, timeout_s=0.0)
        return self._looking[1]

    async def read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        """Runs it in a thread, on a connection that cannot write. Raises `StateError` where the file cannot be read."""
        return await asyncio.get_running_loop().run_in_executor(self._aside, self._read, function)

    def _read(self, function: Callable[[sqlite3.Connection], T]) -> T:
        try:
            if self._reading is None or self._reading[0] != self._generation:
                self._reading = self._renewed(self._reading, timeout_s=_BUSY_TIMEOUT_S)
            return function(self._reading[1])
        except sqlite3.Error as error:
            if is_the_file(error):
                self.failed(error)
            raise _told(error) from error

    def _renewed(
        self, old: tuple[int, sqlite3.Connection] | None, *, timeout_s: float
    ) -> tuple[int, sqlite3.Connection]:
        if old is not None:
            old[1].close()
        generation = self._generation
        conn = _connect(self._path, timeout_s=timeout_s)
        conn.execute("PRAGMA query_only = ON")
        conn.execute(f"PRAGMA cache_size = -{_PAGES_KIB}")
        return generation, conn

    def close(self) -> None:
        """Writes what waits and ends. Blocks meanwhile."""
        self._writer.stop()
        self._aside.shutdown()
        for conn in (self._writing, self._looking and self._looking[1], self._reading and self._reading[1]):
            if conn is not None:
                conn.close()
        self._writing = self._looking = self._reading = None

    # Opening. `_opening` is held.

    def _opened(self) -> sqlite3.Connection:
        try:
            return self._prepared()
        except (sqlite3.Error, _AnotherVersion) as error:
            if not self._owner or not (_is_damage(error) or isinstance(error, _AnotherVersion)):
                raise
            self._begin_anew(str(error))
            return self._prepared()

    def _prepared(self) -> sqlite3.Connection:
        os.close(
            os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
        )  # SQLite would let others read
        conn = _connect(self._path, timeout_s=_BUSY_TIMEOUT_S)
        try:
            if _is_empty(conn):
                conn.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
                conn.execute("PRAGMA auto_vacuum = INCREMENTAL")  # before the first table
            use_wal(conn)
            conn.execute("PRAGMA synchronous = NORMAL")  # a power cut costs the last second, never the file
            conn.execute("PRAGMA secure_delete = ON")
            _make_tables(conn)
        except BaseException:
            conn.close()
            raise
        return conn

    def _begin_anew(self, why: str) -> None:
        _log.warning("%s is begun anew: %s", self._path, why)
        if self._writing is not None:
            self._writing.close()
            self._writing = None
        for suffix in ("", "-wal", "-shm"):
            self._path.with_name(FILE + suffix).unlink(missing_ok=True)


class _AnotherVersion(StateError):
    pass


def _nothing(_conn: sqlite3.Connection) -> None:
    """What is written to have the file opened, no more."""


def _is_empty(conn: sqlite3.Connection) -> bool:
    """Whether it has no tables yet. Raises `_AnotherVersion` where it has others."""
    version = conn.execute("PRAGMA user_version").fetchone()[0]
    if version == VERSION:
        return False
    if version or conn.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
        raise _AnotherVersion(
            f"cache.sqlite is of another version of smallfirst ({version}; this one writes {VERSION}): "
            "start this version's gateway, or delete it"
        )
    return True


def _make_tables(conn: sqlite3.Connection) -> None:
    with transaction(conn):
        if _is_empty(conn):  # another process may have been first
            for statement in TABLES:
                conn.execute(statement)
            conn.execute(f"PRAGMA user_version = {VERSION}")


def _connect(path: Path, *, timeout_s: float) -> sqlite3.Connection:
    """Never makes the file. In autocommit: transactions are begun by `ledger.store.transaction`."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        timeout=timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _is_damage(error: Exception) -> bool:
    return getattr(error, "sqlite_errorname", "").startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB"))


def _told(error: Exception) -> StateError:
    """With a line that a reader can act on."""
    if isinstance(error, _AnotherVersion) or not isinstance(error, (sqlite3.Error, OSError)):
        return error if isinstance(error, StateError) else StateError(str(error))
    name = getattr(error, "sqlite_errorname", "")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return StateError("cache.sqlite is locked by another program; try again when it is done")
    if name.startswith("SQLITE_FULL"):
        return StateError("the disk that holds cache.sqlite is full")
    if _is_damage(error):
        return StateError(f"cache.sqlite is damaged ({error}): delete it")
    return StateError(f"cache.sqlite cannot be used: {error}")
