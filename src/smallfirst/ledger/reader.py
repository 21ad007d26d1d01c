"""The reading end of the store: one connection that cannot write, shared by whoever asks."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from smallfirst.ledger import store
from smallfirst.ledger.names import Names

Value = str | int | float | bytes | None


class Reader:
    """Answers SQL with bound values; safe to share between threads. Raises `StateError` where the store
    cannot be read.
    """

    def __init__(self, state: Path) -> None:
        self._lock = threading.RLock()
        with store.translated():
            self._conn: sqlite3.Connection = store.connect(state)
            self._conn.execute("PRAGMA query_only = ON")
        self._names = Names(self._conn)

    def rows(self, query: str, values: Sequence[Value] = ()) -> list[tuple[Any, ...]]:
        with self._lock, store.translated():
            return self._conn.execute(query, values).fetchall()

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """All that is asked within is of one moment, whatever is written meanwhile. Other threads wait."""
        with self._lock:
            with store.translated():
                self._conn.execute("BEGIN")
            try:
                yield
            finally:
                self._conn.execute("ROLLBACK")

    def number(self, name: str) -> int:
        """A name's number in the store; -1, which no row has, where it was never written."""
        with self._lock, store.translated():
            return self._names.number(name)

    def names(self) -> Names:
        """Numbers to names, all that the store has. Asked for after the rows whose numbers it must know."""
        for number, name in self.rows(
            "SELECT id, name FROM names WHERE id > ?", (max(self._names, default=0),)
        ):
            self._names[number] = name
        return self._names

    def close(self) -> None:
        self._conn.close()
