"""Which sums a report is about, and where they are read: from days where they are summed, from hours where not."""

# ruff: noqa: S608  (statements are put together from constants of ours; every value is bound)

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import msgspec

from smallfirst.ledger.days import DAYS, FOLDED, HOURS_PER_DAY
from smallfirst.ledger.reader import Reader, Value

_FILTERS = ("tenant", "task", "model", "key", "origin")
_MOST_RUNS = 100  # of days that follow on one another; SQLite takes 500 parts in one statement


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """Hours since 1970 (UTC) from `since_hour` up to but not including `until_hour`, and of which calls: of one tenant,
    task, model, key or origin, or of all.
    """

    since_hour: int | None = None
    until_hour: int | None = None
    tenant: str | None = None
    task: str | None = None
    model: str | None = None
    key: str | None = None
    origin: str | None = None

    def asks_for(self, *filters: Literal["tenant", "task", "model", "key", "origin"]) -> bool:
        """Whether one of these is given."""
        return any(getattr(self, name) is not None for name in filters)


class Source(NamedTuple):
    """What stands after FROM, and the values that are bound in it. It has the columns, and `hour`."""

    text: str
    values: list[Value]


class _Part(NamedTuple):
    """Sums of days, or of hours, from one hour up to another; None: from the first, up to the last."""

    days: bool
    since_hour: int | None
    until_hour: int | None


def source(
    reader: Reader,
    span: Span,
    hourly: str,
    *,
    by: Sequence[str],
    sums: Iterable[str],
    only: Mapping[str, Value] = {},
    days: bool = True,
) -> Source:
    """The span's rows with the columns `by` and `sums`, of those days and hours that fit all of `only`.

    Where a day is read, `hour` is its first. The rows of a day are not grouped as those of its hours: they are to be
    added up. `days` False: hours alone are read.
    """
    equal = dict(only)
    equal |= {name: reader.number(value) for name in _FILTERS if (value := getattr(span, name)) is not None}
    needed = {*by, *equal}
    tables = (one.table for one in DAYS if one.hourly == hourly and needed <= set(one.by))
    daily = next(tables, None) if days else None
    columns = ", ".join(("", *by, *sums))
    texts, values = [], []
    for part in _parts(reader, span) if daily else [_Part(False, span.since_hour, span.until_hour)]:
        unit = HOURS_PER_DAY if part.days else 1
        name, table = ("day", daily) if part.days else ("hour", hourly)
        hour = f"day * {HOURS_PER_DAY}" if part.days else "hour"
        tests = [f"{column} = ?" for column in equal]
        values += equal.values()
        for test, bound in ((f"{name} >= ?", part.since_hour), (f"{name} < ?", part.until_hour)):
            if bound is not None:
                tests.append(test)
                values.append(bound // unit)
        where = f" WHERE {' AND '.join(tests)}" if tests else ""
        texts.append(f"SELECT {hour} AS hour{columns} FROM {table}{where}")
    return Source(f"({' UNION ALL '.join(texts)})", values)


def hours_of_days(reader: Reader, span: Span) -> Source:
    """What was spent by the hour on whole days of the span that are summed: `hour` and `cost_nusd`; of its tenant."""
    tests, values = [f"day IN ({FOLDED})"], []
    bounds = (
        ("day >= ?", None if span.since_hour is None else -(-span.since_hour // HOURS_PER_DAY)),
        ("day < ?", None if span.until_hour is None else span.until_hour // HOURS_PER_DAY),
        ("tenant = ?", None if span.tenant is None else reader.number(span.tenant)),
    )
    for test, bound in bounds:
        if bound is not None:
            tests.append(test)
            values.append(bound)
    return Source(f"(SELECT hour, cost_nusd FROM daily_hours WHERE {' AND '.join(tests)})", values)


def _parts(reader: Reader, span: Span) -> Iterator[_Part]:
    """The span in its order: runs of days that are summed, and the hours between them."""
    first = None if span.since_hour is None else -(-span.since_hour // HOURS_PER_DAY)
    last = None if span.until_hour is None else span.until_hour // HOURS_PER_DAY
    at = span.since_hour
    for since, until in _runs(reader, first, last):
        if at != since:
            yield _Part(False, at, since)
        yield _Part(True, since, until)
        at = until
    if at is None or at != span.until_hour:
        yield _Part(False, at, span.until_hour)


def _runs(reader: Reader, first: int | None, last: int | None) -> list[tuple[int, int]]:
    """Hours from and up to which all days are summed, of the days from `first` up to `last`; in order."""
    days = [row[0] for row in reader.rows(f"{FOLDED} ORDER BY day")]
    runs: list[tuple[int, int]] = []
    for day in days:
        if (first is not None and day < first) or (last is not None and day >= last):
            continue
        start, end = day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY
        if runs and runs[-1][1] == start:
            runs[-1] = (runs[-1][0], end)
        else:
            runs.append((start, end))
    longest = sorted(runs, key=lambda run: run[0] - run[1])[:_MOST_RUNS]
    return sorted(longest)
