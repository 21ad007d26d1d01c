"""Calls in tables: CSV with commas, semicolons or tabs, whose first row names the columns."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import cast

from smallfirst import limits
from smallfirst.datasets.lines import Line, Position, opened
from smallfirst.datasets.row import Tally
from smallfirst.errors import DatasetError

ENDINGS = (".csv", ".tsv")
_TOLD_EVERY = 2000


def is_table(path: Path) -> bool:
    """By its name; `.gz` behind it counts for nothing."""
    return (
        path.with_suffix("").suffix.lower() in ENDINGS
        if path.suffix == ".gz"
        else path.suffix.lower() in ENDINGS
    )


def read_table(path: Path, tally: Tally, position: Position) -> Iterator[Line]:
    """Rows as objects, column by column. Raises `DatasetError` where there is no table; rows of another width are told to `tally`."""
    csv.field_size_limit(limits.MAX_REPLY_BYTES)
    with opened(path) as (file, place):
        text = io.TextIOWrapper(cast("io.BufferedReader", file), "utf-8-sig", newline="")
        try:
            header = text.readline()
            if not header.strip():
                raise DatasetError(f"{path} is empty: expected a first row that names the columns")
            sign = max("\t;,", key=header.count)
            names = [name.strip() for name in next(csv.reader([header], delimiter=sign))]
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise DatasetError(f"{path}, line 1: the column {min(twice)!r} is named twice")
            rows = csv.reader(text, delimiter=sign)
            for number, row in enumerate(rows, start=1):
                if number % _TOLD_EVERY == 0:
                    position(place())
                if not row:
                    continue
                if len(row) != len(names):
                    tally.bad(
                        f"{path}, line {rows.line_num + 1}",
                        f"{len(row)} columns where the first row names {len(names)}",
                    )
                    continue
                yield Line(path, rows.line_num + 1, dict(zip(names, row, strict=True)))
        except UnicodeDecodeError as error:
            raise DatasetError(f"{path}: not UTF-8: {error.reason}; save it as CSV in UTF-8") from error
        except csv.Error as error:
            raise DatasetError(f"{path}: not a table: {error}") from error
