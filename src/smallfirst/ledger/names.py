"""Names as small numbers: a tenant, task, model or status is written once and referred to."""

from __future__ import annotations

import sqlite3


class Ids(dict[str, int]):
    """Name to number, for the one writer: a name that is new gets a row, in the transaction that is open.

    After a transaction that was rolled back, `clear()`: its numbers do not hold.
    """

    def __init__(self, conn: sqlite3.Connection) -> None:
        super().__init__()
        self._conn = conn

    def __missing__(self, name: str) -> int:
        row = self._conn.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
        number = (
            row[0] if row else self._conn.execute("INSERT INTO names (name) VALUES (?)", (name,)).lastrowid
        )
        assert number is not None
        self[name] = number
        return number


class Names(dict[int, str]):
    """Number to name, for readers. Rows of `names` never change, so what was read stays true."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        super().__init__()
        self._conn = conn

    def __missing__(self, number: int) -> str:
        self[number] = name = self._conn.execute("SELECT name FROM names WHERE id = ?", (number,)).fetchone()[
            0
        ]
        return name

    def number(self, name: str) -> int:
        """The number of a name; -1, which no row has, where it was never written."""
        row = self._conn.execute("SELECT id FROM names WHERE name = ?", (name,)).fetchone()
        return row[0] if row else -1
