"""Forgetting: calls that somebody asks to be erased, and what has been kept for as long as it may be.

What is erased leaves a tombstone, the SHA-256 of the call's id, so that datasets made from it can drop it
too. Hourly sums keep the money and name no call. An erasure also holds for calls that were over when it was
asked for but still lie in the journal: the importer applies it to them.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from pathlib import Path

import msgspec

from smallfirst.ledger import store
from smallfirst.ledger.names import Names

_BATCH = 1000
_ANSWERED_AGAIN = (  # the calls that answered it again, off its client's path, were asked the same
    "SELECT id FROM calls WHERE json_extract(decision, '$.of') = ?"
    " AND json_extract(decision, '$.of') IS NOT NULL"
)
_KEPT_MS = 86_400_000  # how long an erasure is applied to what is imported: longer than any journal waits


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be forgotten: everything that fits all that is given, at least one of it. `at_ms` is when it
    was asked for.
    """

    at_ms: int
    tenant: str | None = None
    call: str | None = None
    before_ms: int | None = None
    bodies_only: bool = False

    def fits(self, *, call: str, tenant: str, at_ms: int) -> bool:
        return (
            at_ms <= self.at_ms
            and (self.tenant is None or self.tenant == tenant)
            and (self.call is None or self.call == call)
            and (self.before_ms is None or at_ms < self.before_ms)
        )


class Erased(msgspec.Struct, frozen=True):
    """How much was forgotten."""

    calls: int
    bodies: int


def erase(state: Path, erasure: Erasure) -> Erased:
    """Forgets at once, in small transactions so that a running gateway goes on; raises `StateError` where the
    store cannot be written.
    """
    assert (erasure.tenant, erasure.call, erasure.before_ms) != (None, None, None), (
        "everything is never meant"
    )
    with store.translated():
        conn = store.connect(state)
        try:
            row = (None, erasure.at_ms, erasure.tenant, erasure.call, erasure.before_ms, erasure.bodies_only)
            with store.transaction(conn):
                store.insert(conn, "erasures", [row])
            bodies = _forget_all(conn, erasure, "bodies")
            calls = 0 if erasure.bodies_only else _forget_all(conn, erasure, "calls")
            conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # what was overwritten does not linger in the log
        finally:
            conn.close()
    return Erased(calls, bodies)


def answered_again(state: Path, call: str) -> list[str]:
    """The calls that answered this one again, off its client's path: to erase it is to erase them."""
    with store.translated():
        conn = store.connect(state)
        try:
            return [row[0] for row in conn.execute(_ANSWERED_AGAIN, (call,))]
        finally:
            conn.close()


def _forget_all(conn: sqlite3.Connection, erasure: Erasure, table: str) -> int:
    """Deletes what fits from `calls` (and all that hangs on it) or `bodies`, a batch a transaction. Returns
    how many there were.
    """
    count = 0
    while True:
        with store.transaction(conn):
            found = _matching(conn, erasure, table)
            _delete(conn, found, rows=table == "calls")
            add_tombstones(conn, found, erasure)
        if not found:
            return count
        count += len(found)


def _matching(conn: sqlite3.Connection, erasure: Erasure, table: str) -> list[str]:
    """Ids of some calls that are still to be forgotten."""
    ident = "call" if table == "bodies" else "id"
    where: list[str] = []
    values: list[str | int] = []
    if erasure.call is None:  # of one call nothing is newer than what is meant
        where.append("at_ms <= ?")
        values.append(erasure.at_ms)
    if erasure.tenant is not None:
        where.append("tenant = ?")
        values.append(Names(conn).number(erasure.tenant))
    if erasure.call is not None:
        where.append(f"({ident} = ? OR {ident} IN ({_ANSWERED_AGAIN}))")
        values += [erasure.call, erasure.call]
    if erasure.before_ms is not None:
        where.append("at_ms < ?")
        values.append(erasure.before_ms)
    query = f"SELECT {ident} FROM {table} WHERE {' AND '.join(where)} LIMIT {_BATCH}"  # noqa: S608  (constants; values bound)
    return [row[0] for row in conn.execute(query, values)]


def add_tombstones(conn: sqlite3.Connection, calls: list[str], erasure: Erasure) -> None:
    rows = [(call_sha256(call), erasure.at_ms, erasure.bodies_only) for call in calls]
    conflict = "ON CONFLICT (call_sha256) DO UPDATE SET bodies_only = min(bodies_only, excluded.bodies_only)"
    store.insert(conn, "tombstones", rows, conflict=conflict)


def only_bodies(conn: sqlite3.Connection, call: str) -> bool | None:
    """Whether of a call only what was said was erased; None where nothing was."""
    query = "SELECT bodies_only FROM tombstones WHERE call_sha256 = ?"
    row = conn.execute(query, (call_sha256(call),)).fetchone()
    return None if row is None else bool(row[0])


def call_sha256(call: str) -> bytes:
    """What a tombstone keeps of a call's id."""
    return hashlib.sha256(call.encode()).digest()


def standing(conn: sqlite3.Connection) -> list[Erasure]:
    """The erasures that still apply to what is imported."""
    rows = conn.execute("SELECT at_ms, tenant, call, before_ms, bodies_only FROM erasures").fetchall()
    return [
        Erasure(at_ms=at, tenant=tenant, call=call, before_ms=before, bodies_only=bool(only))
        for at, tenant, call, before, only in rows
    ]


def retain(conn: sqlite3.Connection, *, now_ms: int, calls_days: int | None) -> bool:
    """Deletes one batch of what has been kept long enough; True where there may be more. Inside a transaction
    of the caller's.
    """
    expired = conn.execute(
        "SELECT call FROM bodies WHERE expires_ms <= ? LIMIT ?", (now_ms, _BATCH)
    ).fetchall()
    _delete(conn, [row[0] for row in expired], rows=False)
    old: list[tuple[str]] = []
    if calls_days is not None:
        horizon_ms = now_ms - calls_days * 86_400_000
        old = conn.execute("SELECT id FROM calls WHERE at_ms < ? LIMIT ?", (horizon_ms, _BATCH)).fetchall()
        _delete(conn, [row[0] for row in old], rows=True)
    conn.execute("DELETE FROM erasures WHERE at_ms < ?", (now_ms - _KEPT_MS,))
    return len(expired) == _BATCH or len(old) == _BATCH


def _delete(conn: sqlite3.Connection, calls: list[str], *, rows: bool) -> None:
    ids = msgspec.json.encode(calls).decode()
    conn.execute("DELETE FROM bodies WHERE call IN (SELECT value FROM json_each(?))", (ids,))
    if rows:
        numbers = "SELECT n FROM calls WHERE id IN (SELECT value FROM json_each(?))"
        conn.execute(f"DELETE FROM attempts WHERE call IN ({numbers})", (ids,))  # noqa: S608
        conn.execute("DELETE FROM outcomes WHERE call IN (SELECT value FROM json_each(?))", (ids,))
        conn.execute("DELETE FROM calls WHERE id IN (SELECT value FROM json_each(?))", (ids,))


def now_ms() -> int:
    return time.time_ns() // 1_000_000
