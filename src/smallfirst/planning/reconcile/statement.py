"""A provider's account, opened: which format it is in, and its lines one by one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal
from itertools import chain
from pathlib import Path

from smallfirst.errors import ConfigError
from smallfirst.planning.reconcile.formats import Format, format_of, generic
from smallfirst.planning.reconcile.formats.generic import parse_map
from smallfirst.planning.reconcile.line import Line
from smallfirst.planning.reconcile.source import rows_of

_PLACES_OF_NUSD = 9
_PLACES_OF_CENTS = 2


class Statement:
    """The file at `path`. `columns` says what is what where the format is none that is known (`field=column` each).

    Raises `ConfigError` that names the file, the line and the field where something is wrong, also while lines are read.
    """

    def __init__(self, path: Path, columns: Sequence[str] = ()) -> None:
        self.path = path
        first = next(rows_of(path), None)
        if first is None:
            raise ConfigError("has no line", path=str(path))
        if columns:
            self.format: Format = generic(parse_map(columns))
            missing = sorted(self.format.needs - first.fields.keys())
            if missing:
                raise ConfigError(
                    f"there is no column {missing[0]!r}; there are {', '.join(first.fields)}", path="--map"
                )
        else:
            self.format = format_of(first.fields.keys(), path)
        self.lines_read = 0
        self.tells_money = False
        self._places = 0

    @property
    def step_usd(self) -> Decimal:
        """The smallest amount that the lines read so far tell apart, at most a cent; 0 where they are not rounded, or finer than to a nano-dollar."""
        if self.format.exact or not self.tells_money or self._places >= _PLACES_OF_NUSD:
            return Decimal(0)
        return Decimal(1).scaleb(-max(self._places, _PLACES_OF_CENTS))

    @property
    def rounding_usd(self) -> Decimal:
        """By how much one of its amounts can be off for being rounded."""
        return self.step_usd / 2

    def lines(self) -> Iterator[Line]:
        """Every line that says something."""
        rows = rows_of(self.path)
        first = next(rows)
        for row in chain([first], rows):
            for column in self.format.needs:
                if column not in row.fields:
                    raise ConfigError(
                        "is not there, and the first row has it",
                        path=f"{self.path.name}: {row.where}: {column}",
                    )
            line = self.format.line(row)
            if line is None:
                continue
            self.lines_read += 1
            if line.usd is not None:
                self.tells_money = True
                self._places = max(self._places, _places(line.usd))
            yield line


def _places(amount: Decimal) -> int:
    """How many digits stand behind the point, without the zeros at its end."""
    exponent = amount.normalize().as_tuple().exponent
    return -exponent if isinstance(exponent, int) and exponent < 0 else 0
