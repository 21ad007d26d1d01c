"""The ledger's database: SQLite in WAL mode, opened, migrated and spoken to in one way."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from smallfirst.errors import StateError
from smallfirst.ledger.migrations import MIGRATIONS

FILE = "ledger.sqlite"
BUSY_TIMEOUT_S = 5.0
_POLL_S = 0.02
_ROWS_A_STATEMENT = 32


def connect(
    state: Path, *, busy_timeout_s: float = BUSY_TIMEOUT_S, cross_thread: bool = True
) -> sqlite3.Connection:
    """A connection in autocommit: transactions are begun by `transaction`. Who shares it between threads
    brings the lock.
    """
    conn = sqlite3.connect(
        state / FILE, timeout=busy_timeout_s, isolation_level=None, check_same_thread=not cross_thread
    )
    try:
        use_wal(conn)
        conn.execute("PRAGMA synchronous = FULL")
        conn.execute("PRAGMA secure_delete = ON")
    except BaseException:
        conn.close()
        raise
    return conn


def use_wal(conn: sqlite3.Connection) -> None:
    """Puts a database into WAL mode. Two processes may make the same database: SQLite then fails one of them at once instead of waiting."""
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            conn.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline_s:
                raise
            time.sleep(_POLL_S)
        else:
            return


def migrate(conn: sqlite3.Connection, *, allowed: bool = True) -> None:
    """Brings the database to this code's version, each migration in its own transaction.

    Where that is not `allowed`, waits a moment for the gateway that may just be starting to do it. Raises
    `StateError` where the database is newer than the code, or stays older.
    """
    deadline_s = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        version = _version(conn)
        if version > len(MIGRATIONS):
            raise StateError(
                f"the ledger was written by a newer smallfirst (its schema is {version}, "
                f"this one knows {len(MIGRATIONS)}): use that version"
            )
        if version == len(MIGRATIONS):
            return
        if not allowed and time.monotonic() < deadline_s:
            time.sleep(_POLL_S)
            continue
        if not allowed:
            raise StateError(
                "the ledger was written by an older smallfirst whose gateway still runs: "
                "stop it and start this version's"
            )
        with transaction(conn):
            if _version(conn) == version:  # another process may have been first
                for statement in MIGRATIONS[version]:
                    conn.execute(statement)
                conn.execute(
                    "INSERT INTO migrations (number, at) VALUES (?, datetime('now'))", (version + 1,)
                )


def _version(conn: sqlite3.Connection) -> int:
    if not conn.execute("SELECT 1 FROM sqlite_master WHERE name = 'migrations'").fetchone():
        return 0
    return conn.execute("SELECT coalesce(max(number), 0) FROM migrations").fetchone()[0]


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """A write transaction: all of it or nothing. It takes the write lock at once, so that it never fails in
    its middle for a reader's sake.
    """
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:  # a full disk may have rolled it back already
            conn.execute("ROLLBACK")
        raise


@contextmanager
def translated() -> Iterator[None]:
    """Turns SQLite's errors into `StateError` with a line that a reader can act on."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorname", "")
        if code.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
            raise StateError("the ledger is locked by another program; try again when it is done") from error
        if code.startswith("SQLITE_FULL"):
            raise StateError("the disk that holds the ledger is full") from error
        if code.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise StateError(f"the ledger's database is damaged ({error}): put its backup back") from error
        raise StateError(f"the ledger cannot be used: {error}") from error


def meta(conn: sqlite3.Connection, name: str) -> int:
    """A number that the ledger keeps about itself; 0 where it was never set."""
    row = conn.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
    return row[0] if row else 0


def set_meta(conn: sqlite3.Connection, name: str, value: int) -> None:
    conn.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
        (name, value),
    )


def add_meta(conn: sqlite3.Connection, name: str, value: int) -> None:
    conn.execute(
        "INSERT INTO meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (name, value),
    )


def insert(conn: sqlite3.Connection, table: str, rows: Sequence[tuple], *, conflict: str = "") -> None:
    """Inserts whole rows, many a statement: SQLite then works without Python's lock, and the event loop goes
    on meanwhile.
    """
    if not rows:
        return
    width = len(rows[0])
    whole = len(rows) - len(rows) % _ROWS_A_STATEMENT
    statement = _insertion(table, width, _ROWS_A_STATEMENT, conflict)
    for at in range(0, whole, _ROWS_A_STATEMENT):
        conn.execute(statement, _flat(rows[at : at + _ROWS_A_STATEMENT]))
    if whole < len(rows):
        conn.execute(_insertion(table, width, len(rows) - whole, conflict), _flat(rows[whole:]))


@lru_cache(maxsize=1024)
def _insertion(table: str, width: int, rows: int, conflict: str) -> str:
    row = f"({', '.join('?' * width)})"
    return f"INSERT INTO {table} VALUES {', '.join([row] * rows)} {conflict}"  # noqa: S608


def _flat(rows: Iterable[tuple]) -> list:
    return [value for row in rows for value in row]
