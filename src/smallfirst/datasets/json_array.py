"""An array of JSON values in a file, one value after the other, however large the file is."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import BinaryIO

from smallfirst import limits

_CHUNK_BYTES = 1 << 20
_SPACE = re.compile(r"[ \t\r\n]*")
_decode = json.JSONDecoder().raw_decode


class Damaged(ValueError):
    """What is there is no array of JSON values."""


def read_array(beginning: bytes, file: BinaryIO) -> Iterator[bytes]:
    """Each value of the array that `beginning` opens and the rest of `file` goes on with, as it is written. Raises `Damaged`."""
    text = _Text(beginning, file)
    text.skip("[")
    if text.next() == "]":
        text.skip("]")
    else:
        while True:
            yield text.value().encode("utf-8", "surrogatepass")
            following = text.next()
            if following == "]":
                text.skip("]")
                break
            text.skip(",")
    if text.next():
        raise Damaged("something follows the array")


class _Text:
    """The part of a file that is in memory: at most one value and a chunk."""

    def __init__(self, beginning: bytes, file: BinaryIO) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder("utf-8")()
        self._at = 0
        self._text = self._decoded(beginning)
        self._ended = False

    def next(self) -> str:
        """The next character that is no space; "" at the end."""
        while True:
            found = _SPACE.match(self._text, self._at)
            self._at = found.end() if found else self._at
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more(_CHUNK_BYTES):
                return ""

    def skip(self, sign: str) -> None:
        found = self.next()
        if found != sign:
            raise Damaged(
                f"expected {sign!r}, found {found!r}" if found else f"it ends where {sign!r} is due"
            )
        self._at += 1

    def value(self) -> str:
        """The next value. One that the end of the chunk cuts is looked at again with twice as much in sight."""
        self.next()
        more = _CHUNK_BYTES
        while True:
            try:
                _, end = _decode(self._text, self._at)
            except (json.JSONDecodeError, RecursionError) as error:
                if isinstance(error, RecursionError) or len(self._text) - self._at > limits.MAX_REPLY_BYTES:
                    raise Damaged("a value is too large or too deep") from error
                if not self._more(more):
                    raise Damaged(str(error)) from error
                more *= 2
                continue
            if end == len(self._text) and self._more(more):
                continue  # a number may go on
            found, self._at = self._text[self._at : end], end
            return found

    def _more(self, count: int) -> bool:
        if self._ended:
            return False
        data = self._file.read(count)
        self._ended = not data
        self._text = self._text[self._at :] + self._decoded(data)
        self._at = 0
        return True

    def _decoded(self, data: bytes) -> str:
        try:
            return self._decoder.decode(data, final=not data)
        except UnicodeDecodeError as error:
            raise Damaged(f"not UTF-8: {error.reason}") from error
