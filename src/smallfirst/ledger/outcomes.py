"""How outcomes are kept: each once, of calls that the ledger has, none overwritten.

Of one call, kind and source (and of one model, release and policy, where a score names them) the latest counts. What says the
same as the one that counts is already there, and so is what was told for the same moment before.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any, Literal

import msgspec

from smallfirst import limits
from smallfirst.ledger.records import Outcome

Kept = Literal["new", "repeated", "unknown call", "too many"]

_encode = msgspec.json.Encoder(order="sorted").encode
_decode = msgspec.json.Decoder().decode
_HAS_CALL = "SELECT 1 FROM calls WHERE id = ?"
_COUNT = "SELECT count(*) FROM outcomes WHERE call = ?"
_OF_ONE_SOURCE = "FROM outcomes WHERE call = ? AND kind = ? AND source = ?"
_BEFORE = f"SELECT 1 {_OF_ONE_SOURCE} AND at_ms = ? AND value = ?"
_LATEST_FIRST = f"SELECT at_ms, value {_OF_ONE_SOURCE} ORDER BY at_ms DESC, n DESC"
_INSERT = "INSERT INTO outcomes (at_ms, call, kind, value, source) VALUES (?, ?, ?, ?, ?)"


def add_outcomes(conn: sqlite3.Connection, outcomes: Iterable[Outcome]) -> list[Kept]:
    """Adds what is new, inside a transaction of the caller's, and says of each what became of it.

    An outcome of a call that is not in the ledger (erased, or its time was over) is not kept, nor is one more than
    `limits.MAX_OUTCOMES_OF_CALL`.
    """
    return [_add(conn, outcome) for outcome in outcomes]


def _add(conn: sqlite3.Connection, outcome: Outcome) -> Kept:
    if conn.execute(_HAS_CALL, (outcome.call,)).fetchone() is None:
        return "unknown call"
    value = _encode(outcome.value).decode()
    of = (outcome.call, outcome.kind, outcome.source)
    if conn.execute(_BEFORE, (*of, outcome.at_ms, value)).fetchone() is not None:
        return "repeated"
    at_ms, latest = _standing(conn, of, outcome)
    if latest == value and at_ms <= outcome.at_ms:
        return "repeated"
    if conn.execute(_COUNT, (outcome.call,)).fetchone()[0] >= limits.MAX_OUTCOMES_OF_CALL:
        return "too many"
    conn.execute(_INSERT, (outcome.at_ms, outcome.call, outcome.kind, value, outcome.source))
    return "new"


def _standing(conn: sqlite3.Connection, of: tuple[str, str, str], outcome: Outcome) -> tuple[int, str]:
    """The moment and the value of the outcome that counts now of those that speak of the same answer; no value where there is none."""
    whose = about(outcome.kind, outcome.value)
    rows = conn.execute(_LATEST_FIRST, of)
    return next((row for row in rows if about(outcome.kind, _decode(row[1])) == whose), (0, ""))


def about(kind: str, value: Any) -> tuple[str, ...]:
    """Whose answer an outcome speaks of, where a score names a model, a release or a policy; else the call's own. What a label says is its own
    matter, whatever its fields are called.
    """
    if kind == "label" or not isinstance(value, dict):
        return ()
    return tuple(str(value.get(name, "")) for name in ("model", "release", "policy"))
