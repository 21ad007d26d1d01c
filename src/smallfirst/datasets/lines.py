"""The JSON objects of a file, one after the other: JSON Lines, or one array of objects, in bounded memory; one object over several lines, read
whole. Files that end in `.gz` are unpacked as they are read.
"""

from __future__ import annotations

import gzip
import itertools
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, cast

import msgspec

from smallfirst.datasets.json_array import Damaged, read_array
from smallfirst.datasets.row import Tally
from smallfirst.errors import DatasetError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_TOLD_EVERY = 2000
Position = Callable[[int], None]
"""To be told how many bytes of a file (packed as it lies on the disk) are read."""


class Line(NamedTuple):
    """One object; `number` is its line, or its place in the array, from 1."""

    path: Path
    number: int
    value: dict[str, Any]

    @property
    def where(self) -> str:
        return f"{self.path}, line {self.number}"


def read_lines(path: Path, tally: Tally, *, position: Position | None = None) -> Iterator[Line]:
    """Raises `DatasetError` where the file cannot be read; what is no JSON object is told to `tally`."""
    with opened(path) as (file, place):
        for number, raw in enumerate(_raws(path, file), start=1):
            if position is not None and number % _TOLD_EVERY == 0:
                position(place())
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


def first_line(path: Path) -> dict[str, Any]:
    """The first object of a file, to see what it is. Raises `DatasetError` where there is none, and says what is there instead."""
    tally = Tally(skip_bad=True)
    for line in read_lines(path, tally):
        return line.value
    what = tally.reasons() or "it is empty"
    raise DatasetError(f"{path} has no JSON object in it ({what}): expected JSON Lines in UTF-8")


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, Callable[[], int]]]:
    """A file to be read, unpacked, and a function that says how far it is read. Raises `DatasetError` where that cannot be, or goes wrong later."""
    try:
        with path.open("rb") as file:
            if path.suffix != ".gz":
                yield file, file.tell
                return
            with gzip.GzipFile(fileobj=file) as unpacked:
                yield cast("BinaryIO", unpacked), file.tell
    except gzip.BadGzipFile as error:
        raise DatasetError(f"{path} is not packed by gzip, as its name says: {error}") from error
    except (EOFError, zlib.error) as error:
        raise DatasetError(f"{path} is damaged: {error}") from error
    except OSError as error:
        raise DatasetError(f"{path} cannot be read: {error.strerror}") from error


def _raws(path: Path, file: BinaryIO) -> Iterator[bytes]:
    beginning = file.readline()
    stripped = beginning.removeprefix(_BYTE_ORDER_MARK).strip()
    if stripped[:1] == b"[":
        return _array(path, beginning.removeprefix(_BYTE_ORDER_MARK), file)
    if stripped != b"{":
        return itertools.chain([beginning], file)
    data = beginning + file.read()  # an object that is set over several lines, as a download of one trace is
    try:
        msgspec.json.decode(data.removeprefix(_BYTE_ORDER_MARK), type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return iter(data.splitlines(keepends=True))
    return iter([data])


def _array(path: Path, beginning: bytes, file: BinaryIO) -> Iterator[bytes]:
    try:
        yield from read_array(beginning, file)
    except Damaged as error:
        raise DatasetError(
            f"{path}: not JSON Lines (an object a line) and not an array of objects: {error}"
        ) from error
