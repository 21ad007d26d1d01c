"""What is asked of outcomes, and of the calls that somebody tells of."""

# ruff: noqa: S608  (statements are put together from constants of ours; every value is bound)

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from smallfirst.ledger.filter import ALL, Filter, conditions
from smallfirst.ledger.outcomes import about
from smallfirst.ledger.reader import Reader, Value


class StoredOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """What was later learned of a call's answer."""

    at_ms: int
    kind: str
    value: Any
    source: str


class ToldOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """An outcome with the call that it is about, and its number in the order in which outcomes were told."""

    n: int
    call: str
    tenant: str
    task: str
    outcome: StoredOutcome


class OutcomeCount(msgspec.Struct, frozen=True, kw_only=True):
    """How many outcomes of a kind and source there are, of how many calls of a task."""

    task: str
    kind: str
    source: str
    outcomes: int
    calls: int


class NamedCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call, and what its client called it."""

    id: str
    tenant: str
    task: str
    client_key: str


class OutcomeQueries:
    """Reads outcomes, and finds calls by name. Raises `StateError` where the store cannot be read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def outcomes(self, call: str) -> list[StoredOutcome]:
        """What was learned of a call's answer, in the order in which it was learned."""
        rows = self._reader.rows(
            "SELECT at_ms, kind, value, source FROM outcomes WHERE call = ? ORDER BY n", (call,)
        )
        return [
            StoredOutcome(at_ms=at, kind=kind, value=msgspec.json.decode(value), source=source)
            for at, kind, value, source in rows
        ]

    def latest_outcomes(self, call: str) -> list[StoredOutcome]:
        """The outcomes of a call that count: of each kind and source (and model, release and policy, where the value names them)
        the latest; the newest first.
        """
        by_time = sorted(self.outcomes(call), key=lambda outcome: outcome.at_ms)
        counting = {(told.kind, told.source, about(told.kind, told.value)): told for told in by_time}
        return sorted(counting.values(), key=lambda outcome: outcome.at_ms, reverse=True)

    def last_outcome(self) -> int:
        """The number of the outcome that was told last; 0 where there is none."""
        return self._reader.rows("SELECT coalesce(max(n), 0) FROM outcomes")[0][0]

    def labelled(self, calls: Sequence[str], *, after: int, until: int) -> list[str]:
        """Those of these calls of which a label was told with a number above `after`, up to `until`."""
        rows = self._reader.rows(
            "SELECT DISTINCT call FROM outcomes WHERE call IN (SELECT value FROM json_each(?))"
            " AND kind = 'label' AND n > ? AND n <= ?",
            (msgspec.json.encode(list(calls)).decode(), after, until),
        )
        return [row[0] for row in rows]

    def told(
        self,
        wanted: Filter = ALL,
        *,
        kind: str | None = None,
        source: str | None = None,
        limit: int = 50,
        after: int = 0,
    ) -> list[ToldOutcome]:
        """Outcomes of calls that fit, superseded ones included: the latest told first, those with a number
        above `after`.
        """
        where, values = self._told(wanted, kind, source)
        rows = self._reader.rows(
            "SELECT outcomes.n, outcomes.call, calls.tenant, calls.task, outcomes.at_ms, kind, value, source"
            " FROM outcomes JOIN calls ON calls.id = outcomes.call"
            f" WHERE {' AND '.join([*where, 'outcomes.n > ?'])} ORDER BY outcomes.n DESC LIMIT ?",
            [*values, after, limit],
        )
        names = self._reader.names()
        return [
            ToldOutcome(
                n=n,
                call=call,
                tenant=names[tenant],
                task=names[task],
                outcome=StoredOutcome(at_ms=at, kind=kind, value=msgspec.json.decode(value), source=source),
            )
            for n, call, tenant, task, at, kind, value, source in rows
        ]

    def outcome_counts(
        self, wanted: Filter = ALL, *, kind: str | None = None, source: str | None = None
    ) -> list[OutcomeCount]:
        """How much was learned of calls that fit, by task, kind and source; superseded outcomes included."""
        where, values = self._told(wanted, kind, source)
        rows = self._reader.rows(
            "SELECT calls.task, kind, source, count(*), count(DISTINCT outcomes.call)"
            " FROM outcomes JOIN calls ON calls.id = outcomes.call"
            f" WHERE {' AND '.join([*where, '1'])} GROUP BY calls.task, kind, source ORDER BY 2, 3",
            values,
        )
        names = self._reader.names()
        return [
            OutcomeCount(task=names[task], kind=kind, source=source, outcomes=outcomes, calls=calls)
            for task, kind, source, outcomes, calls in rows
        ]

    def calls_by_id(self, ids: Sequence[str], *, tenant: str | None = None) -> list[NamedCall]:
        """Those of these calls (whole ids) that there are, of one tenant where it is given."""
        return self._named("id", ids, tenant)

    def calls_by_client_key(self, keys: Sequence[str], *, tenant: str | None = None) -> list[NamedCall]:
        """The calls of clients that were given these names (`x-smallfirst-key`), the latest first: of each
        tenant (or the one that is given), task and name the latest alone, since a client may give every call
        the same name.
        """
        return self._named("client_key", keys, tenant)

    def _named(self, column: str, names: Sequence[str], tenant: str | None) -> list[NamedCall]:
        values: list[Value] = [msgspec.json.encode(list(names)).decode()]
        also, latest = "", "n"
        if tenant is not None:
            also = " AND tenant = ?"
            values.append(self._reader.number(tenant))
        if column == "client_key":
            also += " AND client_key IS NOT NULL AND origin = ?"  # what the index holds
            values.append(self._reader.number("client"))
            also += " GROUP BY client_key, tenant, task"
            latest = "max(n)"  # SQLite takes the other columns from that row
        rows = self._reader.rows(
            f"SELECT id, tenant, task, client_key, {latest} AS latest FROM calls"
            f" WHERE {column} IN (SELECT value FROM json_each(?)){also} ORDER BY latest DESC",
            values,
        )
        known = self._reader.names()
        return [
            NamedCall(id=row[0], tenant=known[row[1]], task=known[row[2]], client_key=row[3] or "")
            for row in rows
        ]

    def _told(self, wanted: Filter, kind: str | None, source: str | None) -> tuple[list[str], list[Value]]:
        where, values = conditions(self._reader, wanted, table="calls.")
        for column, name in (("kind", kind), ("source", source)):
            if name is not None:
                where.append(f"outcomes.{column} = ?")
                values.append(name)
        return where, values
