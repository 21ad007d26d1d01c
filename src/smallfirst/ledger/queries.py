"""What is asked of single calls, and what a gateway asks at its start: bound values only, and by tenant
wherever somebody else could be meant.
"""

# ruff: noqa: S608  (statements are put together from constants of ours; every value is bound)

from __future__ import annotations

import zlib
from typing import Any

import msgspec

from smallfirst.errors import StateError
from smallfirst.ledger import buckets
from smallfirst.ledger.erasure import call_sha256
from smallfirst.ledger.filter import ALL, Filter, conditions
from smallfirst.ledger.outcome_queries import (
    NamedCall,
    OutcomeCount,
    OutcomeQueries,
    StoredOutcome,
    ToldOutcome,
)
from smallfirst.ledger.reader import Value
from smallfirst.ledger.records import ASIDE, OWN_PURSE, Attempt, Call
from smallfirst.ledger.rows import attempt_from_row, call_from_row
from smallfirst.ledger.span import Span, source

__all__ = [
    "Counts",
    "Filter",
    "Listed",
    "NamedCall",
    "OutcomeCount",
    "Queries",
    "StoredBodies",
    "StoredEvent",
    "StoredOutcome",
    "ToldOutcome",
]

HOURS_PER_DAY = 24
LEAST_ANSWERS = 20  # below this a quantile of history says little
HISTORY_HOURS = 30 * HOURS_PER_DAY


class Listed(msgspec.Struct, frozen=True):
    """A call without its attempts, and its number in the order in which calls were recorded."""

    n: int
    call: Call


class StoredBodies(msgspec.Struct, frozen=True):
    """What was asked and answered, redacted as its task says."""

    request: bytes
    answer: bytes
    expires_ms: int


class StoredEvent(msgspec.Struct, frozen=True, kw_only=True):
    """Something that an operator did or must know."""

    at_ms: int
    kind: str
    detail: dict[str, Any]


class Counts(msgspec.Struct, frozen=True):
    """How many calls are settled, and how many attempts they made, since the beginning."""

    calls: int
    attempts: int


