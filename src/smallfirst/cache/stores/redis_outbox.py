"""What waits to be sent to Redis: answers, and what became of them. It is sent together every few tens of milliseconds, and lost if it cannot be."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.redis_link import RedisLink
from smallfirst.cache.stores.redis_rows import (
    CHANGE,
    CHANGES,
    ENTRIES,
    PURGES,
    REMOVE,
    call_key,
    entry_key,
    fields_of,
    id_key,
    partition_key,
)
from smallfirst.cache.stores.store import Which
from smallfirst.errors import StateError

_SENT_AT_ONCE = 64
_CHANGED_AT_ONCE = 500
_PARTITION_MOST = 100_000
_PURGE_LOOKED_BACK_MS = 60_000

Change = tuple[int, str, int, int, int]
"""Of an entry: its id, its new group or "", and what is added to `confirmed`, `refuted` and `hits`."""


class Outbox:
    """All methods are called on one event loop."""

    def __init__(self, link: RedisLink) -> None:
        self._link = link
        self.waiting: dict[bytes, Entry] = {}
        self.waiting_ids: dict[int, Entry] = {}
        self._bytes = 0
        self._changes: list[Change] = []
        self._touched: dict[int, int] = {}
        self._task: asyncio.Task[None] | None = None
        self._sending = asyncio.Lock()
        self.lost = 0  # answers that could not be sent

    def put(self, entry: Entry) -> bool:
        """False where too much waits."""
        if len(self.waiting) >= limits.CACHE_WRITES_WAITING:
            return False
        replaced = self.waiting.get(entry.key)
        waiting = self._bytes - (replaced.size if replaced else 0)
        if waiting + entry.size > limits.CACHE_WRITES_WAITING_BYTES:
            return False
        self._forget(replaced)
        self.waiting[entry.key] = self.waiting_ids[entry.id] = entry
        self._bytes += entry.size
        self._flush_soon()
        return True

    def touch(self, entry: int) -> None:
        if entry in self._touched or len(self._touched) < limits.CACHE_WRITES_WAITING:
            self._touched[entry] = self._touched.get(entry, 0) + 1
        self._flush_soon()

    def change(self, entry: int, group: str, *, confirmed: int = 0, refuted: int = 0) -> bool:
        """False where too much waits."""
        if len(self._changes) >= limits.CACHE_WRITES_WAITING:
            return False
        self._changes.append((entry, group, confirmed, refuted, 0))
        self._flush_soon()
        return True

    async def flush(self) -> None:
        """Sends what waits. Raises `StateError`; what could not be sent is lost then."""
        async with self._sending:
            while self.waiting:
                part = list(self.waiting.values())[:_SENT_AT_ONCE]
                try:
                    await self._send(part)
                except StateError:
                    self.lost += len(part)
                    raise
                finally:
                    self._put_away(part)
            changes, self._changes = self._changes, []
            touched, self._touched = self._touched, {}
            await self._send_changes(changes + [(entry, "", 0, 0, hits) for entry, hits in touched.items()])

    async def close(self) -> None:
        """Sends what waits, and ends. Raises `StateError`."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self.flush()

    def _flush_soon(self) -> None:
        if self._task is None:
            self._task = asyncio.create_task(self._flush_later())

    async def _flush_later(self) -> None:
        only_touches = not (self.waiting or self._changes)
        await asyncio.sleep(limits.CACHE_TOUCH_EVERY_S if only_touches else limits.CACHE_WRITE_EVERY_S)
        try:
            await self.flush()
        except StateError:
            pass  # the link has counted and told it
        finally:
            self._task = None
        if self.waiting or self._changes:
            self._flush_soon()

    async def _send(self, entries: list[Entry]) -> None:
        """Writes them, and takes those back that somebody purged meanwhile: whoever purges notes it first, and looks for entries then."""
        since_ms = _now_ms() - _PURGE_LOOKED_BACK_MS

        async def send(redis: Any) -> list[Any]:
            async with redis.pipeline(transaction=True) as pipe:
                for entry in entries:
                    _put(pipe, entry)
                pipe.zrangebyscore(PURGES, since_ms, "+inf", withscores=True)
                return (await pipe.execute())[-1]

        purged = [
            (msgspec.json.decode(noted, type=tuple[Which, int])[0], at_ms)
            for noted, at_ms in await self._link.work(send)
        ]
        gone = [
            entry
            for entry in entries
            if any(which.fits(entry) and entry.at_ms <= at_ms for which, at_ms in purged)
        ]
        await remove(self._link, gone)

    async def _send_changes(self, changes: list[Change]) -> None:
        for at in range(0, len(changes), _CHANGED_AT_ONCE):
            part = changes[at : at + _CHANGED_AT_ONCE]

            async def send(redis: Any, part: list[Change] = part) -> None:
                async with redis.pipeline(transaction=False) as pipe:
                    for entry, *numbers in part:
                        values = (entry, *numbers, ENTRIES, limits.CACHE_CHANGES_KEPT)
                        pipe.eval(CHANGE, 2, id_key(entry), CHANGES, *values)
                    await pipe.execute()

            await self._link.work(send)

    def _put_away(self, entries: list[Entry]) -> None:
        for entry in entries:
            self._forget(entry)
            if self.waiting.get(entry.key) is entry:
                del self.waiting[entry.key]

    def _forget(self, entry: Entry | None) -> None:
        if entry is not None and self.waiting_ids.pop(entry.id, None) is not None:
            self._bytes -= entry.size


