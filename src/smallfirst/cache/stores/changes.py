"""What became of entries, for those who hold partitions in memory: a log in the file, trimmed."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.store import Change, Changes


def since(conn: sqlite3.Connection, at: str | None) -> Changes:
    """What follows the place `at`. A file that was begun anew has lost its past."""
    born = conn.execute("SELECT value FROM about WHERE name = 'born'").fetchone()[0]
    oldest, newest = conn.execute(
        "SELECT coalesce(min(seq), 0), coalesce(max(seq), 0) FROM changes"
    ).fetchone()
    here = f"{born}-{newest}"
    if at is None or at == here:
        return Changes(at=here)
    file, _, place = at.rpartition("-")
    if file != born or int(place) + 1 < oldest:
        return Changes(at=here, lost=True)
    query = 'SELECT partition, entry, "group", confirmed, refuted FROM changes WHERE seq > ? AND seq <= ? ORDER BY seq'
    return Changes(at=here, changes=tuple(Change(*row) for row in conn.execute(query, (int(place), newest))))


def never_written(conn: sqlite3.Connection, entries: Iterable[Entry]) -> None:
    """These were purged while they waited: who holds them in memory is told as of those that are removed."""
    gone = [(entry.partition, entry.id) for entry in entries if entry.partition]
    conn.executemany(
        'INSERT INTO changes (partition, entry, "group", confirmed, refuted) VALUES (?, ?, 0, 0, 0)', gone
    )


def trim(conn: sqlite3.Connection) -> None:
    """Keeps the newest."""
    conn.execute(
        "DELETE FROM changes WHERE seq <= (SELECT max(seq) FROM changes) - ?", (limits.CACHE_CHANGES_KEPT,)
    )
