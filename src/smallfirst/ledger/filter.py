"""Which calls are meant: the one filter of lists, tails and counts."""

from __future__ import annotations

import msgspec

from smallfirst.ledger.reader import Reader, Value


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Calls that fit all that is given. Times are Unix milliseconds, from `since_ms` up to but not including
    `until_ms`.
    """

    tenant: str | None = None
    key: str | None = None
    task: str | None = None
    model: str | None = None
    status: str | None = None
    origin: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None


ALL = Filter()


def conditions(reader: Reader, wanted: Filter, *, table: str = "") -> tuple[list[str], list[Value]]:
    """What a filter asks of a row of `calls`, as SQL and the values bound to it. `table` stands before each column."""
    where: list[str] = []
    values: list[Value] = []
    for column in ("tenant", "key", "task", "model", "status", "origin"):
        name = getattr(wanted, column)
        if name is not None:
            where.append(f"{table}{column} = ?")
            values.append(reader.number(name))
    for test, bound in (("at_ms >= ?", wanted.since_ms), ("at_ms < ?", wanted.until_ms)):
        if bound is not None:
            where.append(table + test)
            values.append(bound)
    return where, values
