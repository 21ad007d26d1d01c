"""What goes when there is no room: what is over, then what was never given again, then what was given again longest ago.

A segmented LRU (Karedla, Love and Wherry 1994): what was given again is protected, but holds at most four fifths of the entries, so that a
new answer always has a chance to be asked for a second time.
"""

from __future__ import annotations

import sqlite3

import msgspec

from smallfirst.config.schema import Cache

_DOWN_TO = 0.95
_PROTECTED_SHARE = 0.8
_BATCH = 250
_MOST = 4000  # of one transaction: the next one goes on

_OVER = "SELECT id FROM entries WHERE expires_ms <= ? LIMIT ?"
_BY_USE = "SELECT id FROM entries WHERE (hits > 0) = ? ORDER BY used_ms LIMIT ?"


def make_room(conn: sqlite3.Connection, rule: Cache, now_ms: int) -> bool:
    """Past the bounds, removes entries down to 95 % of them, or as many as one transaction may. True where there is more to do."""
    entries, taken, _again = _totals(conn)
    if entries <= rule.max_entries and taken <= rule.max_bytes:
        return False
    removed = expire(conn, now_ms, most=_MOST)
    while removed < _MOST:
        entries, taken, again = _totals(conn)
        beyond = entries - int(rule.max_entries * _DOWN_TO)
        too_long = taken - int(rule.max_bytes * _DOWN_TO)
        if not entries or (beyond <= 0 and too_long <= 0):
            return False
        most = min(_BATCH, max(beyond, -(-too_long * entries // max(1, taken))))
        victims = _victims(conn, max(1, most), protected=again > entries * _PROTECTED_SHARE)
        removed += _remove(conn, victims)
    return True


def expire(conn: sqlite3.Connection, now_ms: int, *, most: int) -> int:
    """Removes what is over; returns how many there were."""
    return _remove(conn, [row[0] for row in conn.execute(_OVER, (now_ms, most))])


def _victims(conn: sqlite3.Connection, most: int, *, protected: bool) -> list[int]:
    found = [row[0] for row in conn.execute(_BY_USE, (protected, most))]
    return found or [row[0] for row in conn.execute(_BY_USE, (not protected, most))]


def _remove(conn: sqlite3.Connection, ids: list[int]) -> int:
    listed = msgspec.json.encode(ids).decode()
    return conn.execute(
        "DELETE FROM entries WHERE id IN (SELECT value FROM json_each(?))", (listed,)
    ).rowcount


def _totals(conn: sqlite3.Connection) -> tuple[int, int, int]:
    return conn.execute("SELECT entries, bytes, again FROM totals").fetchone()
