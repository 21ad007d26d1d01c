"""Room on the disk for what must be looked up while two long accounts are held against each other. Gone when that is done, however it ends."""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.errors import StateError
from smallfirst.ledger.attempt_queries import Charged
from smallfirst.planning.reconcile.line import Line

_BATCH = 2_000
_encode = msgspec.msgpack.Encoder().encode
_line = msgspec.msgpack.Decoder(Line).decode
_charged = msgspec.msgpack.Decoder(Charged).decode


class Scratch:
    """Their lines by request id, and our attempts that found none. Raises `StateError` where the disk is full."""

    def __init__(self, folder: Path) -> None:
        self._conn = sqlite3.connect(folder / "scratch.sqlite", isolation_level=None)
        self._conn.execute("PRAGMA journal_mode = OFF")
        self._conn.execute("PRAGMA synchronous = OFF")
        self._conn.execute(
            "CREATE TABLE theirs (n INTEGER PRIMARY KEY, id TEXT, at_ms INTEGER, taken INTEGER DEFAULT 0, line BLOB)"
        )
        self._conn.execute("CREATE TABLE ours (n INTEGER PRIMARY KEY, at_ms INTEGER, attempt BLOB)")

    def keep_lines(self, lines: Iterable[Line]) -> None:
        """All of their lines, once; then they can be found."""
        batch: list[tuple[Any, ...]] = []
        self._conn.execute("BEGIN")
        for line in lines:
            batch.append((line.request_id, line.at_ms, _encode(line)))
            if len(batch) == _BATCH:
                self._conn.executemany("INSERT INTO theirs (id, at_ms, line) VALUES (?, ?, ?)", batch)
                batch.clear()
        self._conn.executemany("INSERT INTO theirs (id, at_ms, line) VALUES (?, ?, ?)", batch)
        self._conn.execute("COMMIT")
        self._conn.execute("CREATE INDEX theirs_id ON theirs (id)")

    def find(self, ids: Sequence[str]) -> dict[str, tuple[int, Line]]:
        """Of each request id the first line that was not taken yet, with its number."""
        rows = self._conn.execute(
            "SELECT id, n, line FROM theirs WHERE id IN (SELECT value FROM json_each(?)) AND NOT taken AND id != ''"
            " ORDER BY n DESC",
            (msgspec.json.encode(ids).decode(),),
        )
        return {request_id: (n, _line(line)) for request_id, n, line in rows}

    def take(self, numbers: Iterable[int]) -> None:
        """These lines have found their attempts."""
        self._conn.execute("BEGIN")
        self._conn.executemany("UPDATE theirs SET taken = 1 WHERE n = ?", [(number,) for number in numbers])
        self._conn.execute("COMMIT")

    def put_aside(self, attempts: Iterable[Charged]) -> None:
        """Attempts without a line."""
        self._conn.execute("BEGIN")
        self._conn.executemany(
            "INSERT INTO ours (at_ms, attempt) VALUES (?, ?)",
            [(each.at_ms, _encode(each)) for each in attempts],
        )
        self._conn.execute("COMMIT")

    def lines_left(self) -> Iterator[tuple[Line, bool]]:
        """Lines that were not taken, in their order in time, and whether another line with the same request id was."""
        rows = self._conn.execute(
            "SELECT line, id != '' AND EXISTS (SELECT 1 FROM theirs AS other WHERE other.id = theirs.id AND other.n < theirs.n)"
            " FROM theirs WHERE NOT taken ORDER BY at_ms, n"
        )
        for line, doubled in rows:
            yield _line(line), bool(doubled)

    def attempts_left(self) -> Iterator[Charged]:
        """Attempts that were put aside, in their order in time."""
        for (attempt,) in self._conn.execute("SELECT attempt FROM ours ORDER BY at_ms, n"):
            yield _charged(attempt)

    def close(self) -> None:
        self._conn.close()


@contextmanager
def scratch() -> Iterator[Scratch]:
    """A place that only its owner can read, and that is deleted at the end."""
    try:
        with tempfile.TemporaryDirectory(prefix="smallfirst-reconcile-") as folder:
            made = Scratch(Path(folder))
            try:
                yield made
            finally:
                made.close()
    except sqlite3.Error as error:
        raise StateError(
            f"there is no room for what must be remembered ({error}): make room in $TMPDIR"
        ) from error
