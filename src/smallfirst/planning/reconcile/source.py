"""The rows of an account's file: CSV, JSON Lines, or a JSON document as a provider's API answers it, one row at a time where the file allows it."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

from smallfirst import limits
from smallfirst.errors import ConfigError
from smallfirst.planning.reconcile.row import Row

_FIELD_BYTES_MAX = 16 * 2**20
_DEPTH_MAX = 3
_START_BYTES = 64 * 1024


def rows_of(path: Path) -> Iterator[Row]:
    """Every row, in the order of the file. Raises `ConfigError` where the file cannot be read."""
    try:
        with path.open("rb") as file:
            start = file.read(_START_BYTES)
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", path=str(path)) from error
    begins = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not begins:
        raise ConfigError("the file is empty", path=str(path))
    try:
        yield from _json_rows(path) if begins[:1] in (b"{", b"[") else _csv_rows(path)
    except UnicodeDecodeError as error:
        raise ConfigError(
            f"is not UTF-8 text ({error.reason}): export it as UTF-8", path=str(path)
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot be read ({error.strerror})", path=str(path)) from error


def _csv_rows(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_FIELD_BYTES_MAX)
    with path.open(encoding="utf-8-sig", newline="") as file:
        first = file.readline()
        file.seek(0)
        if "\0" in first:
            raise ConfigError("is neither CSV nor JSON", path=str(path))
        delimiter = max(",;\t", key=first.count)
        reader = csv.reader(file, delimiter=delimiter, strict=True)
        try:
            header = _header(path, next(reader))
            for cells in reader:
                if any(cells):
                    yield _csv_row(path, reader.line_num, header, cells)
        except csv.Error as error:
            raise ConfigError(f"is no CSV ({error})", path=f"{path.name}: line {reader.line_num}") from error


def _header(path: Path, cells: list[str]) -> list[str]:
    names = [name.strip() for name in cells]
    doubled = next((name for index, name in enumerate(names) if name and name in names[:index]), None)
    if doubled is not None:
        raise ConfigError(f"two columns are named {doubled!r}: rename one", path=f"{path.name}: line 1")
    return names


def _csv_row(path: Path, number: int, header: list[str], cells: list[str]) -> Row:
    if len(cells) != len(header):
        raise ConfigError(
            f"has {len(cells)} fields, and the header has {len(header)}: the line is cut, or a field with a comma is not in quotes",
            path=f"{path.name}: line {number}",
        )
    return Row(path, f"line {number}", dict(zip(header, cells, strict=True)))


def _json_rows(path: Path) -> Iterator[Row]:
    """Rows of JSON Lines one at a time; of a document that spans lines all at once."""
    pages = _Pages(path)
    with path.open(encoding="utf-8-sig") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            try:
                value = _decoded(line)
            except ValueError as error:
                if number > 1 and not pages.none_yet:
                    raise ConfigError(f"is no JSON ({error})", path=f"{path.name}: line {number}") from error
                break  # not one object a line: a document
            yield from pages.rows(value, f"line {number}")
        else:
            pages.check_complete()
            return
    yield from _document_rows(path)


def _document_rows(path: Path) -> Iterator[Row]:
    if path.stat().st_size > limits.MAX_INVOICE_DOCUMENT_BYTES:
        most = limits.MAX_INVOICE_DOCUMENT_BYTES // 2**20
        raise ConfigError(
            f"is one JSON document of more than {most} MiB: write one row or page a line (JSON Lines)",
            path=str(path),
        )
    try:
        value = _decoded(path.read_text("utf-8-sig"))
    except ValueError as error:
        raise ConfigError(f"is no JSON ({error})", path=str(path)) from error
    pages = _Pages(path)
    yield from pages.rows(value, "")
    pages.check_complete()


def _decoded(text: str) -> Any:
    try:
        return json.loads(text, parse_float=Decimal)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


class _Pages:
    """Flattens what APIs answer: pages of buckets of results, pages of rows, lists of either, or rows alone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._more = 0  # pages that say that another one follows
        self._pages = 0
        self.none_yet = True

    def rows(self, value: Any, where: str) -> Iterator[Row]:
        """The rows of one line, or of the document."""
        self.none_yet = False
        if isinstance(value, list):
            for index, each in enumerate(value):
                yield from self.rows(each, _joined(where, f"[{index}]"))
            return
        if not isinstance(value, dict):
            raise ConfigError(
                "expected a JSON object, or a list of them",
                path=f"{self._path.name}: {where or 'the document'}",
            )
        inner = next((name for name in ("data", "lines") if isinstance(value.get(name), list)), None)
        if inner is None:
            yield Row(self._path, where or "the document", _flat(value))
            return
        self._check_page(value)
        for index, each in enumerate(value[inner]):
            yield from self._bucket(each, _joined(where, f"{inner}[{index}]"))

    def check_complete(self) -> None:
        """Raises `ConfigError` where a page says that another follows which is not there."""
        if self._more and self._more >= self._pages:
            raise ConfigError(
                "is not all of it: the last page says `has_more`; fetch the next pages, and give all of them, one a line",
                path=str(self._path),
            )

    def _check_page(self, page: dict[str, Any]) -> None:
        self._pages += 1
        self._more += page.get("has_more") is True
        if page.get("lines_dropped"):
            raise ConfigError(
                f"is not all of it: {page['lines_dropped']} older lines were dropped; start the simulator with --invoice FILE and give that",
                path=str(self._path),
            )

    def _bucket(self, value: Any, where: str) -> Iterator[Row]:
        if not isinstance(value, dict):
            raise ConfigError("expected a JSON object", path=f"{self._path.name}: {where}")
        results = value.get("results")
        if not isinstance(results, list):
            yield Row(self._path, where, _flat(value))
            return
        times = {name: each for name, each in value.items() if not isinstance(each, list | dict)}
        for index, each in enumerate(results):
            if not isinstance(each, dict):
                raise ConfigError(
                    "expected a JSON object", path=f"{self._path.name}: {where}.results[{index}]"
                )
            yield Row(self._path, f"{where}.results[{index}]", {**times, **_flat(each)})


def _joined(where: str, step: str) -> str:
    return f"{where}: {step}" if where.startswith("line ") and ":" not in where else f"{where}{step}"


def _flat(value: dict[str, Any], depth: int = 1) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, each in value.items():
        if isinstance(each, dict) and depth < _DEPTH_MAX:
            found |= {f"{name}_{inner}": one for inner, one in _flat(each, depth + 1).items()}
        elif not isinstance(each, list | dict):
            found[name] = each
    return found
