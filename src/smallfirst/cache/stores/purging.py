"""Entries by what they are of, as SQL; and what others have purged, so that an answer that waits to be written is not kept all the same."""

from __future__ import annotations

import sqlite3

import msgspec

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.store import Which

_BATCH = 1000
_OF_SCOPE = ("tenant", "task", "policy", "release")


class Purges:
    """Which purges this process has seen."""

    def __init__(self) -> None:
        self._seen = 0

    def begin(self, conn: sqlite3.Connection) -> None:
        """What was purged until now is of no concern: nothing waits yet."""
        self._seen = _places(conn)[1]

    def note(self, conn: sqlite3.Connection, which: Which, at_ms: int) -> None:
        """For the other processes: what was answered until now and fits is not to be written."""
        text = msgspec.json.encode(which).decode()
        conn.execute("INSERT INTO purges (at_ms, which) VALUES (?, ?)", (at_ms, text))
        conn.execute(
            "DELETE FROM purges WHERE seq <= (SELECT max(seq) FROM purges) - ?", (limits.CACHE_PURGES_KEPT,)
        )

    def spared(self, conn: sqlite3.Connection, entries: list[Entry]) -> list[Entry]:
        """Those that nobody has purged since this was last asked; none where that cannot be told."""
        oldest, newest = _places(conn)
        seen, self._seen = (
            self._seen if self._seen <= newest else 0,
            newest,
        )  # a file that was begun anew counts anew
        if newest == seen:
            return entries
        if oldest > seen + 1:
            return []
        purged = [
            (at_ms, msgspec.json.decode(which, type=Which))
            for at_ms, which in conn.execute("SELECT at_ms, which FROM purges WHERE seq > ?", (seen,))
        ]
        return [
            entry
            for entry in entries
            if not any(entry.at_ms <= at_ms and which.fits(entry) for at_ms, which in purged)
        ]


def was_purged(conn: sqlite3.Connection, entry: Entry) -> bool:
    """Whether anybody has purged it since it was answered. For one that is not written yet."""
    found = conn.execute("SELECT which FROM purges WHERE at_ms >= ?", (entry.at_ms,))
    return any(msgspec.json.decode(which, type=Which).fits(entry) for (which,) in found)


def _places(conn: sqlite3.Connection) -> tuple[int, int]:
    """The oldest and the newest purge on record; 0 where there is none."""
    return conn.execute("SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM purges").fetchone()


def select(columns: str, which: Which) -> tuple[str, list[str | int]]:
    """`columns` of the entries that fit, without an end: a caller adds its order and its limit."""
    where = [f"s.{name} = ?" for name in _OF_SCOPE if getattr(which, name) is not None]
    values: list[str | int] = [value for name in _OF_SCOPE if (value := getattr(which, name)) is not None]
    for column, value in (("call", which.call), ("id", which.id)):
        if value is not None:
            where.append(f"e.{column} = ?")
            values.append(value)
    if which.before_ms is not None:
        where.append("e.at_ms < ?")
        values.append(which.before_ms)
    of_one = which.call is not None or which.id is not None
    # CROSS JOIN: SQLite then takes the left table first, and finds the right one's rows by an index
    tables = "entries e CROSS JOIN scopes s" if of_one else "scopes s CROSS JOIN entries e"
    return f"{columns} FROM {tables} ON e.scope = s.id WHERE {' AND '.join(where) or 'true'}", values


def remove_some(conn: sqlite3.Connection, which: Which) -> int:
    """Removes as many as one transaction should; returns how many, 0 at the end."""
    query, values = select("SELECT e.id", which)
    removed = conn.execute(f"DELETE FROM entries WHERE id IN ({query} LIMIT {_BATCH})", values).rowcount  # noqa: S608  (constants; values bound)
    conn.execute("DELETE FROM scopes WHERE entries = 0")
    return removed
