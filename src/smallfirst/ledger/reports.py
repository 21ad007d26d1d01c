"""What is asked of many calls: read from the hourly sums, so that ten million calls cost what their hours
cost.
"""

# ruff: noqa: S608  (statements are put together from constants of ours; every value is bound)

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Literal

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger import buckets
from smallfirst.ledger.days import HOURS_PER_DAY
from smallfirst.ledger.reader import Reader, Value
from smallfirst.ledger.rollups import ATTEMPT_SUMS, FIRST_TOKEN, FRONTIER_SUMS, OVERHEAD, TOKEN_CLASSES, TOTAL
from smallfirst.ledger.span import Source, Span, hours_of_days, source

Group = Literal["task", "model", "key", "tenant", "provider", "day", "week", "month"]
Measure = Literal["total", "first_token", "overhead"]
_MEASURES: dict[Measure, int] = {"total": TOTAL, "first_token": FIRST_TOKEN, "overhead": OVERHEAD}
_US_PER_MS = 1000


class CallSums(msgspec.Struct, frozen=True, kw_only=True):
    """Calls of one group (and a second within it), origin and status. For the group `model` the name is what answered."""

    name: str
    then: str
    origin: str
    status: str
    calls: int
    unproven: int
    outside_bound: int


class AttemptSums(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of one group (and a second within it), origin and status. `cost_nusd` is the sum of the known costs;
    `unknown` attempts have none. `prompt_cache_saved_nusd` is below 0 where writing to a provider's cache cost more
    than reading from it saved.
    """

    name: str
    then: str
    origin: str
    status: str
    simulated: bool
    attempts: int
    usage: Usage
    cost_nusd: int
    unknown_attempts: int
    estimated_attempts: int
    estimated_nusd: int
    prompt_cache_saved_nusd: int


class FrontierSums(msgspec.Struct, frozen=True, kw_only=True):
    """Answered calls of clients to one task, by the frontier model that answered; `model` is empty for those
    that none did.

    `bytes` are the request bodies' sizes; `bytes2`, `nusd2` and `cross` sums of squares and products of bytes
    and the frontier's cost; `full_…` the same with every token of the frontier's prompts at its plain price.
    `hit_calls` are those whose answer the cache had from the frontier, at what that had cost (`hit_nusd`): their
    bytes are in no sum. `cache_saved_nusd` is what all hits had cost first; `unknown_hits` have an unknown price.
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
    prompt_cache_saved_nusd: int = 0
    full_nusd: int = 0
    full2: float = 0.0
    full_cross: float = 0.0
    hit_calls: int = 0
    hit_nusd: int = 0
    cache_saved_nusd: int = 0
    unknown_hits: int = 0


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
    """Sums over a span, from days where they are summed, else from hours. Raises `StateError` where the store cannot
    be read.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def at_once(self) -> AbstractContextManager[None]:
        """All reports that are made within are of one moment, so that they add up while calls come in."""
        return self._reader.at_once()

    def calls(self, span: Span, by: Group, then: Group | None = None) -> list[CallSums]:
        """Calls by group, origin and status. A call has no provider: by that group there are none."""
        if "provider" in (by, then):
            return []
        columns = _columns(by, then, "origin", "status", "unproven", "outside_bound")
        read = source(self._reader, span, "hourly_calls", by=columns, sums=("calls",))
        sums = ("sum(calls)", "sum(calls * unproven)", "sum(calls * outside_bound)")
        fields = CallSums.__struct_fields__
        return [
            CallSums(**dict(zip(fields, row, strict=True)))
            for row in self._grouped(read, (by, then), (), sums)
        ]

    def spend(self, span: Span, by: Group, then: Group | None = None) -> list[AttemptSums]:
        """Attempts, tokens and money by group, origin, status and whether it was simulated."""
        columns = _columns(by, then, "origin", "status", "simulated")
        read = source(self._reader, span, "hourly_attempts", by=columns, sums=ATTEMPT_SUMS)
        sums = [f"sum({name})" for name in ATTEMPT_SUMS]
        rows = self._grouped(read, (by, then), ("simulated",), sums)
        return [_attempt_sums(row) for row in rows]

    def by_hour_of_day(self, span: Span) -> list[int]:
        """What was spent in each of the 24 hours of UTC's day, in nano-dollars: from the days of the span that are
        summed, or, where nothing is there or a task, model, key or origin is asked for, from its hours.
        """
        if not span.asks_for("task", "model", "key", "origin"):
            spent = self._by_hour(hours_of_days(self._reader, span))
            if any(spent):
                return spent
        return self._by_hour(
            source(self._reader, span, "hourly_attempts", by=(), sums=("cost_nusd",), days=False)
        )

    def _by_hour(self, read: Source) -> list[int]:
        query = f"SELECT hour % {HOURS_PER_DAY}, sum(cost_nusd) FROM {read.text} GROUP BY 1"
        spent = dict(self._reader.rows(query, read.values))
        return [spent.get(hour, 0) for hour in range(HOURS_PER_DAY)]

    def first_hour(self, span: Span) -> int | None:
        """The first hour with a call that fits; None where there is none."""
        read = source(self._reader, span, "hourly_calls", by=(), sums=(), days=False)
        return self._reader.rows(f"SELECT min(hour) FROM {read.text}", read.values)[0][0]

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
        only: dict[str, Value] = {"measure": _MEASURES[measure], "origin": self._reader.number(origin)}
        only |= {
            column: self._reader.number(name)
            for column, name in (("task", task), ("model", model))
            if name is not None
        }
        read = source(self._reader, span, "hourly_latency", by=("bucket",), sums=("calls",), only=only)
        query = f"SELECT bucket, sum(calls) FROM {read.text} GROUP BY bucket"
        return self._reader.rows(query, read.values)  # pyright: ignore[reportReturnType]

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
        return quantile_ms(self.histogram(span, measure, origin=origin, task=task, model=model), q)

    def latencies(self, span: Span) -> dict[tuple[str, Measure], list[tuple[int, int]]]:
        """By task and measure, the histogram of clients' answered calls. Nothing is kept of it by key."""
        if span.asks_for("key"):
            return {}
        only: dict[str, Value] = {"origin": self._reader.number("client")}
        by = ("task", "measure", "bucket")
        read = source(self._reader, span, "hourly_latency", by=by, sums=("calls",), only=only)
        rows = self._reader.rows(
            f"SELECT task, measure, bucket, sum(calls) FROM {read.text} GROUP BY 1, 2, 3", read.values
        )
        names = self._reader.names()
        measures: dict[int, Measure] = {number: name for name, number in _MEASURES.items()}
        found: dict[tuple[str, Measure], list[tuple[int, int]]] = {}
        for task, measure, bucket, calls in rows:
            found.setdefault((names[task], measures[measure]), []).append((bucket, calls))
        return found

    def frontier(self, span: Span) -> list[FrontierSums]:
        """By task and frontier model, what is needed to say what the same calls would have cost on the
        frontier alone. Nothing is kept of it by key, model or origin: where one is asked for, there is nothing.
        """
        if span.asks_for("key", "model", "origin"):
            return []
        by = ("task", "model", "simulated")
        read = source(self._reader, span, "hourly_frontier", by=by, sums=FRONTIER_SUMS)
        sums = ", ".join(f"sum({name})" for name in FRONTIER_SUMS)
        rows = self._reader.rows(
            f"SELECT task, model, simulated, max(hour), {sums} FROM {read.text} GROUP BY 1, 2, 3", read.values
        )
        names = self._reader.names()
        return [
            FrontierSums(
                task=names[row[0]],
                model=names[row[1]],
                simulated=bool(row[2]),
                last_hour=row[3],
                **dict(zip(FRONTIER_SUMS, row[4:], strict=True)),
            )
            for row in rows
        ]

    def cache(self, span: Span) -> list[CacheSums]:
        """What the cache had for the calls that asked it, by task and tenant. Nothing is kept of it by key, model or
        origin: where one is asked for, there is nothing.
        """
        if span.asks_for("key", "model", "origin"):
            return []
        by, sums = ("task", "tenant", "result"), ("calls", "unknown_calls", "saved_nusd")
        read = source(self._reader, span, "hourly_cache", by=by, sums=sums)
        rows = self._reader.rows(
            "SELECT task, tenant, result, sum(calls), sum(unknown_calls), sum(saved_nusd)"
            f" FROM {read.text} GROUP BY 1, 2, 3",
            read.values,
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
        """Hours of the user's own models. They belong to no tenant, task, key or origin: nothing is said of them where
        one is asked for.
        """
        if span.asks_for("tenant", "task", "key", "origin"):
            return []
        read = source(self._reader, span, "hourly_models", by=("model",), sums=("seconds", "cost_nusd"))
        rows = self._reader.rows(
            f"SELECT model, sum(seconds), sum(cost_nusd) FROM {read.text} GROUP BY model", read.values
        )
        names = self._reader.names()
        return [OwnModel(model=names[row[0]], seconds=row[1], cost_nusd=row[2]) for row in rows]

    def _grouped(
        self, read: Source, groups: tuple[Group, Group | None], also: Sequence[str], sums: Sequence[str]
    ) -> list[tuple[Any, ...]]:
        """Rows of both groups' names (the second empty where it is None), origin, status, what else is in `also`,
        and the sums.
        """
        asked = (*(_column(group) for group in groups), "origin", "status", *also)
        keys = ", ".join(str(at + 1) for at in range(len(asked)))
        rows = self._reader.rows(
            f"SELECT {', '.join((*asked, *sums))} FROM {read.text} GROUP BY {keys}", read.values
        )
        names = self._reader.names()
        return [
            (
                _name(groups[0], row[0], names),
                _name(groups[1], row[1], names),
                names[row[2]],
                names[row[3]],
                *row[4:],
            )
            for row in rows
        ]


def _attempt_sums(row: tuple[Any, ...]) -> AttemptSums:
    tokens, counts = row[6 : 6 + len(TOKEN_CLASSES)], row[6 + len(TOKEN_CLASSES) :]
    return AttemptSums(
        name=row[0],
        then=row[1],
        origin=row[2],
        status=row[3],
        simulated=bool(row[4]),
        attempts=row[5],
        usage=Usage(*tokens),
        **dict(zip(ATTEMPT_SUMS[1 + len(TOKEN_CLASSES) :], counts, strict=True)),
    )


def quantile_ms(histogram: Sequence[tuple[int, int]], q: float) -> float | None:
    """A quantile of a histogram of microseconds; None where it is empty."""
    found = buckets.quantile(histogram, q)
    return None if found is None else buckets.middle(found) / _US_PER_MS


def _columns(by: Group, then: Group | None, *also: str) -> list[str]:
    """Without one twice, and without those that `hour` gives."""
    return list(
        dict.fromkeys(name for name in (by, then, *also) if name is not None and name not in _PERIODS)
    )


def _column(group: Group | None) -> str:
    return "NULL" if group is None else f"hour / {HOURS_PER_DAY}" if group in _PERIODS else group


def _name(group: Group | None, value: int | None, names: Mapping[int, str]) -> str:
    if group is None or value is None:
        return ""
    return _PERIODS[group](value) if group in _PERIODS else names[value]


def _day(number: int) -> str:
    return str(_date(number))


def _week(number: int) -> str:
    """As ISO 8601 names it: 2026-W48."""
    year, week, _ = _date(number).isocalendar()
    return f"{year}-W{week:02}"


def _month(number: int) -> str:
    return str(_date(number))[:7]


def _date(number: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=number)


_PERIODS: dict[Group, Callable[[int], str]] = {"day": _day, "week": _week, "month": _month}
