"""An entry as a row of `cache.sqlite`, and back."""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.store import unchanged

_PACKED_FROM_BYTES = 4096  # half the size for 14 µs of a look-up; shorter answers are not worth that
_PACKED = b"x"  # how zlib begins, and JSON never
_SHARED_FROM_CHARS = 64
_SCOPE = 2  # which column
_COMMON_COLUMNS = 19
_ROW_BYTES = 400  # what a row takes beside its texts, with its indices

_COMMON = (  # in the order of `Entry`'s fields
    "e.id, e.key, e.scope, e.call, e.model, e.rung, e.dialect, e.cost_nusd, e.at_ms, e.expires_ms, e.simulated, e.partition, e.question, "
    'e.vector, e."group", e.confirmed, e.refuted, e.hits, e.frontier_nusd'
)
WITHOUT_ANSWER = f"SELECT {_COMMON}"
WHOLE = f"SELECT {_COMMON}, e.text_at, e.text_bytes, e.text, e.answer"
TEXT = "SELECT e.id, e.text_at, e.text_bytes, e.text, CASE WHEN e.text IS NULL THEN e.answer END"

Scope = tuple[str, str, str, str]
"""Tenant, task, policy and release."""


class Reader:
    """Rows as entries. Keeps what scopes' numbers stand for, which are never given twice within a file; for one thread."""

    def __init__(self) -> None:
        self._conn: sqlite3.Connection | None = None
        self._scopes: dict[int, Scope] = {}

    def entries(
        self,
        conn: sqlite3.Connection,
        query: str,
        values: Sequence[Any],
        *,
        each: Callable[[Entry], Entry] = unchanged,
    ) -> list[Entry]:
        """What a query that begins with `WHOLE` or `WITHOUT_ANSWER` finds, and `each` makes of it. Raises `sqlite3.Error`."""
        if conn is not self._conn:
            self._conn, self._scopes = conn, {}
        found = []
        for row in conn.execute(query, values):
            scope = self._scopes.get(row[_SCOPE]) or self._read(conn, row[_SCOPE])
            if scope is not None:  # else it was removed this moment
                found.append(each(entry_of(row, scope)))
        return found

    def _read(self, conn: sqlite3.Connection, number: int) -> Scope | None:
        query = "SELECT tenant, task, policy, release FROM scopes WHERE id = ?"
        found = conn.execute(query, (number,)).fetchone()
        if found is not None:
            self._scopes[number] = found
        return found


def row_of(entry: Entry, scope: int) -> tuple[Any, ...]:
    """In the order of the table's columns."""
    answer = packed(entry.answer)
    at, size, text = _shared(entry)
    taken = len(answer) + len(text or "") + len(entry.question) + len(entry.vector) + _ROW_BYTES
    return (
        entry.id,
        entry.key,
        scope,
        entry.at_ms,
        entry.expires_ms,
        entry.at_ms,
        entry.hits,
        taken,
        entry.group,
        entry.confirmed,
        entry.refuted,
        entry.partition or None,
        entry.call,
        entry.model,
        entry.rung,
        entry.dialect,
        entry.cost_nusd,
        entry.frontier_nusd,
        entry.simulated,
        entry.vector,
        entry.question,
        at,
        size,
        text,
        answer,
    )


def entry_of(row: tuple[Any, ...], scope: Scope) -> Entry:
    """From a row of `WHOLE`, or of `WITHOUT_ANSWER`."""
    if len(row) == _COMMON_COLUMNS:
        row = (*row, None, None, "", b"")
    number, key = row[:2]
    row, (text_at, text_bytes, text, answer) = row[:_COMMON_COLUMNS], row[_COMMON_COLUMNS:]
    if text is None or answer[:1] == _PACKED:
        text, answer = text_and_answer(text_at, text_bytes, text, answer)
    simulated, partition = bool(row[10]), row[11] or b""
    asked, told = (key, *scope, *row[3:7]), (answer, text, *row[7:10])
    fields: tuple[Any, ...] = (*asked, *told, simulated, partition, *row[12:14], number, *row[14:])
    return Entry(*fields)


def text_and_answer(at: int | None, size: int | None, text: str | None, answer: bytes) -> tuple[str, bytes]:
    """From the last columns of `WHOLE` or of `TEXT`, whose answer is null where the text stands beside it."""
    answer = unpacked(answer) if answer else b""
    if text is None:
        assert at is not None
        assert size is not None
        text = msgspec.json.decode(answer[at : at + size], type=str)
    return text, answer


def _shared(entry: Entry) -> tuple[int | None, int | None, str | None]:
    """Where the text stands in the answer, as most do, so that it is kept once; else the text."""
    if len(entry.text) >= _SHARED_FROM_CHARS:
        for written in (msgspec.json.encode(entry.text), json.dumps(entry.text).encode()):
            at = entry.answer.find(written)
            if at >= 0:
                return at, len(written), None
    return None, None, entry.text


def is_text(entry: Entry) -> bool:
    """Whether its texts can be kept: half a surrogate pair cannot."""
    try:
        (entry.question + entry.text).encode()
    except UnicodeError:
        return False
    return True


def packed(answer: bytes) -> bytes:
    """Compressed where that is worth it."""
    if len(answer) < _PACKED_FROM_BYTES:
        return answer
    small = zlib.compress(answer, 1)
    return small if len(small) < len(answer) else answer


def unpacked(answer: bytes) -> bytes:
    return zlib.decompress(answer) if answer[:1] == _PACKED else answer


def scope_of(conn: sqlite3.Connection, entry: Entry) -> int:
    """The number of what an entry is of; made where there is none."""
    names = (entry.tenant, entry.task, entry.policy, entry.release)
    find = "SELECT id FROM scopes WHERE tenant = ? AND task = ? AND policy = ? AND release = ?"
    found = conn.execute(find, names).fetchone()
    if found is not None:
        return found[0]
    made = conn.execute("INSERT INTO scopes (tenant, task, policy, release) VALUES (?, ?, ?, ?)", names)
    assert made.lastrowid is not None
    return made.lastrowid
