"""Answers in `cache.sqlite`, for one gateway and the commands beside it.

A look-up is one SELECT on the event loop. What is put waits in memory, found there, until the writer's thread has committed it.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.stores import changes, rows
from smallfirst.cache.stores.database import Database
from smallfirst.cache.stores.eviction import expire, make_room
from smallfirst.cache.stores.numbers import Numbers
from smallfirst.cache.stores.purging import Purges, remove_some, select, was_purged
from smallfirst.cache.stores.store import Changes, Counted, Totals, Which, unchanged
from smallfirst.cache.stores.writer import Job
from smallfirst.config.schema import Cache
from smallfirst.errors import StateError
from smallfirst.ledger.store import insert

_log = logging.getLogger(__name__)

_GET = f"{rows.WHOLE} FROM entries e WHERE e.key = ? AND e.expires_ms > ?"
_BY_ID = f"{rows.WHOLE} FROM entries e WHERE e.id = ? AND e.expires_ms > ?"
_TEXTS = f"{rows.TEXT} FROM entries e WHERE e.id IN (SELECT value FROM json_each(?))"  # noqa: S608
_PARTITION = f"{rows.WITHOUT_ANSWER} FROM entries e WHERE e.partition = ? AND e.expires_ms > ? ORDER BY e.id DESC LIMIT ?"
_COUNT = """
    SELECT s.task, s.tenant, count(*), count(DISTINCT e."group"), min(e.at_ms), max(e.at_ms)
    FROM scopes s CROSS JOIN entries e ON e.scope = s.id GROUP BY s.task, s.tenant ORDER BY s.task, s.tenant"""
_SUMS = "SELECT task, tenant, sum(bytes), sum(hits) FROM scopes GROUP BY task, tenant"
_EXPIRED_AT_ONCE = 1000
_KEYS_A_STATEMENT = 500


class SqliteStore:
    """Keeps the promises of `CacheStore`. `rule` may be replaced while it runs."""

    def __init__(self, state: Path, rule: Cache, *, owner: bool = True) -> None:
        self.rule = rule
        self.database = Database(state, owner=owner)
        self._lock = threading.Lock()
        self._puts: dict[bytes, Entry] = {}  # not yet taken up by the writer
        self._waiting: dict[bytes, Entry] = {}  # not yet committed
        self._waiting_ids: dict[int, Entry] = {}
        self._waiting_bytes = 0
        self._touched: dict[int, tuple[int, int]] = {}
        self._touching = False  # a write of them is on its way
        self._left_out = 0
        self._failed = 0
        self._looking = rows.Reader()  # of the event loop
        self._reading = rows.Reader()  # of the thread that reads
        self._purges = Purges()
        self._numbers = Numbers()
        self._begin()
        self._owner = owner
        self._expiring = False  # a removal of what is over is on its way
        if owner:
            self._expire_later(0.0)

    # What calls do.

    async def get(self, key: bytes, now_ms: int) -> Entry | None:
        entry = self._waiting.get(key)
        if entry is not None:
            return self._still(entry, now_ms)
        return self._one(_GET, key, now_ms)

    async def by_id(self, entry: int, now_ms: int) -> Entry | None:
        waiting = self._waiting_ids.get(entry)
        if waiting is not None:
            return self._still(waiting, now_ms)
        return self._one(_BY_ID, entry, now_ms)

    def put(self, entry: Entry) -> int:
        number = self._numbers.next()
        entry = msgspec.structs.replace(entry, id=number, group=entry.group or number)
        with self._lock:
            replaced = self._puts.get(entry.key)
            waiting = self._waiting_bytes - (replaced.size if replaced else 0)
            full = (
                len(self._waiting) >= limits.CACHE_WRITES_WAITING
                or waiting + entry.size > limits.CACHE_WRITES_WAITING_BYTES
            )
            if full or len(entry.answer) > self.rule.max_entry_bytes or not rows.is_text(entry):
                self._left_out += 1
                return 0
            idle = not self._puts
            self._forget(replaced)
            self._puts[entry.key] = self._waiting[entry.key] = self._waiting_ids[number] = entry
            self._waiting_bytes += entry.size
        if idle:
            self._submit_puts()
        return number

    def touch(self, entry: int, now_ms: int) -> None:
        with self._lock:
            hits, _used_ms = self._touched.get(entry, (0, 0))
            if hits or len(self._touched) < limits.CACHE_WRITES_WAITING:
                self._touched[entry] = (hits + 1, now_ms)
            idle, self._touching = not self._touching, True
        if idle:
            self._then(self._write_touches, self._touches_written, after_s=limits.CACHE_TOUCH_EVERY_S)

    def regroup(self, entry: int, group: int) -> None:
        change = 'UPDATE entries SET "group" = ? WHERE id = ?'
        self._after_puts(change, (group, entry))

    def mark(self, entry: int, *, confirmed: int = 0, refuted: int = 0) -> None:
        change = "UPDATE entries SET confirmed = confirmed + ?, refuted = refuted + ? WHERE id = ?"
        self._after_puts(change, (confirmed, refuted, entry))

    def _still(self, waiting: Entry, now_ms: int) -> Entry | None:
        """An answer that is not written yet: unless it is over, or another process has purged it meanwhile."""
        if waiting.expires_ms <= now_ms:
            return None
        try:
            return None if was_purged(self.database.looking(), waiting) else waiting
        except sqlite3.Error as error:
            self._failed += 1
            self.database.failed(error)
            return None

    def _one(self, query: str, wanted: bytes | int, now_ms: int) -> Entry | None:
        try:
            found = self._looking.entries(self.database.looking(), query, (wanted, now_ms))
            return found[0] if found else None
        except sqlite3.Error as error:
            self._failed += 1
            self.database.failed(error)
            return None

    # What the path of a call does not wait for.

    async def partition(self, partition: bytes, now_ms: int, most: int) -> list[Entry]:
        values = (partition, now_ms, most)
        with self._lock:  # before the file is read: what is committed meanwhile is in one of the two
            waiting = [
                msgspec.structs.replace(entry, answer=b"", text="")
                for entry in self._waiting.values()
                if entry.partition == partition and entry.expires_ms > now_ms
            ]
        kept = await self.database.read(lambda conn: self._reading.entries(conn, _PARTITION, values))
        if not waiting:  # tens of thousands are not gone through on the event loop for nothing
            return kept
        replaced = {entry.key for entry in waiting}
        kept = [entry for entry in kept if entry.key not in replaced]
        return sorted(waiting + kept, key=lambda entry: -entry.id)[:most]

    async def texts_of(self, entries: Sequence[int]) -> dict[int, str]:
        listed = msgspec.json.encode(list(entries)).decode()
        # before the file is read, as above
        waiting = [entry for number in entries if (entry := self._waiting_ids.get(number)) is not None]
        kept = await self.database.read(lambda conn: conn.execute(_TEXTS, (listed,)).fetchall())
        found = {row[0]: rows.text_and_answer(*row[1:])[0] for row in kept}
        return found | {entry.id: entry.text for entry in waiting}

    async def changes(self, since: str | None) -> Changes:
        try:
            return changes.since(self.database.looking(), since)
        except sqlite3.Error as error:
            self.database.failed(error)
            raise StateError(f"what changed in the cache cannot be read: {error}") from error

    async def evict(self, which: Which) -> int:
        await self.database.write(lambda conn: self._purges.note(conn, which, _now_ms()), after_s=0.0)
        removed = 0
        while found := await self.database.write(lambda conn: remove_some(conn, which), after_s=0.0):
            removed += found
        if removed and which.id is None:  # what somebody asked to be forgotten does not linger
            try:
                await self.database.tidy()
            except StateError as error:
                _log.warning(
                    "%d answers are removed from the cache, but may linger in its file: %s", removed, error
                )
        return removed

    async def listed(
        self, which: Which, most: int, *, each: Callable[[Entry], Entry] = unchanged
    ) -> list[Entry]:
        query, values = select(rows.WHOLE, which)
        query += " ORDER BY e.id DESC LIMIT ?"
        return await self.database.read(
            lambda conn: self._reading.entries(conn, query, (*values, most), each=each)
        )

    async def counted(self) -> Sequence[Counted]:
        def read(conn: sqlite3.Connection) -> list[Counted]:
            sums = {(task, tenant): (size, hits) for task, tenant, size, hits in conn.execute(_SUMS)}
            return [
                Counted(
                    task=task,
                    tenant=tenant,
                    entries=entries,
                    bytes=sums.get((task, tenant), (0, 0))[0],
                    hits=sums.get((task, tenant), (0, 0))[1],
                    groups=groups,
                    oldest_ms=oldest_ms,
                    newest_ms=newest_ms,
                )
                for task, tenant, entries, groups, oldest_ms, newest_ms in conn.execute(_COUNT)
            ]

        return await self.database.read(read)

    def totals(self) -> Totals:
        entries = size = None
        try:
            entries, size = self.database.looking().execute("SELECT entries, bytes FROM totals").fetchone()
        except sqlite3.Error as error:
            self.database.failed(error)
        return Totals(
            entries=entries,
            bytes=size,
            waiting=len(self._waiting),
            left_out=self._left_out,
            failed=self._failed,
        )

    async def close(self) -> None:
        await asyncio.to_thread(self.database.close)

    # What the writer's thread does.

    def _submit_puts(self) -> None:
        taken: dict[bytes, Entry] = {}

        def take() -> None:
            with self._lock:
                taken.update(self._puts)
                self._puts = {}

        def write(conn: sqlite3.Connection) -> None:
            take()
            self._write_puts(conn, list(taken.values()))

        def ended(lost: bool) -> None:
            if lost and not taken:  # there was no transaction to write them in
                take()
            self._put_away(taken, lost=lost)

        self._then(write, ended, after_s=limits.CACHE_PUT_EVERY_S)

    def _put_away(self, taken: dict[bytes, Entry], *, lost: bool) -> None:
        """They are committed, or never will be."""
        with self._lock:
            self._failed += len(taken) if lost else 0
            for key, entry in taken.items():
                self._forget(entry)
                if self._waiting.get(key) is entry:
                    del self._waiting[key]

    def _forget(self, entry: Entry | None) -> None:
        if entry is not None and self._waiting_ids.pop(entry.id, None) is not None:
            self._waiting_bytes -= entry.size

    def _write_puts(self, conn: sqlite3.Connection, entries: list[Entry]) -> None:
        put, entries = entries, self._purges.spared(conn, entries)
        if len(entries) < len(put):
            changes.never_written(conn, [entry for entry in put if entry not in entries])
        scopes: dict[tuple[str, ...], int] = {}
        table = []
        for entry in entries:
            names = (entry.tenant, entry.task, entry.policy, entry.release)
            if names not in scopes:
                scopes[names] = rows.scope_of(conn, entry)
            table.append(rows.row_of(entry, scopes[names]))
        for at in range(0, len(entries), _KEYS_A_STATEMENT):
            keys = [entry.key for entry in entries[at : at + _KEYS_A_STATEMENT]]
            marks = ", ".join("?" * len(keys))
            conn.execute(f"DELETE FROM entries WHERE key IN ({marks})", keys)  # noqa: S608  (values bound)
        insert(conn, "entries", table)
        self._make_room(conn)
        if self._owner and not self._expiring:
            self._expire_later(limits.CACHE_EXPIRE_EVERY_S)

    def _make_room(self, conn: sqlite3.Connection) -> None:
        if make_room(conn, self.rule, _now_ms()):
            self._later(self._make_room)
        changes.trim(conn)

    def _write_touches(self, conn: sqlite3.Connection) -> None:
        with self._lock:
            touched, self._touched = self._touched, {}
        change = "UPDATE entries SET hits = hits + ?, used_ms = max(used_ms, ?) WHERE id = ?"
        conn.executemany(change, [(hits, used_ms, entry) for entry, (hits, used_ms) in touched.items()])

    def _touches_written(self, _lost: bool) -> None:
        with self._lock:
            self._touching = False  # those that came meanwhile are written with the next one

    def _expire(self, conn: sqlite3.Connection) -> None:
        while expire(conn, _now_ms(), most=_EXPIRED_AT_ONCE) == _EXPIRED_AT_ONCE:
            pass
        changes.trim(conn)

    def _expire_later(self, after_s: float) -> None:
        """Removes what is over, again and again; where the writer has no room for that, from the next answers on that it takes."""
        future = self.database.submit(self._expire, after_s=after_s)
        self._expiring = future is not None
        if future is not None:
            future.add_done_callback(lambda _done: self._expire_later(limits.CACHE_EXPIRE_EVERY_S))

    def _later(self, job: Job, *, after_s: float | None = None) -> None:
        if not self.database.later(job, after_s=after_s):
            self._left_out += 1

    def _after_puts(self, change: str, values: tuple[int, ...]) -> None:
        """Changes an answer that may wait to be written still."""
        self._later(lambda conn: conn.execute(change, values) and None, after_s=limits.CACHE_PUT_EVERY_S)

    def _then(self, job: Job, ended: Callable[[bool], None], *, after_s: float | None = None) -> None:
        """Writes, and then says whether that was lost. What the writer has no room for is lost at once."""
        future = self.database.submit(job, after_s=after_s)
        if future is not None:
            future.add_done_callback(lambda done: ended(done.exception() is not None))
        else:
            ended(True)

    def _begin(self) -> None:
        """Goes on where the file ends."""
        try:
            conn = self.database.looking()
            self._numbers = Numbers(conn.execute("SELECT coalesce(max(id), 0) FROM entries").fetchone()[0])
            self._purges.begin(conn)
        except sqlite3.Error as error:
            self.database.failed(error)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
