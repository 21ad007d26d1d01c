"""A stream of requests whose right answers are known by class: what `smallfirst cache eval` replays.

    {"id": "t-1", "input": "where is my card?", "answer_class": "card_arrival"}

An answer is right for a request where their classes are equal. A class is any string, or a number: 1 and 1.0 are one, 1 and "1" are two.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.errors import ConfigError
from smallfirst.training.outcomes import json_lines

AnswerClass = str | Decimal


class StreamRow(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `warm`: it was answered before the stream began, and is not counted. `scope`: what else was asked; rows of different scopes
    never share an answer.
    """

    id: str
    text: str
    answer_class: AnswerClass
    warm: bool = False
    scope: str = ""


class Allowed(msgspec.Struct, frozen=True, kw_only=True):
    """What a stream allows at all, as shares of its rows: no cache can hit more often than answers come again."""

    rows: int
    warm: int
    repeats: float  # the same text came before
    right_repeats: float  # and with the same class
    seen: float  # the same class came before, so that an answer was there to be given again
    classes: int


class _Row(msgspec.Struct, frozen=True):
    id: str | int
    input: str
    answer_class: msgspec.Raw


def read_stream(path: Path, *, warm: Path | None = None) -> list[StreamRow]:
    """The rows of `warm` and then those of `path`, in the order of their lines.

    Raises `ConfigError` with the line and the field of the first that is wrong. Where an id stands in both files, the warm one becomes `warm:ID`.
    """
    rows = _read(path)
    if warm is None:
        return rows
    before, taken = _read(warm), {row.id for row in rows}
    return [
        msgspec.structs.replace(row, warm=True, id=f"warm:{row.id}" if row.id in taken else row.id)
        for row in before
    ] + rows


def scopes_of(rows: Sequence[StreamRow]) -> np.ndarray:
    """A number for each row's scope, int32 [n]."""
    known: dict[str, int] = {}
    return np.array([known.setdefault(row.scope, len(known)) for row in rows], np.int32)


def shuffled(rows: Sequence[StreamRow], seed: int) -> list[StreamRow]:
    """The warm rows as they are, the others in an order of chance."""
    warm, stream = [row for row in rows if row.warm], [row for row in rows if not row.warm]
    return warm + [stream[at] for at in np.random.default_rng([seed, 5]).permutation(len(stream))]


def allowed(rows: Iterable[StreamRow]) -> Allowed:
    """Counts what came before, row by row."""
    texts: dict[tuple[str, str], set[AnswerClass]] = {}
    classes: set[tuple[str, AnswerClass]] = set()
    total = warm = repeats = right = seen = 0
    for row in rows:
        asked, answer = (row.scope, row.text), (row.scope, row.answer_class)
        if row.warm:
            warm += 1
        else:
            total += 1
            repeats += asked in texts
            right += row.answer_class in texts.get(asked, ())
            seen += answer in classes
        texts.setdefault(asked, set()).add(row.answer_class)
        classes.add(answer)
    n = max(1, total)
    return Allowed(
        rows=total,
        warm=warm,
        repeats=repeats / n,
        right_repeats=right / n,
        seen=seen / n,
        classes=len(classes),
    )


def write_stream(path: Path, rows: Iterable[StreamRow]) -> None:
    """Writes rows as `read_stream` reads them; classes are strings."""
    told = ({"id": row.id, "input": row.text, "answer_class": str(row.answer_class)} for row in rows)
    path.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in told))


def _read(path: Path) -> list[StreamRow]:
    rows: list[StreamRow] = []
    lines: dict[str, int] = {}
    decode = msgspec.json.Decoder(_Row).decode
    for number, line in json_lines(path):
        row = _row(path, number, line, decode)
        if row.id in lines:
            raise ConfigError(f"{path}, line {number}: id: {row.id!r} stands in line {lines[row.id]} already")
        lines[row.id] = number
        rows.append(row)
    return rows


def _row(path: Path, number: int, line: bytes, decode: Callable[[bytes], _Row]) -> StreamRow:
    try:
        told = decode(line)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ConfigError(f"{path}, line {number}: {error}") from error
    found = _class(bytes(told.answer_class))
    if found is None:
        raise ConfigError(f"{path}, line {number}: answer_class: expected a string or a number")
    return StreamRow(id=str(told.id), text=told.input, answer_class=found)


def _class(raw: bytes) -> AnswerClass | None:
    """Numbers are compared as they are written, so that large ones are not rounded together."""
    raw = raw.strip()
    if raw.startswith(b'"'):
        return msgspec.json.decode(raw, type=str)
    try:
        return Decimal(raw.decode())
    except (InvalidOperation, UnicodeDecodeError):
        return None