class Queries(OutcomeQueries):
    """Reads single calls and running sums. Raises `StateError` where the store cannot be read."""

    def calls(self, wanted: Filter = ALL, *, limit: int = 50, before: int | None = None) -> list[Listed]:
        """The latest calls first; `before` is the number of the last one already seen."""
        where, values = conditions(self._reader, wanted)
        if before is not None:
            where.append("n < ?")
            values.append(before)
        return self._listed(where, values, "n DESC", limit)

    def tail(self, after: int, wanted: Filter = ALL, *, limit: int = 1000) -> list[Listed]:
        """Calls recorded after number `after`, in the order in which they were recorded."""
        where, values = conditions(self._reader, wanted)
        return self._listed([*where, "n > ?"], [*values, after], "n", limit)

    def last(self) -> int:
        """The number of the last call; 0 where there is none."""
        return self._reader.rows("SELECT coalesce(max(n), 0) FROM calls")[0][0]

    def call(self, name: str, *, tenant: str | None = None) -> Call:
        """The call of this id, or the one whose id begins so, whole. Raises `StateError` where there is none,
        or more than one.
        """
        values: list[Value] = [
            name,
            name + "g",
        ]  # ids are hexadecimal: "g" is behind every one that begins with `name`
        also = ""
        if tenant is not None:
            also = " AND tenant = ?"
            values.append(self._reader.number(tenant))
        rows = self._reader.rows(
            f"SELECT * FROM calls WHERE id >= ? AND id < ?{also} ORDER BY id LIMIT 2", values
        )
        if not rows or not name:
            raise StateError(f"no call {name!r} is in the ledger; `smallfirst calls list` shows the latest")
        if len(rows) > 1 and rows[0][1] != name:
            raise StateError(
                f"more than one call begins with {name!r}, for example {rows[0][1]} and {rows[1][1]}: "
                "give more of it"
            )
        return call_from_row(rows[0], self._reader.names(), self._attempts(rows[0][0]))

    def bodies(self, call: str, *, tenant: str | None = None) -> StoredBodies | None:
        """What was asked and answered, where the call's task keeps it and its time has not come."""
        query = "SELECT request, answer, expires_ms FROM bodies WHERE call = ?"
        values: list[Value] = [call]
        if tenant is not None:
            query += " AND tenant = ?"
            values.append(self._reader.number(tenant))
        rows = self._reader.rows(query, values)
        return (
            StoredBodies(zlib.decompress(rows[0][0]), zlib.decompress(rows[0][1]), rows[0][2])
            if rows
            else None
        )

    def attempts_between(self, first: int, last: int) -> dict[int, list[Attempt]]:
        """The attempts of the calls numbered from `first` to `last`, by the number of their call, in their order."""
        rows = self._reader.rows(
            "SELECT * FROM attempts WHERE call BETWEEN ? AND ? ORDER BY call, seq", (first, last)
        )
        names = self._reader.names()
        found: dict[int, list[Attempt]] = {}
        for row in rows:
            found.setdefault(row[0], []).append(attempt_from_row(row, names))
        return found

    def answered_again(self, call: str) -> list[Call]:
        """The calls of origin explore, shadow or spot-check that answered this one again, whole, in their
        order.
        """
        rows = self._reader.rows(
            "SELECT * FROM calls WHERE json_extract(decision, '$.of') = ?"
            " AND json_extract(decision, '$.of') IS NOT NULL ORDER BY n",
            (call,),
        )
        names = self._reader.names()
        return [call_from_row(row, names, self._attempts(row[0])) for row in rows]

    def events(self, *, kind: str | None = None, limit: int | None = 100) -> list[StoredEvent]:
        """The latest events first, of one kind where it is given; all of them where `limit` is None."""
        where, values = ("", []) if kind is None else ("WHERE kind = ?", [kind])
        rows = self._reader.rows(
            f"SELECT at_ms, kind, detail FROM events {where} ORDER BY n DESC LIMIT ?",
            [*values, -1 if limit is None else limit],
        )
        return [
            StoredEvent(at_ms=at, kind=kind, detail=msgspec.json.decode(detail)) for at, kind, detail in rows
        ]

    def is_erased(self, call: str) -> bool:
        """Whether a call, or what was said in it, was erased: then what was made from it must go too."""
        return bool(self._reader.rows("SELECT 1 FROM tombstones WHERE call_sha256 = ?", (call_sha256(call),)))

    def tombstones(self) -> frozenset[bytes]:
        """The SHA-256 of the ids of all erased calls."""
        return frozenset(row[0] for row in self._reader.rows("SELECT call_sha256 FROM tombstones"))

    def counts(self, *, tenant: str | None = None) -> Counts:
        """How much there is; erased calls included, for what they cost stays."""
        where, values = ("", ()) if tenant is None else (" WHERE tenant = ?", (self._reader.number(tenant),))
        calls = self._reader.rows(f"SELECT coalesce(sum(calls), 0) FROM hourly_calls{where}", values)
        attempts = self._reader.rows(f"SELECT coalesce(sum(attempts), 0) FROM hourly_attempts{where}", values)
        return Counts(calls[0][0], attempts[0][0])

    def spent_nusd(
        self,
        scope: tuple[str, str],
        *,
        since_hour: int | None = None,
        until_hour: int | None = None,
        frontier: bool = False,
    ) -> int:
        """What a scope (`key`, `tenant`, `task` or `gateway`, and its name) has spent in these hours (since
        1970, UTC), in nano-dollars; what of it went to `frontier` models.

        Unknown prices add nothing. Evaluations, replays and what is answered again off a client's path are
        not counted: they have purses of their own.
        """
        kind, name = scope
        span = Span(
            since_hour=since_hour, until_hour=until_hour, **({} if kind == "gateway" else {kind: name})
        )
        if frontier:  # whose sums leave out what has a purse of its own
            read = source(self._reader, span, "hourly_frontier_spend", by=(), sums=("cost_nusd",))
            return self._reader.rows(f"SELECT coalesce(sum(cost_nusd), 0) FROM {read.text}", read.values)[0][
                0
            ]
        read = source(self._reader, span, "hourly_attempts", by=("origin",), sums=("cost_nusd",))
        own = [self._reader.number(origin) for origin in OWN_PURSE]
        return self._reader.rows(
            f"SELECT coalesce(sum(cost_nusd), 0) FROM {read.text}"
            f" WHERE origin NOT IN ({', '.join('?' * len(own))})",
            [*read.values, *own],
        )[0][0]

    def spent_aside_nusd(self, day: int, task: str) -> int:
        """What a task's calls that were answered again off a client's path have cost on a day, in
        nano-dollars. Unknown prices add nothing.
        """
        origins = [self._reader.number(origin) for origin in ASIDE]
        rows = self._reader.rows(
            "SELECT coalesce(sum(cost_nusd), 0) FROM hourly_attempts"
            " WHERE hour >= ? AND hour < ? AND task = ? AND origin IN (?, ?, ?)",
            (day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY, self._reader.number(task), *origins),
        )
        return rows[0][0]

    def output_tokens_quantile(self, task: str, model: str, q: float) -> int | None:
        """At most so many completion tokens had the share `q` of this task's answers by this model (`task`
        "": of calls without one).

        Counts the last thirty days of them, and rounds up by at most 4.5 percent. None where fewer than
        `LEAST_ANSWERS` were reported.
        """
        of = (self._reader.number(task), self._reader.number(model))
        last = self._reader.rows("SELECT max(hour) FROM hourly_output WHERE task = ? AND model = ?", of)[0][0]
        rows = self._reader.rows(
            "SELECT bucket, sum(attempts) FROM hourly_output WHERE task = ? AND model = ? AND hour > ?"
            " GROUP BY bucket",
            (*of, (last or 0) - HISTORY_HOURS),
        )
        if sum(count for _, count in rows) < LEAST_ANSWERS:
            return None
        found = buckets.quantile(rows, q)
        return None if found is None else buckets.upper(found)

    def _listed(self, where: list[str], values: list[Value], order: str, limit: int) -> list[Listed]:
        condition = f"WHERE {' AND '.join(where)}" if where else ""
        rows = self._reader.rows(
            f"SELECT * FROM calls {condition} ORDER BY {order} LIMIT ?", [*values, limit]
        )
        names = self._reader.names()
        return [Listed(row[0], call_from_row(row, names)) for row in rows]

    def _attempts(self, n: int) -> tuple[Attempt, ...]:
        rows = self._reader.rows("SELECT * FROM attempts WHERE call = ? ORDER BY seq", (n,))
        names = self._reader.names()
        return tuple(attempt_from_row(row, names) for row in rows)
