"""What is asked of attempts in their order in time, however many there are: for whoever holds them against another account."""

# ruff: noqa: S608  (statements are put together from constants of ours; every value is bound)

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger.reader import Reader, Value
from smallfirst.ledger.records import AttemptStatus, UsageSource
from smallfirst.ledger.rollups import MS_PER_HOUR, TOKEN_CLASSES

_CALLS_A_PAGE = 5_000
_LONGEST_CALL_MS = MS_PER_HOUR
_US_PER_MS = 1000
_COLUMNS = (
    "provider", "model", "upstream_model", "status", "usage_source", "started_us", "latency_us", *TOKEN_CLASSES,
    "cost_nusd", "upstream_id", "simulated",
)  # fmt: skip


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt as its provider may charge it. `at_ms` is when it was begun, Unix time; `cost_nusd` None: its price is unknown."""

    call: str
    seq: int
    at_ms: int
    latency_ms: int
    provider: str
    model: str
    upstream_model: str
    status: AttemptStatus
    usage: Usage
    usage_source: UsageSource
    cost_nusd: int | None
    upstream_id: str
    simulated: bool

    @property
    def costs_nothing(self) -> bool:
        """Whether nothing is owed for it: nothing was read or written, and nothing is charged."""
        usage = self.usage
        return not (usage.prompt_tokens or usage.completion_tokens) and self.cost_nusd == 0


class AttemptQueries:
    """Reads attempts a page at a time, so that ten million need no more memory than one page. Raises `StateError` where the store cannot be read."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    def providers(self) -> list[str]:
        """All providers that were ever asked, by name."""
        rows = self._reader.rows("SELECT DISTINCT provider FROM hourly_attempts")
        names = self._reader.names()
        return sorted(names[number] for (number,) in rows)

    def charged(
        self,
        *,
        since_ms: int,
        until_ms: int,
        providers: Sequence[str] | None = None,
        simulated: bool | None = None,
    ) -> Iterator[list[Charged]]:
        """Attempts that were begun from `since_ms` up to but not including `until_ms`, in pages, in the order in which their calls arrived.

        Of these providers, or of simulated or real ones alone, where that is given. An attempt later than an hour after its call
        arrived is not found.
        """
        where, values = self._of(providers, simulated)
        last = (since_ms - _LONGEST_CALL_MS, -1)
        while True:
            page = self._reader.rows(
                "SELECT at_ms, n, id FROM calls WHERE at_ms < ? AND (at_ms, n) > (?, ?) ORDER BY at_ms, n LIMIT ?",
                (until_ms, *last, _CALLS_A_PAGE),
            )
            if not page:
                return
            last = page[-1][:2]
            found = self._attempts(page, where, values)
            yield [each for each in found if since_ms <= each.at_ms < until_ms]

    def summed(
        self,
        *,
        since_hour: int,
        until_hour: int,
        providers: Sequence[str] | None = None,
        simulated: bool | None = None,
    ) -> tuple[int, int]:
        """How many attempts the hourly sums count, and what they cost in nano-dollars (unknown prices add nothing), erased calls included."""
        where, values = self._of(providers, simulated)
        rows = self._reader.rows(
            "SELECT coalesce(sum(attempts), 0), coalesce(sum(cost_nusd), 0) FROM hourly_attempts"
            f" WHERE hour >= ? AND hour < ?{where}",
            (since_hour, until_hour, *values),
        )
        return rows[0]

    def _of(self, providers: Sequence[str] | None, simulated: bool | None) -> tuple[str, list[Value]]:
        where, values = "", []
        if providers is not None:
            where += f" AND provider IN ({', '.join('?' * len(providers))})"
            values += [self._reader.number(name) for name in providers]
        if simulated is not None:
            where += " AND simulated = ?"
            values.append(int(simulated))
        return where, values

    def _attempts(self, page: list[tuple[Any, ...]], where: str, values: list[Value]) -> list[Charged]:
        calls = {n: (at_ms, call) for at_ms, n, call in page}
        numbers = msgspec.json.encode(list(calls)).decode()
        rows = self._reader.rows(
            f"SELECT call, seq, {', '.join(_COLUMNS)} FROM attempts"
            f" WHERE call IN (SELECT value FROM json_each(?)){where} ORDER BY call, seq",
            (numbers, *values),
        )
        names = self._reader.names()
        return [_charged(row, *calls[row[0]], names) for row in rows]


def _charged(row: tuple[Any, ...], at_ms: int, call: str, names: dict[int, str]) -> Charged:
    first = 2 + _COLUMNS.index(TOKEN_CLASSES[0])
    end = first + len(TOKEN_CLASSES)
    return Charged(
        call=call,
        seq=row[1],
        provider=names[row[2]],
        model=names[row[3]],
        upstream_model=names[row[4]],
        status=names[row[5]],  # pyright: ignore[reportArgumentType]  (written from the same literal)
        usage_source=names[row[6]],  # pyright: ignore[reportArgumentType]
        at_ms=at_ms + row[7] // _US_PER_MS,
        latency_ms=row[8] // _US_PER_MS,
        usage=Usage(*row[first:end]),
        cost_nusd=row[end],
        upstream_id=row[end + 1] or "",
        simulated=bool(row[end + 2]),
    )
