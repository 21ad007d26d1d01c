"""What traffic a span had, for one task or all: calls by the hour, and what its models read and wrote. Reads hourly sums only."""

# ruff: noqa: S608  (statements are put together from constants of ours; every value is bound)

from __future__ import annotations

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger.reader import Reader, Value
from smallfirst.ledger.rollups import ANSWERED, TOKEN_CLASSES


class ModelTraffic(msgspec.Struct, frozen=True, kw_only=True):
    """Attempts of one model that answered, for calls of clients."""

    model: str
    attempts: int
    usage: Usage
    cost_nusd: int
    unknown_attempts: int


class Traffic:
    """Sums over hours since 1970 from `since_hour` on, to but not including `until_hour`. Raises `StateError` where the store cannot be read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def calls_by_hour(
        self, *, task: str | None = None, since_hour: int | None = None, until_hour: int | None = None
    ) -> list[tuple[int, int]]:
        """(hour, calls of clients), in order, without hours that had none and without calls that were refused before any model was asked."""
        where, values = self._where(task, since_hour, until_hour)
        values.append(self._reader.number("refused"))
        return self._reader.rows(
            f"SELECT hour, sum(calls) FROM hourly_calls WHERE {where} AND status != ? GROUP BY hour ORDER BY hour",
            values,
        )  # pyright: ignore[reportReturnType]

    def models(
        self, *, task: str | None = None, since_hour: int | None = None, until_hour: int | None = None
    ) -> list[ModelTraffic]:
        """Each model that answered, with the tokens of its answers."""
        where, values = self._where(task, since_hour, until_hour)
        values += [self._reader.number(status) for status in ANSWERED]
        sums = ("attempts", *TOKEN_CLASSES, "cost_nusd", "unknown_attempts")
        rows = self._reader.rows(
            f"SELECT model, {', '.join(f'sum({name})' for name in sums)} FROM hourly_attempts"
            f" WHERE {where} AND status IN ({', '.join('?' * len(ANSWERED))}) GROUP BY model",
            values,
        )
        names, last = self._reader.names(), 2 + len(TOKEN_CLASSES)
        return [
            ModelTraffic(
                model=names[row[0]],
                attempts=row[1],
                usage=Usage(*row[2:last]),
                cost_nusd=row[last],
                unknown_attempts=row[last + 1],
            )
            for row in rows
        ]

    def _where(
        self, task: str | None, since_hour: int | None, until_hour: int | None
    ) -> tuple[str, list[Value]]:
        tests = ["origin = ?"]
        values: list[Value] = [self._reader.number("client")]
        also: tuple[tuple[str, Value], ...] = (
            ("task = ?", None if task is None else self._reader.number(task)),
            ("hour >= ?", since_hour),
            ("hour < ?", until_hour),
        )
        for test, value in also:
            if value is not None:
                tests.append(test)
                values.append(value)
        return " AND ".join(tests), values
