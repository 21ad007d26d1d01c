"""Both accounts by day and model, where theirs has no line for each request."""

from __future__ import annotations

import datetime
from decimal import Decimal

from smallfirst.chat import Usage
from smallfirst.errors import ConfigError
from smallfirst.ledger.attempt_queries import Charged
from smallfirst.planning.reconcile.books import Books
from smallfirst.planning.reconcile.line import Line, by_class
from smallfirst.planning.reconcile.names import common_name
from smallfirst.planning.reconcile.result import usd

MS_PER_DAY = 86_400_000
ALL_MODELS = ""
_ABOUT_A_DAY_MS = MS_PER_DAY + 3_600_000
CellKey = tuple[int, str]
"""A day since 1970 (UTC) and a model's common name; `ALL_MODELS` where their account does not divide by model."""


class Heap:
    """Tokens by class and dollars, added up."""

    __slots__ = ("count", "tokens", "usd")

    def __init__(self) -> None:
        self.count = 0
        self.tokens: dict[str, int] = {}
        self.usd = Decimal(0)

    def add(self, tokens: dict[str, int], amount: Decimal, count: int = 1) -> None:
        self.count += count
        self.usd += amount
        for name, number in tokens.items():
            self.tokens[name] = self.tokens.get(name, 0) + number


class Cell:
    """One day of one model. `models` are ours in it, by provider and name."""

    __slots__ = ("estimated", "groups", "models", "ours", "theirs", "unknown", "usage", "where")

    def __init__(self) -> None:
        self.theirs, self.ours, self.estimated = Heap(), Heap(), Heap()
        self.groups: dict[str, Heap] = {}
        self.models: set[tuple[str, str]] = set()
        self.unknown = 0
        self.usage = Usage()
        self.where = ""

    def difference(self) -> dict[str, int]:
        """Theirs less ours, by class."""
        names = {*self.theirs.tokens, *self.ours.tokens}
        return {
            name: self.theirs.tokens.get(name, 0) - self.ours.tokens.get(name, 0) for name in sorted(names)
        }


class _Day:
    """Our attempts of one day that one provider was asked for under one name, until all names are known."""

    __slots__ = ("estimated", "ours", "unknown", "usage")

    def __init__(self) -> None:
        self.ours, self.estimated = Heap(), Heap()
        self.usage = [0] * len(Usage.__struct_fields__)
        self.unknown = 0


class Cells:
    """Lines and attempts, put into their cells."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._theirs: dict[tuple[int, str], Cell] = {}
        self._ours: dict[tuple[int, str, str, str], _Day] = {}
        self.by_model = True

    def add_line(self, line: Line) -> None:
        """A line of theirs; its bucket may be shorter than a day. Raises `ConfigError` where it does not lie in one day of UTC's."""
        day = line.at_ms // MS_PER_DAY
        if line.until_ms - line.at_ms > _ABOUT_A_DAY_MS:
            raise self._wrong(line, "is of more than a day: export it by day, or by the hour")
        if (line.until_ms - 1) // MS_PER_DAY > day:
            begins = datetime.datetime.fromtimestamp(line.at_ms / 1000, datetime.UTC)
            raise self._wrong(
                line, f"begins at {begins:%H:%M} UTC and ends on the next day: export it by days of UTC"
            )
        model = common_name(line.model) if line.model else ALL_MODELS
        self.by_model &= model != ALL_MODELS
        cell = self._theirs.setdefault((day, model), Cell())
        tokens, amount = line.tokens or {}, line.usd or Decimal(0)
        cell.theirs.add(tokens, amount)
        cell.groups.setdefault(line.group, Heap()).add(tokens, amount)
        cell.where = cell.where or line.where

    def add_attempt(self, attempt: Charged) -> None:
        """An attempt of ours."""
        self._books.names.learn(attempt.provider, attempt.model, attempt.upstream_model)
        of = (attempt.at_ms // MS_PER_DAY, attempt.provider, attempt.model, attempt.upstream_model)
        day = self._ours.get(of)
        if day is None:
            day = self._ours[of] = _Day()
        tokens, cost = by_class(attempt.usage, self._books.classes), usd(attempt.cost_nusd)
        day.ours.add(tokens, cost)
        day.unknown += attempt.cost_nusd is None
        if attempt.usage_source == "estimated":
            day.estimated.add(tokens, cost)
        for index, name in enumerate(Usage.__struct_fields__):
            day.usage[index] += getattr(attempt.usage, name)

    def key_of(self, attempt: Charged) -> CellKey:
        """The cell of an attempt, once all lines and attempts are in."""
        day = attempt.at_ms // MS_PER_DAY
        return day, self.model_of(attempt)

    def model_of(self, attempt: Charged) -> str:
        if not self.by_model:
            return ALL_MODELS
        return self._books.names.of(attempt.provider, attempt.model, attempt.upstream_model)

    def all(self) -> dict[CellKey, Cell]:
        """Every cell that either side has, in the order of days and models."""
        cells: dict[CellKey, Cell] = {}
        for (day, model), theirs in self._theirs.items():
            cell = cells.setdefault((day, model if self.by_model else ALL_MODELS), Cell())
            cell.theirs.add(theirs.theirs.tokens, theirs.theirs.usd, theirs.theirs.count)
            cell.where = cell.where or theirs.where
            for group, heap in theirs.groups.items():
                cell.groups.setdefault(group, Heap()).add(heap.tokens, heap.usd, heap.count)
        for (day, provider, model, upstream_model), ours in self._ours.items():
            name = self._books.names.of(provider, model, upstream_model) if self.by_model else ALL_MODELS
            cell = cells.setdefault((day, name), Cell())
            cell.ours.add(ours.ours.tokens, ours.ours.usd, ours.ours.count)
            cell.estimated.add(ours.estimated.tokens, ours.estimated.usd, ours.estimated.count)
            cell.unknown += ours.unknown
            cell.models.add((provider, model))
            cell.usage = Usage(
                *(
                    getattr(cell.usage, field) + count
                    for field, count in zip(Usage.__struct_fields__, ours.usage, strict=True)
                )
            )
        return dict(sorted(cells.items()))

    def _wrong(self, line: Line, what: str) -> ConfigError:
        return ConfigError(what, path=f"{self._books.statement.path.name}: {line.where}")
