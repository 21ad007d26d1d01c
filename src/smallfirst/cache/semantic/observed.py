"""What semantic look-ups came to, in their order: the evidence that thresholds are chosen by. The gateway writes it and the keeper reads it.

A row is written when it is known what it says: a miss once its answer was compared, a hit when it is decided, and committed before it is served. A
hit that was drawn for a spot check is pending until it is made; what is still pending after `limits.CACHE_CHECK_PATIENCE_S` counts as wrong,
whatever became of the gateway meanwhile. No row holds a text.

Rows are numbered by the time, and by one more where that is not enough: a file that fell back (a power cut, a copy that was put in its place) gives
no number again that a reader has seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Literal, get_args

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.cache.semantic.seen import Observation
from smallfirst.cache.stores.database import FILE, Database
from smallfirst.errors import StateError

Kind = Literal["miss", "hit", "told"]
"""`told`: a client's word that a semantic hit was wrong. Such reports are not random: they count as wrong hits, and never as right ones."""

_log = logging.getLogger(__name__)
_TRIM_EVERY = 1000  # rows
_TRIED_EVERY_S = 1.0
_WRITTEN_WITHIN_S = 0.25  # a hit's row; past it the hit is none
_UNREAD_AT_MOST = 10_000  # that are looked for at a start; far more than any room
_UNKNOWN = 1 << 62
_ROWS = (
    "SELECT seq, policy, call, kind, at_ms, probability, threshold, chance, drawn, right, entry, guard, features "
    "FROM observed"
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One observation as it is kept."""

    seq: int
    policy: str
    call: str
    kind: Kind
    at_ms: int
    drawn: bool
    entry: int  # whose answer was judged; 0: nothing was near
    seen: Observation

    @property
    def pending(self) -> bool:
        return self.drawn and self.seen.right is None


class Observed:
    """The gateway's side; all methods are called on its event loop. `well` says whether what is written stays.

    It knows which hits the keeper does not know of yet (`unread`): those of this process, and at its start those of the one before. A file that
    is begun anew gets their rows again.
    """

    def __init__(
        self, database: Database, *, now_ms: Callable[[], int] = lambda: int(time.time() * 1000)
    ) -> None:
        self._database = database
        self._now_ms = now_ms
        self._failed = False
        self._tried_s = 0.0
        self._written = 0
        self._lock = threading.Lock()  # of what the writer's thread looks at too
        self._unread: dict[str, dict[str, Row | None]] = {}  # by policy and call; None: of a process before
        self._conn: sqlite3.Connection | None = None  # the writer's
        self.left_out = 0  # observations that found no room

    @property
    def well(self) -> bool:
        """Whether the last write went well. Where it did not, one is tried again now and then, and tells."""
        if self._failed and time.monotonic() - self._tried_s > _TRIED_EVERY_S:
            self._tried_s = time.monotonic()
            self._submit(_touch)
        return not self._failed

    def unread(self, policy: str) -> int:
        """How many hits there are that the keeper does not know of; very many while nothing was read of it."""
        unread = self._unread.get(policy)
        return _UNKNOWN if unread is None else len(unread)

    def read(self, policy: str, call: str) -> None:
        """The keeper knows of all of a policy's hits up to this call's."""
        unread = self._unread.get(policy)
        if unread is None:
            self._begin(policy, call)
        elif call in unread:
            with self._lock:
                for known in list(unread):
                    del unread[known]
                    if known == call:
                        break

    async def hit(self, policy: str, call: str, seen: Observation, *, drawn: bool, entry: int) -> bool:
        """Writes a hit down that is about to be served; False where that cannot be done, and it must not be served.

        From the first moment on it is one that the keeper does not know of.
        """
        row = self._row(policy, call, "hit", seen, drawn=drawn, entry=entry)
        with self._lock:
            if policy in self._unread:  # else they are very many anyway
                self._unread[policy][call] = row
        written = lost = False
        try:
            async with asyncio.timeout(_WRITTEN_WITHIN_S):
                await self._database.write(self._writes(row), after_s=0.0)
            written = True
        except StateError:
            self._failed = lost = True
        except TimeoutError:
            _log.warning("a semantic hit was not served: its row was not written in time")
        finally:
            if not written:
                self.left_out += 1
                self._forget(call)
            if not (written or lost):  # it may yet be written; or its client went away
                self.withdrawn(call)
        return written

    def missed(self, policy: str, call: str, seen: Observation, *, entry: int) -> bool:
        """A miss, and what its answer said of the candidate's. Waits for nothing; False where there is no room for it."""
        taken = self._submit(self._writes(self._row(policy, call, "miss", seen, drawn=False, entry=entry)))
        self.left_out += not taken
        return taken

    def checked(self, call: str, *, right: bool) -> None:
        """The spot check of a hit was made."""
        with self._lock:  # should its row have to be written again
            for unread in self._unread.values():
                row = unread.get(call)
                if row is not None:
                    unread[call] = msgspec.structs.replace(
                        row, seen=msgspec.structs.replace(row.seen, right=right)
                    )
        settle = "UPDATE observed SET right = ? WHERE call = ? AND kind = 'hit' AND drawn AND right IS NULL"
        self._submit(lambda conn: conn.execute(settle, (right, call)) and None)

    def withdrawn(self, call: str) -> None:
        """A hit was decided and not released: it was none."""
        remove = "DELETE FROM observed WHERE call = ? AND kind = 'hit'"
        self._forget(call)
        self._submit(lambda conn: conn.execute(remove, (call,)) and None)

    async def told_wrong(self, call: str) -> Row | None:
        """A client says so of a semantic hit: noted once, unless a spot check found it already. The hit's row; None where the call was none.

        Raises `StateError`.
        """
        find = f"{_ROWS} WHERE call = ? AND kind = 'hit'"
        at_ms = self._now_ms()

        def note(conn: sqlite3.Connection) -> Row | None:
            found = conn.execute(find, (call,)).fetchone()
            if found is None:
                return None
            row = _row(found)
            if row.pending:  # it was drawn by chance, and now it is known
                conn.execute("UPDATE observed SET right = 0 WHERE seq = ?", (row.seq,))
            elif row.seen.right is not False:
                told = msgspec.structs.replace(row, kind="told", drawn=False, at_ms=at_ms)
                seen = msgspec.structs.replace(row.seen, check=1.0, right=False)
                _write(conn, msgspec.structs.replace(told, seen=seen))
            return row

        return await self._database.write(note)

    def _row(self, policy: str, call: str, kind: Kind, seen: Observation, *, drawn: bool, entry: int) -> Row:
        return Row(
            seq=0,
            policy=policy,
            call=call,
            kind=kind,
            at_ms=self._now_ms(),
            drawn=drawn,
            entry=entry,
            seen=seen,
        )

    def _writes(self, row: Row) -> Callable[[sqlite3.Connection], None]:
        self._written += 1
        trims = self._written % _TRIM_EVERY == 0

        def write(conn: sqlite3.Connection) -> None:
            self._write_again(conn)
            _write(conn, row)
            if trims:
                _trim(conn, row.policy)

        return write

    def _write_again(self, conn: sqlite3.Connection) -> None:
        """In the writer's thread: hits that were in a file which is gone, and which the keeper has not read there."""
        if conn is self._conn:
            return
        first, self._conn = self._conn is None, conn
        if first:
            return
        with self._lock:
            rows = [row for unread in self._unread.values() for row in unread.values() if row is not None]
        for row in rows:
            _write(conn, row)

    def _forget(self, call: str) -> None:
        """The hit is none, and takes no room."""
        with self._lock:
            for unread in self._unread.values():
                unread.pop(call, None)

    def _begin(self, policy: str, call: str) -> None:
        """What was served before this process began, and is not read yet, takes up room too."""
        query = (
            "SELECT call FROM observed WHERE policy = ? AND kind = 'hit' AND seq > "
            "coalesce((SELECT seq FROM observed WHERE call = ? AND kind = 'hit'), 0) ORDER BY seq DESC LIMIT ?"
        )
        try:
            found = self._database.looking().execute(query, (policy, call, _UNREAD_AT_MOST)).fetchall()
        except sqlite3.Error as error:  # it stays unknown, and nothing is served
            self._database.failed(error)
            return
        with self._lock:
            self._unread[policy] = {known: None for (known,) in reversed(found)}

    def _submit(self, function: Callable[[sqlite3.Connection], None]) -> bool:
        future = self._database.submit(function)
        if future is None:
            return False
        future.add_done_callback(self._ended)
        return True

    def _ended(self, future: Future[None]) -> None:
        """In the writer's thread."""
        if not future.cancelled():
            self._failed = future.exception() is not None


def read_rows(state: Path, policy: str, *, after: int, most: int) -> tuple[str, list[Row]]:
    """Rows of a policy after that number, in their order, and the name of the file they are in: another name, other numbers.

    Raises `StateError` where the file cannot be read; without one there are none.
    """
    query = f"{_ROWS} WHERE policy = ? AND seq > ? ORDER BY seq LIMIT ?"
    return _read(state, query, (policy, after, most))


def hits_after(state: Path, policy: str, *, born: str, after: int) -> tuple[int, str] | None:
    """How many hits of a policy were written after that number, and the call of the last one that was written at all.

    Rows are written in the order of their coming: who knows the last one knows of all before it. None where there is no such file any more.
    Raises `StateError`.
    """
    if not (state / FILE).exists():
        return None
    last = "SELECT call FROM observed WHERE policy = ? AND kind = 'hit' ORDER BY seq DESC LIMIT 1"
    count = "SELECT count(*) FROM observed WHERE policy = ? AND kind = 'hit' AND seq > ?"
    with _opened(state) as conn:
        if conn.execute("SELECT name FROM born").fetchone()[0] != born:
            return None
        calls = conn.execute(last, (policy,)).fetchall()
        return conn.execute(count, (policy, after)).fetchone()[0], calls[0][0] if calls else ""


def latest_rows(state: Path, policy: str, *, most: int) -> list[Row]:
    """The newest rows of a policy of which is known whether they are right, in their order. Raises `StateError`."""
    query = f"{_ROWS} WHERE policy = ? AND right IS NOT NULL ORDER BY seq DESC LIMIT ?"
    return _read(state, query, (policy, most))[1][::-1]


def _read(state: Path, query: str, values: tuple[Any, ...]) -> tuple[str, list[Row]]:
    if not (state / FILE).exists():
        return "", []
    with _opened(state) as conn:
        born = conn.execute("SELECT name FROM born").fetchone()[0]
        return born, [_row(each) for each in conn.execute(query, values).fetchall()]


@contextlib.contextmanager
def _opened(state: Path) -> Iterator[sqlite3.Connection]:
    """The file as it is at one moment, for reading. Raises `StateError`."""
    uri = f"{(state / FILE).absolute().as_uri()}?mode=ro"
    try:
        with contextlib.closing(sqlite3.connect(uri, uri=True, timeout=1.0, isolation_level=None)) as conn:
            conn.execute("BEGIN")
            yield conn
    except sqlite3.Error as error:
        raise StateError(f"the cache's evidence cannot be read: {error}") from error


def _touch(conn: sqlite3.Connection) -> None:
    """Writes something, to see whether that can be done."""
    conn.execute("UPDATE born SET name = name")


def _write(conn: sqlite3.Connection, row: Row) -> None:
    seen = row.seen
    conn.execute(
        "INSERT OR IGNORE INTO observed "
        "(seq, policy, call, kind, at_ms, probability, threshold, chance, drawn, right, entry, guard, features) VALUES "
        "((SELECT max(coalesce(max(seq), 0) + 1, ?) FROM sqlite_sequence WHERE name = 'observed'), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            row.at_ms * 1000,
            row.policy,
            row.call,
            row.kind,
            row.at_ms,
            seen.probability,
            seen.threshold,
            seen.check,
            row.drawn,
            seen.right,
            row.entry,
            seen.guard,
            np.asarray(seen.features, np.float32).tobytes(),
        ),
    )


def _trim(conn: sqlite3.Connection, policy: str) -> None:
    """Keeps the latest of each kind: of hits that no keeper has read there are never so many, however many misses came since."""
    for kind in get_args(Kind):
        conn.execute(
            "DELETE FROM observed WHERE policy = ? AND kind = ? AND seq <= "
            "(SELECT seq FROM observed WHERE policy = ? AND kind = ? ORDER BY seq DESC LIMIT 1 OFFSET ?)",
            (policy, kind, policy, kind, limits.CACHE_OBSERVATIONS),
        )


def _row(found: tuple[Any, ...]) -> Row:
    seq, policy, call, kind, at_ms, probability, threshold, chance, drawn, right, entry, guard, features = (
        found
    )
    return Row(
        seq=seq,
        policy=policy,
        call=call,
        kind=kind,
        at_ms=at_ms,
        drawn=bool(drawn),
        entry=entry,
        seen=Observation(
            probability=probability,
            threshold=threshold,
            hit=kind != "miss",
            check=chance,
            right=None if right is None else bool(right),
            features=tuple(np.frombuffer(features, np.float32).tolist()),
            guard=guard,
        ),
    )
