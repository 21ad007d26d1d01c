"""How outcomes are kept: each once, of calls that the ledger has, none overwritten.

Of one call, kind and source (and of one model, release and policy, where the value names them) the latest counts. What says the
same as the one that counts is already there, and so is what was told for the same moment before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from smallfirst.ledger.records import Outcome

Kept = Literal["new", "repeated", "unknown call"]

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
_HAS_CALL = "SELECT 1 FROM calls WHERE id = ?"
_STANDING = (
    "SELECT at_ms, value FROM outcomes WHERE call = ? AND kind = ? AND source = ? ORDER BY at_ms DESC, n DESC"
)
_INSERT = "INSERT INTO outcomes (at_ms, call, kind, value, source) VALUES (?, ?, ?, ?, ?)"


def add_outcomes(conn: sqlite3.Connection, outcomes: Iterable[Outcome]) -> list[Kept]:
    """Adds what is new, inside a transaction of the caller's, and says of each what became of it.

    An outcome of a call that is not in the ledger (erased, or its time was over) is not kept.
    """
    return [_add(conn, outcome) for outcome in outcomes]


def _add(conn: sqlite3.Connection, outcome: Outcome) -> Kept:
    if conn.execute(_HAS_CALL, (outcome.call,)).fetchone() is None:
        return "unknown call"
    value = _encode(outcome.value).decode()
    rows = conn.execute(_STANDING, (outcome.call, outcome.kind, outcome.source)).fetchall()
    standing = [row for row in rows if about(_decode(row[1])) == about(outcome.value)]
    if (outcome.at_ms, value) in standing:
        return "repeated"
    if standing and standing[0][1] == value and standing[0][0] <= outcome.at_ms:
        return "repeated"
    conn.execute(_INSERT, (outcome.at_ms, outcome.call, outcome.kind, value, outcome.source))
    return "new"


def about(value: Any) -> tuple[str, ...]:
    """Whose answer an outcome's value speaks of, where it names a model, a release or a policy; else the call's own."""
    if not isinstance(value, dict):
        return ()
    return tuple(str(value.get(name, "")) for name in ("model", "release", "policy"))
