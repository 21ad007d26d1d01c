"""Files of outcomes, row by row: CSV with a header line, or one JSON object a line. Nothing is read ahead, and what
was imported before changes nothing: an import that was interrupted is simply done again.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.errors import StateError
from smallfirst.ledger.ledger import LedgerView
from smallfirst.ledger.notes import Notes
from smallfirst.ledger.told import (
    FIELDS,
    RowRefused,
    RowResult,
    note_told,
    read_all,
)

_MAX_LINE_BYTES = 1024 * 1024
_BATCH_ROWS = 1000  # a transaction: a gateway's importer has its turn between two
_IMPORTER_WAIT_S = 0.5  # a gateway takes in five times a second what it has answered
_KEPT_REFUSALS = 1000
_NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class RefusedLine(msgspec.Struct, frozen=True, kw_only=True):
    """A line that was not taken, and because of which field."""

    line: int
    field: str
    message: str


class Imported(msgspec.Struct, kw_only=True):
    """What became of a file's rows. Of more than a thousand refusals the first thousand are kept."""

    new: int = 0
    repeated: int = 0
    refused: int = 0
    refusals: list[RefusedLine] = []


def import_outcomes(
    state: Path,
    file: Path,
    *,
    source: str,
    tenant: str | None = None,
    progress: Callable[[int], None] = lambda rows: None,
) -> Imported:
    """Notes what a file tells, a thousand rows a transaction; a gateway may be running.

    `source` is what rows have that name none; `tenant`: only its calls can be meant. `progress` is told how many rows are done. Raises
    `StateError` where there is no ledger, it cannot be written, or the file is none of outcomes.
    """
    done = Imported(refusals=[])
    with LedgerView(state) as ledger, Notes(state) as notes:
        rows = read_rows(file)
        while batch := list(islice(rows, _BATCH_ROWS)):
            results = note_told(
                read_all([row for _, row in batch], source=source),
                queries=ledger.queries,
                note=notes.outcomes,
                wait=lambda: time.sleep(_IMPORTER_WAIT_S),
                tenant=tenant,
            )
            _count(done, batch, results)
            progress(done.new + done.repeated + done.refused)
    return done


def _count(done: Imported, batch: list[tuple[int, Any]], results: list[RowResult]) -> None:
    for (line, _), result in zip(batch, results, strict=True):
        if result.status == "new":
            done.new += 1
        elif result.status == "repeated":
            done.repeated += 1
        else:
            done.refused += 1
            if len(done.refusals) < _KEPT_REFUSALS:
                done.refusals.append(RefusedLine(line=line, field=result.field, message=result.message))


def read_rows(path: Path) -> Iterator[tuple[int, Any]]:
    """Pairs of a line's number and its row, or the `RowRefused` that it is. A name that ends in `.csv` is CSV.

    Raises `StateError` where the file is none of these, or its header has a column that no outcome has.
    """
    return _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > _MAX_LINE_BYTES:
                raise StateError(f"{path}, line {number}: longer than {_MAX_LINE_BYTES} bytes")
            if not line.strip():
                continue
            try:
                yield number, msgspec.json.decode(line)
            except _NOT_JSON:
                yield number, RowRefused("row", "the line is not JSON")


def _csv_rows(path: Path) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file, strict=True)
        try:
            strange = [name for name in rows.fieldnames or () if name not in FIELDS]
            if strange or not rows.fieldnames:
                first = f"column {strange[0]!r} is none of an outcome" if strange else "the file is empty"
                raise StateError(f"{path}: {first}; the columns are {', '.join(FIELDS)}")
            for row in rows:
                yield rows.line_num, _row(row)
        except (csv.Error, UnicodeDecodeError) as error:
            raise StateError(f"{path}, line {rows.line_num}: {error}") from error


def _row(cells: dict[Any, Any]) -> Any:
    if None in cells:
        return RowRefused("row", "more cells than the header has")
    row: dict[str, Any] = {name: cell for name, cell in cells.items() if cell not in (None, "")}
    if "value" in row:
        row["value"] = _value(row.get("kind", ""), row["value"])
    if row.get("at", "").isdigit():
        row["at"] = int(row["at"])
    return row


def _value(kind: str, cell: str) -> Any:
    """What a cell says: a label is its text, unless that is a list or an object in JSON; all else is JSON."""
    text = cell.strip()
    if kind == "label" and text[:1] not in ("[", "{"):
        return cell
    try:
        return msgspec.json.decode(text.lower() if text.lower() in ("true", "false") else text)
    except _NOT_JSON:
        return cell
