"""Answers in a Redis (7 or newer) or a Valkey, shared by the gateways of several machines.

What is put waits in memory, found there, until it is sent with what comes in the same few tens of milliseconds. How much is kept is the server's
business: its `maxmemory` and `maxmemory-policy`. Evidence stays in each gateway's own `cache.sqlite`: each earns its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.database import Database
from smallfirst.cache.stores.numbers import Numbers
from smallfirst.cache.stores.redis_changes import since as changes_since
from smallfirst.cache.stores.redis_link import RedisLink
from smallfirst.cache.stores.redis_outbox import Outbox, note_purge, remove
from smallfirst.cache.stores.redis_rows import (
    COMMON,
    ENTRIES,
    WHOLE,
    call_key,
    entry_key,
    entry_of,
    id_key,
    partition_key,
)
from smallfirst.cache.stores.rows import is_text
from smallfirst.cache.stores.store import Changes, Counted, Totals, Which, unchanged
from smallfirst.config.schema import Cache
from smallfirst.config.secrets import Secret
from smallfirst.errors import StateError

_log = logging.getLogger(__name__)

_READ_AT_ONCE = 500


class RedisStore:
    """Keeps the promises of `CacheStore`, but for the bounds of the whole. All methods are called on one event loop."""

    def __init__(self, url: Secret, rule: Cache, *, state: Path, owner: bool = True) -> None:
        self.rule = rule
        self.database = Database(state, owner=owner)
        self._link = RedisLink(url)
        self._numbers = Numbers()
        self._outbox = Outbox(self._link)
        self._scanning = asyncio.Lock()
        self._left_out = 0

    # What calls do.

    async def get(self, key: bytes, now_ms: int) -> Entry | None:
        entry = self._outbox.waiting.get(key)
        if entry is None:
            name = entry_key(key)
            values = await self._link.quick(lambda redis: redis.hmget(name, WHOLE))
            entry = entry_of(values) if values else None
        return entry if entry is not None and entry.key == key and entry.expires_ms > now_ms else None

    async def by_id(self, entry: int, now_ms: int) -> Entry | None:
        found = self._outbox.waiting_ids.get(entry)
        if found is None:
            name = id_key(entry)
            key = await self._link.quick(lambda redis: redis.get(name))
            found = await self.get(bytes.fromhex(key.decode()), now_ms) if key else None
        return found if found is not None and found.id == entry and found.expires_ms > now_ms else None

    def put(self, entry: Entry) -> int:
        number = self._numbers.next()
        entry = msgspec.structs.replace(entry, id=number, group=entry.group or number)
        if len(entry.answer) > self.rule.max_entry_bytes or not is_text(entry) or not self._outbox.put(entry):
            self._left_out += 1
            return 0
        return number

    def touch(self, entry: int, now_ms: int) -> None:
        self._outbox.touch(entry)

    def regroup(self, entry: int, group: int) -> None:
        self._left_out += not self._outbox.change(entry, str(group))

    def mark(self, entry: int, *, confirmed: int = 0, refuted: int = 0) -> None:
        self._left_out += not self._outbox.change(entry, "", confirmed=confirmed, refuted=refuted)

    # What the path of a call does not wait for.

    async def partition(self, partition: bytes, now_ms: int, most: int) -> list[Entry]:
        name = partition_key(partition)
        members = await self._link.work(lambda redis: redis.zrevrange(name, 0, most - 1))
        wanted = [member.decode().partition(":") for member in members]
        found, gone = [], []
        for at in range(0, len(wanted), _READ_AT_ONCE):
            part = wanted[at : at + _READ_AT_ONCE]
            values = await self._values([f"{ENTRIES}{key}" for _number, _, key in part], COMMON)
            for (number, _, key), entry in zip(part, map(entry_of, values), strict=True):
                if entry is not None and entry.id == int(number) and entry.expires_ms > now_ms:
                    found.append(entry)
                else:
                    gone.append(f"{number}:{key}")
        if gone:
            await self._link.work(lambda redis: redis.zrem(name, *gone))
        waiting = [
            msgspec.structs.replace(entry, answer=b"", text="")
            for entry in self._outbox.waiting.values()
            if entry.partition == partition and entry.expires_ms > now_ms
        ]
        replaced = {entry.key for entry in waiting}
        found = waiting + [entry for entry in found if entry.key not in replaced]
        return sorted(found, key=lambda entry: -entry.id)[:most]

    async def texts_of(self, entries: Sequence[int]) -> dict[int, str]:
        return {entry.id: entry.text for entry in await self._by_ids(entries)}

    async def changes(self, since: str | None) -> Changes:
        return await self._link.work(lambda redis: changes_since(redis, since))

    async def evict(self, which: Which) -> int:
        await self._outbox.flush()
        try:
            await note_purge(self._link, which)
        except StateError as error:  # a server that has no room can still forget
            _log.warning("answers that other gateways are about to keep may be kept: %s", error)
        removed = 0
        async for entries in self._matching(which, COMMON):
            removed += await remove(self._link, entries)
        return removed

    async def listed(
        self, which: Which, most: int, *, each: Callable[[Entry], Entry] = unchanged
    ) -> list[Entry]:
        await self._outbox.flush()
        found: list[Entry] = []
        async for entries in self._matching(which, WHOLE):
            found = sorted([*found, *map(each, entries)], key=lambda entry: -entry.id)[:most]
        return found

    async def counted(self) -> Sequence[Counted]:
        await self._outbox.flush()
        held: dict[tuple[str, str], list[tuple[Entry, int]]] = defaultdict(list)
        async for names in self._scan():
            sizes = await self._link.work(lambda redis, names=names: _sizes(redis, names))
            for entry, size in zip(await self._entries(names, COMMON), sizes, strict=True):
                if entry is not None:
                    bare = msgspec.structs.replace(entry, vector=b"", question="")
                    held[entry.task, entry.tenant].append((bare, size + entry.size))
        return [_counted(task, tenant, found) for (task, tenant), found in sorted(held.items())]

    def totals(self) -> Totals:
        return Totals(
            entries=None,
            bytes=None,
            waiting=len(self._outbox.waiting),
            left_out=self._left_out,
            failed=self._link.failed + self._outbox.lost,
        )

    async def close(self) -> None:
        try:
            await self._outbox.close()
        except StateError as error:
            _log.warning("what waited to be kept is lost: %s", error)
        await self._link.close()
        await asyncio.to_thread(self.database.close)

    # Reading many.

    async def _matching(self, which: Which, fields: Sequence[str]) -> AsyncIterator[list[Entry]]:
        """Entries that fit. By id or call where that leads to one; else all are looked at, whatever the server may have dropped."""
        names = await self._led_to(which)
        if names:
            found = [
                entry
                for entry in await self._entries(names, fields)
                if entry is not None and which.fits(entry)
            ]
            if found:
                yield found
                return
        if which.id is not None:
            return
        async with self._scanning:
            async for some in self._scan():
                yield [
                    entry
                    for entry in await self._entries(some, fields)
                    if entry is not None and which.fits(entry)
                ]

    async def _led_to(self, which: Which) -> list[str]:
        leads = [id_key(which.id)] if which.id is not None else []
        leads += [call_key(which.call)] if which.call is not None else []
        keys = await self._link.work(lambda redis: redis.mget(leads)) if leads else []
        return [f"{ENTRIES}{key.decode()}" for key in keys if key][:1]

    async def _by_ids(self, entries: Iterable[int]) -> list[Entry]:
        wanted = list(entries)
        if not wanted:
            return []
        here = [entry for number in wanted if (entry := self._outbox.waiting_ids.get(number)) is not None]
        keys = await self._link.work(lambda redis: redis.mget([id_key(number) for number in wanted]))
        found = await self._entries([f"{ENTRIES}{key.decode()}" for key in keys if key], WHOLE)
        return here + [entry for entry in found if entry is not None and entry.id in wanted]

    async def _entries(self, names: Sequence[str], fields: Sequence[str]) -> list[Entry | None]:
        return [entry_of(values) for values in await self._values(names, fields)]

    async def _values(self, names: Sequence[str], fields: Sequence[str]) -> list[list[Any]]:
        async def read(redis: Any) -> list[list[Any]]:
            async with redis.pipeline(transaction=False) as pipe:
                for name in names:
                    pipe.hmget(name, fields)
                return await pipe.execute()

        return await self._link.work(read) if names else []

    async def _scan(self) -> AsyncIterator[list[str]]:
        cursor, first = 0, True
        while cursor or first:
            at = cursor
            cursor, names = await self._link.work(
                lambda redis, at=at: redis.scan(at, match=f"{ENTRIES}*", count=_READ_AT_ONCE)
            )
            first = False
            if names:
                yield [name.decode() for name in names]


async def _sizes(redis: Any, names: list[str]) -> list[int]:
    """Of the texts and answers of these entries."""
    async with redis.pipeline(transaction=False) as pipe:
        for name in names:
            pipe.hstrlen(name, "a")
            pipe.hstrlen(name, "t")
        found = await pipe.execute()
    return [answer + text for answer, text in zip(found[::2], found[1::2], strict=True)]


def _counted(task: str, tenant: str, found: list[tuple[Entry, int]]) -> Counted:
    return Counted(
        task=task,
        tenant=tenant,
        entries=len(found),
        bytes=sum(size for _entry, size in found),
        hits=sum(entry.hits for entry, _size in found),
        groups=len({entry.group for entry, _size in found}),
        oldest_ms=min(entry.at_ms for entry, _size in found),
        newest_ms=max(entry.at_ms for entry, _size in found),
    )