async def note_purge(link: RedisLink, which: Which) -> None:
    """For the other gateways: what was answered until now and fits is not to be kept."""
    noted = msgspec.json.encode((which, time.time_ns())).decode()
    await link.work(lambda redis: redis.zadd(PURGES, {noted: _now_ms()}))
    await link.work(lambda redis: redis.zremrangebyrank(PURGES, 0, -limits.CACHE_PURGES_KEPT - 1))


async def remove(link: RedisLink, entries: list[Entry]) -> int:
    """Removes those that are still there; returns how many. Raises `StateError`."""
    if not entries:
        return 0

    async def send(redis: Any) -> list[int]:
        async with redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                keys = (
                    entry_key(entry.key),
                    id_key(entry.id),
                    call_key(entry.call),
                    partition_key(entry.partition),
                    CHANGES,
                )
                values = (entry.id, entry.key.hex(), entry.partition.hex(), limits.CACHE_CHANGES_KEPT)
                pipe.eval(REMOVE, len(keys), *keys, *values)
            return await pipe.execute()

    return sum(await link.work(send))


def _put(pipe: Any, entry: Entry) -> None:
    """Each of its keys ends with it; a partition's set with its last entry."""
    name = entry_key(entry.key)
    pipe.delete(name)
    pipe.hset(name, mapping=fields_of(entry))
    pipe.pexpireat(name, entry.expires_ms)
    pipe.set(id_key(entry.id), entry.key.hex(), pxat=entry.expires_ms)
    pipe.set(call_key(entry.call), entry.key.hex(), pxat=entry.expires_ms)
    if not entry.partition:
        return
    partition = partition_key(entry.partition)
    pipe.zadd(partition, {f"{entry.id}:{entry.key.hex()}": entry.id})
    pipe.zremrangebyrank(partition, 0, -_PARTITION_MOST - 1)
    pipe.pexpireat(partition, entry.expires_ms, nx=True)
    pipe.pexpireat(partition, entry.expires_ms, gt=True)
    told = {
        "p": entry.partition.hex(),
        "e": entry.id,
        "g": entry.group,
        "c": entry.confirmed,
        "r": entry.refuted,
    }
    pipe.xadd(CHANGES, told, maxlen=limits.CACHE_CHANGES_KEPT)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
