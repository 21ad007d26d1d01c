"""Sums of whole days, made of those of their hours once a day is over: what reports over months read.

A day is summed a table at a time; `days_folded` counts how many of its tables are. What comes to it later takes it out
again, until it is summed anew; of a day that is not summed whole the hours are read. So no sum is ever kept twice on a
call's way, days are never other than their hours, and who dies in between leaves what the next one goes on with.
"""

# ruff: noqa: S608  (statements are put together from constants of ours; every value is bound)

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import NamedTuple

from smallfirst.ledger import store

HOURS_PER_DAY = 24
_SETTLED_HOURS = 2  # after midnight: by then hardly a call of the day before is under way
_MS_PER_HOUR = 3_600_000
_GAP_DAYS = (
    1000  # days without a call between others are marked too, but not the age of a clock that was wrong
)


class Days(NamedTuple):
    """A table of days: the table of hours whose sums it has, by what beside the day, and from which table it is made."""

    table: str
    hourly: str
    by: tuple[str, ...]
    source: str


_CALL = ("origin", "status", "unproven", "outside_bound")
_ATTEMPT = ("origin", "status", "simulated")
DAYS: tuple[
    Days, ...
] = (  # of those that have what is asked for, the first is read: the small ones stand first
    Days("daily_task_calls", "hourly_calls", ("task", "model", *_CALL), "daily_calls"),
    Days("daily_tenant_calls", "hourly_calls", ("tenant", *_CALL), "daily_calls"),
    Days("daily_calls", "hourly_calls", ("tenant", "task", "model", *_CALL), "hourly_calls"),
    Days("daily_key_calls", "hourly_calls", ("tenant", "key", *_CALL), "hourly_calls"),
    Days(
        "daily_task_attempts", "hourly_attempts", ("task", "model", "provider", *_ATTEMPT), "daily_attempts"
    ),
    Days("daily_tenant_attempts", "hourly_attempts", ("tenant", *_ATTEMPT), "daily_attempts"),
    Days(
        "daily_attempts",
        "hourly_attempts",
        ("tenant", "task", "model", "provider", *_ATTEMPT),
        "hourly_attempts",
    ),
    Days("daily_key_attempts", "hourly_attempts", ("tenant", "key", *_ATTEMPT), "hourly_attempts"),
    Days("daily_hours", "hourly_attempts", ("tenant", "hour"), "hourly_attempts"),
    Days("daily_task_frontier", "hourly_frontier", ("task", "model", "simulated"), "daily_frontier"),
    Days("daily_frontier", "hourly_frontier", ("tenant", "task", "model", "simulated"), "hourly_frontier"),
    Days("daily_cache", "hourly_cache", ("tenant", "task", "result"), "hourly_cache"),
    Days("daily_latency", "hourly_latency", ("origin", "task", "measure", "bucket"), "hourly_latency"),
    Days(
        "daily_tenant_latency",
        "hourly_latency",
        ("tenant", "origin", "task", "measure", "bucket"),
        "hourly_latency",
    ),
)


FOLDED = f"SELECT day FROM days_folded WHERE tables = {len(DAYS)}"
"""The days that are summed whole."""


def unfold(conn: sqlite3.Connection, days: Iterable[int]) -> None:
    """Their sums no longer hold: something was added to their hours. In a transaction of the caller's."""
    conn.executemany("DELETE FROM days_folded WHERE day = ?", [(day,) for day in days])


def fold(conn: sqlite3.Connection, *, now_ms: int, at_most: int | None = None) -> bool:
    """Sums the days that are over, oldest first, or `at_most` so many tables of them. Returns whether some were left
    for the next turn. One connection does so at a time. Raises `sqlite3.Error`; what was done by then holds.
    """
    over = (now_ms // _MS_PER_HOUR - _SETTLED_HOURS) // HOURS_PER_DAY
    left = at_most
    for day in _unfolded(conn, over):
        conn.execute("INSERT OR IGNORE INTO days_folded VALUES (?, 0)", (day,))
        while (done := _tables_done(conn, day)) is not None and done < len(DAYS):
            if left == 0:
                return True
            _fold(conn, day, done)
            left = None if left is None else left - 1
    return False


def _tables_done(conn: sqlite3.Connection, day: int) -> int | None:
    """How many tables of the day are summed; None where something came to it since it was begun."""
    row = conn.execute("SELECT tables FROM days_folded WHERE day = ?", (day,)).fetchone()
    return None if row is None else row[0]


def _unfolded(conn: sqlite3.Connection, over: int) -> list[int]:
    """The days up to `over` that have calls, and those between them, without those that are summed already."""
    folded = {row[0] for row in conn.execute(FOLDED)}
    query = "SELECT min(hour) FROM hourly_calls WHERE hour >= ? AND hour < ?"
    found: list[int] = []
    before, at = None, -(2**62)
    while (hour := conn.execute(query, (at, over * HOURS_PER_DAY)).fetchone()[0]) is not None:
        day = hour // HOURS_PER_DAY
        if before is not None and day - before <= _GAP_DAYS:
            found.extend(range(before + 1, day))
        found.append(day)
        before, at = day, (day + 1) * HOURS_PER_DAY
    return [day for day in found if day not in folded]


def _fold(conn: sqlite3.Connection, day: int, done: int) -> None:
    """Sums the day's next table. It is added up before the write lock is taken: who writes meanwhile waits for the few
    rows that come of it.
    """
    hours = (day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY)
    days = DAYS[-1 - done]  # what another is made from stands behind it
    columns = [row[1] for row in conn.execute(f"PRAGMA table_info({days.table})")]
    asked = [str(day) if name == "day" else name if name in days.by else f"sum({name})" for name in columns]
    from_hours = days.source == days.hourly
    where, bounds = ("hour >= ? AND hour < ?", hours) if from_hours else ("day = ?", (day,))
    conn.execute("DROP TABLE IF EXISTS temp.summed")
    conn.execute(
        f"CREATE TEMP TABLE summed AS SELECT {', '.join(asked)} FROM {days.source} WHERE {where} GROUP BY {', '.join(days.by)}",
        bounds,
    )
    with store.transaction(conn):
        counted = "UPDATE days_folded SET tables = tables + 1 WHERE day = ? AND tables = ?"
        if not conn.execute(counted, (day, done)).rowcount:
            return  # something came to the day while it was added up
        if columns[0] == "tenant":  # found by its tenants: the table is not in the order of days
            tenants = "SELECT DISTINCT tenant FROM hourly_calls WHERE hour >= ? AND hour < ?"
            conn.execute(f"DELETE FROM {days.table} WHERE tenant IN ({tenants}) AND day = ?", (*hours, day))
        else:
            conn.execute(f"DELETE FROM {days.table} WHERE day = ?", (day,))
        conn.execute(f"INSERT INTO {days.table} SELECT * FROM temp.summed")
