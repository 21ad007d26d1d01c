"""The JSON objects of a file, one after the other: JSON Lines, read line by line; one array of objects, or one object, read whole."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from smallfirst.datasets.row import Tally
from smallfirst.errors import DatasetError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class Line(NamedTuple):
    """One object; `number` is its line, or its place in the array, from 1."""

    path: Path
    number: int
    value: dict[str, Any]

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.number}"


def read_lines(path: Path, tally: Tally) -> Iterator[Line]:
    """Raises `DatasetError` where the file cannot be read; what is no JSON object is told to `tally`."""
    try:
        with path.open("rb") as file:
            beginning = file.readline()
            if _is_array(beginning):
                raws: Iterator[bytes] = iter(_array(path))
            elif _is_one_object(path, beginning):
                raws = iter([path.read_bytes()])
            else:
                raws = itertools.chain([beginning], file)
            for number, raw in enumerate(raws, start=1):
                text = raw.removeprefix(_BYTE_ORDER_MARK) if number == 1 else raw
                if not text.strip():
                    continue
                try:
                    value = msgspec.json.decode(text)
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                    tally.bad(f"{path}, line {number}", f"not JSON: {error}")
                    continue
                if isinstance(value, dict):
                    yield Line(path, number, value)
                else:
                    tally.bad(f"{path}, line {number}", "expected a JSON object")
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def first_line(path: Path) -> dict[str, Any]:
    """The first object of a file, to see what it is. Raises `DatasetError` where there is none, and says what is there instead."""
    tally = Tally(skip_bad=True)
    for line in read_lines(path, tally):
        return line.value
    what = tally.reasons() or "it is empty"
    raise DatasetError(f"{path} has no JSON object in it ({what}): expected JSON Lines in UTF-8")


def _is_array(beginning: bytes) -> bool:
    return beginning.removeprefix(_BYTE_ORDER_MARK).lstrip()[:1] == b"["


def _is_one_object(path: Path, beginning: bytes) -> bool:
    """Whether a file is a single object that is set over several lines, as a download of one trace is."""
    if beginning.removeprefix(_BYTE_ORDER_MARK).strip() != b"{":
        return False
    try:
        msgspec.json.decode(path.read_bytes().removeprefix(_BYTE_ORDER_MARK), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _array(path: Path) -> list[bytes]:
    """An array is read whole: its objects cannot be told apart before its end."""
    try:
        data = path.read_bytes().removeprefix(_BYTE_ORDER_MARK)
        return [bytes(raw) for raw in msgspec.json.decode(data, type=list[msgspec.Raw])]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise DatasetError(
            f"{path}: not JSON Lines (an object a line) and not an array of objects: {error}"
        ) from error
