"""What is asked of many calls: read from the hourly sums, so that ten million calls cost what their hours
cost.
"""

# ruff: noqa: S608  (statements are put together from constants of ours; every value is bound)

from __future__ import annotations

from typing import Literal

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger import buckets
from smallfirst.ledger.reader import Reader, Value
from smallfirst.ledger.rollups import FIRST_TOKEN, OVERHEAD, TOKEN_CLASSES, TOTAL

Group = Literal["task", "model", "key", "tenant", "provider", "day"]
Measure = Literal["total", "first_token", "overhead"]
_MEASURES: dict[Measure, int] = {"total": TOTAL, "first_token": FIRST_TOKEN, "overhead": OVERHEAD}
_HOURS_PER_DAY = 24
_US_PER_MS = 1000


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Hours since 1970 (UTC) from `since_hour` up to but not including `until_hour`, of one tenant or of
    all.
    """

    since_hour: int | None = None
    until_hour: int | None = None
    tenant: str | None = None


class CallSums(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one group, origin and status. For the group `model` the name is what answered."""

    name: str
    origin: str
    status: str
    calls: int
    unproven: int
    outside_bound: int


class AttemptSums(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of one group, origin and status. `cost_nusd` is the sum of the known costs; `unknown` attempts
    have none.
    """

    name: str
    origin: str
    status: str
    simulated: bool
    attempts: int
    usage: Usage
    cost_nusd: int
    unknown_attempts: int
    estimated_attempts: int
    estimated_nusd: int


class FrontierSums(msgspec.Struct, frozen=True, kw_only=True):
    """Answered calls of clients to one task, by the frontier model that answered; `model` is empty for those
    that none did.

    `bytes` are the request bodies' sizes; `bytes2`, `nusd2` and `cross` sums of squares and products of bytes
    and the frontier's cost.
    """

    task: str
    model: str
    simulated: bool
    last_hour: int
    calls: int
    unknown_calls: int
    paid_nusd: int
    frontier_nusd: int
    bytes: int
    bytes2: float
    nusd2: float
    cross: float


class CacheSums(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one task and tenant by what the cache had for them: "miss", "exact", "semantic" or "flight".

    `saved_nusd` is what the calls had cost that were answered so first; `unknown_calls` of an unknown price are not in it.
    """

    task: str
    tenant: str
    result: str
    calls: int
    unknown_calls: int
    saved_nusd: int


class OwnModel(msgspec.Struct, frozen=True, kw_only=True):
    """For how long a model of the user's own was kept, and what that cost."""

    model: str
    seconds: float
    cost_nusd: int


class Reports:
    """Sums over a span. Raises `StateError` where the store cannot be read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def calls(self, span: Span, by: Group) -> list[CallSums]:
        """Calls by group, origin and status. A call has no provider, so that group puts all under the empty
        name.
        """
        column = {"day": f"hour / {_HOURS_PER_DAY}", "provider": "NULL"}.get(by, by)
        where, values = self._where(span)
        rows = self._reader.rows(
            f"SELECT {column}, origin, status, sum(calls), sum(calls * unproven), sum(calls * outside_bound)"
            f" FROM hourly_calls {where} GROUP BY 1, 2, 3",
            values,
        )
        names = self._reader.names()
        return [
            CallSums(
                name=self._name(by, row[0]),
                origin=names[row[1]],
                status=names[row[2]],
                calls=row[3],
                unproven=row[4],
                outside_bound=row[5],
            )
            for row in rows
        ]

    def spend(self, span: Span, by: Group) -> list[AttemptSums]:
        """Attempts, tokens and money by group, origin, status and whether it was simulated."""
        column = f"hour / {_HOURS_PER_DAY}" if by == "day" else by
        sums = (
            "attempts",
            *TOKEN_CLASSES,
            "cost_nusd",
            "unknown_attempts",
            "estimated_attempts",
            "estimated_nusd",
        )
        where, values = self._where(span)
        rows = self._reader.rows(
            f"SELECT {column}, origin, status, simulated, {', '.join(f'sum({name})' for name in sums)}"
            f" FROM hourly_attempts {where} GROUP BY 1, 2, 3, 4",
            values,
        )
        names = self._reader.names()
        first = 5 + len(TOKEN_CLASSES)
        return [
            AttemptSums(
                name=self._name(by, row[0]),
                origin=names[row[1]],
                status=names[row[2]],
                simulated=bool(row[3]),
                attempts=row[4],
                usage=Usage(*row[5:first]),
                cost_nusd=row[first],
                unknown_attempts=row[first + 1],
                estimated_attempts=row[first + 2],
                estimated_nusd=row[first + 3],
            )
            for row in rows
        ]

    def histogram(
        self,
        span: Span,
        measure: Measure,
        *,
        origin: str = "client",
        task: str | None = None,
        model: str | None = None,
    ) -> list[tuple[int, int]]:
        """(bucket of microseconds, calls) of answered calls."""
        where, values = self._where(span, "measure = ?", "origin = ?")
        values = [*values, _MEASURES[measure], self._reader.number(origin)]
        for column, name in (("task", task), ("model", model)):
            if name is not None:
                where += f" AND {column} = ?"
                values.append(self._reader.number(name))
        return self._reader.rows(
            f"SELECT bucket, sum(calls) FROM hourly_latency {where} GROUP BY bucket", values
        )  # pyright: ignore[reportReturnType]

    def latency_ms(
        self,
        span: Span,
        measure: Measure,
        q: float,
        *,
        origin: str = "client",
        task: str | None = None,
        model: str | None = None,
    ) -> float | None:
        """A quantile in milliseconds, to within 2.2 percent of a bucket's middle; None where nothing was
        answered.
        """
        found = buckets.quantile(self.histogram(span, measure, origin=origin, task=task, model=model), q)
        return None if found is None else buckets.middle(found) / _US_PER_MS

    def frontier(self, span: Span) -> list[FrontierSums]:
        """By task and frontier model, what is needed to say what the same calls would have cost on the
        frontier alone.
        """
        sums = ("calls", "unknown_calls", "paid_nusd", "frontier_nusd", "bytes", "bytes2", "nusd2", "cross")
        where, values = self._where(span)
        rows = self._reader.rows(
            f"SELECT task, model, simulated, max(hour), {', '.join(f'sum({name})' for name in sums)}"
            f" FROM hourly_frontier {where} GROUP BY 1, 2, 3",
            values,
        )
        names = self._reader.names()
        return [
            FrontierSums(
                task=names[row[0]],
                model=names[row[1]],
                simulated=bool(row[2]),
                last_hour=row[3],
                **dict(zip(sums, row[4:], strict=True)),
            )
            for row in rows
        ]

    def cache(self, span: Span) -> list[CacheSums]:
        """What the cache had for the calls that asked it, by task and tenant."""
        where, values = self._where(span)
        rows = self._reader.rows(
            "SELECT task, tenant, result, sum(calls), sum(unknown_calls), sum(saved_nusd)"
            f" FROM hourly_cache {where} GROUP BY 1, 2, 3",
            values,
        )
        names = self._reader.names()
        return [
            CacheSums(
                task=names[row[0]],
                tenant=names[row[1]],
                result=names[row[2]],
                calls=row[3],
                unknown_calls=row[4],
                saved_nusd=row[5],
            )
            for row in rows
        ]

    def own_models(self, span: Span) -> list[OwnModel]:
        """Hours of the user's own models. They belong to no tenant: nothing is said of them where one is
        asked for.
        """
        if span.tenant is not None:
            return []
        where, values = self._where(span)
        rows = self._reader.rows(
            f"SELECT model, sum(seconds), sum(cost_nusd) FROM hourly_models {where} GROUP BY model", values
        )
        names = self._reader.names()
        return [OwnModel(model=names[row[0]], seconds=row[1], cost_nusd=row[2]) for row in rows]

    def _where(self, span: Span, *also: str) -> tuple[str, list[Value]]:
        tests: list[str] = []
        values: list[Value] = []
        for test, bound in (("hour >= ?", span.since_hour), ("hour < ?", span.until_hour)):
            if bound is not None:
                tests.append(test)
                values.append(bound)
        if span.tenant is not None:
            tests.append("tenant = ?")
            values.append(self._reader.number(span.tenant))
        tests += also
        return (f"WHERE {' AND '.join(tests)}" if tests else ""), values

    def _name(self, by: Group, value: int | None) -> str:
        if value is None:
            return ""
        return _day(value) if by == "day" else self._reader.names()[value]


def _day(number: int) -> str:
    import datetime

    return (datetime.date(1970, 1, 1) + datetime.timedelta(days=number)).isoformat()
