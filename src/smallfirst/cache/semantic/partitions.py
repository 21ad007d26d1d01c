"""The partitions that are in memory: read from the store when they are first asked for, off the call's path, and forgotten when others are needed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from concurrent.futures import ThreadPoolExecutor

import msgspec

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.index import Built, Index
from smallfirst.cache.stores.store import CacheStore, Change
from smallfirst.errors import StateError

_log = logging.getLogger(__name__)
_LOADS = 4  # at once; what is asked for beside them is asked for again by its next call
_TEXTS = 200  # asked for at a time
_AGAIN_AFTER_S = 5.0  # one that could not be read
_FOLLOWED_AT_ONCE = 200  # changes, between which calls get their turn
_ADDED = 1000  # entries, after which it is looked whether there are too many


class _Place:
    __slots__ = ("came", "changed", "dimensions", "failed_s", "gone", "index", "loading")

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self.index: Index | None = None
        self.loading = False
        self.failed_s = -_AGAIN_AFTER_S
        self.came: list[Entry] = []  # while it was read
        self.changed: dict[int, Change] = {}
        self.gone: set[int] = set()


class Partitions:
    """At most `limits.CACHE_PARTITIONS`, with `limits.CACHE_VECTORS` entries together. All methods are called on the event loop."""

    def __init__(self, store: CacheStore) -> None:
        self._store = store
        self._places: OrderedDict[bytes, _Place] = OrderedDict()
        self._tasks: set[asyncio.Task[None]] = set()
        self._building: set[bytes] = set()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-index")
        self._at: str | None = None
        self._added = 0

    @property
    def vectors(self) -> int:
        """Entries in memory."""
        return sum(len(place.index) for place in self._places.values() if place.index is not None)

    def get(self, partition: bytes, dimensions: int) -> Index | None:
        """The partition's index. None: it is not there yet, and is read from now on."""
        place = self._places.get(partition)
        if place is None or place.dimensions != dimensions:
            place = self._places[partition] = _Place(dimensions)
            self._make_room()
        self._places.move_to_end(partition)
        if place.index is None:
            self._load(partition, place)
            return None
        if place.index.worn:
            self._build(partition, place.index)
        return place.index if place.index.ready else None

    def peek(self, partition: bytes) -> Index | None:
        """The same, where it is in memory; nothing is read for it."""
        place = self._places.get(partition)
        return place.index if place is not None else None

    def added(self, entry: Entry) -> None:
        place = self._places.get(entry.partition)
        if place is None:
            return
        if place.index is not None:
            place.index.add(entry)
            self._added += 1
            if self._added % _ADDED == 0:
                self._make_room()
        elif place.loading:
            place.came.append(entry)

    def removed(self, partition: bytes, entry: int) -> None:
        place = self._places.get(partition)
        if place is None:
            return
        if place.index is not None:
            place.index.remove(entry)
        elif place.loading:
            place.gone.add(entry)

    async def follow(self) -> None:
        """Takes up what others did to entries: commands, evictions, other gateways. Raises `StateError`."""
        changes = await self._store.changes(self._at)
        first, self._at = self._at is None, changes.at
        if changes.lost and not first:
            self._places.clear()  # read again when they are asked for
            return
        for at, change in enumerate(changes.changes, 1):
            await self._take_up(change)
            if at % _FOLLOWED_AT_ONCE == 0:
                await asyncio.sleep(0)

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _take_up(self, change: Change) -> None:
        place = self._places.get(change.partition)
        if change.group == 0:
            self.removed(change.partition, change.entry)
        elif place is None:
            return
        elif place.index is None:
            if place.loading:
                place.changed[change.entry] = change
        elif change.entry in place.index:
            _set(place.index, change)
        else:
            entry = await self._store.by_id(change.entry, _now_ms())
            if entry is not None and entry.partition == change.partition:
                place.index.add(entry)

    def _load(self, partition: bytes, place: _Place) -> None:
        if place.loading or len(self._tasks) >= _LOADS:
            return
        if time.monotonic() - place.failed_s < _AGAIN_AFTER_S:
            return
        place.loading = True
        task = asyncio.create_task(self._read(partition, place))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read(self, partition: bytes, place: _Place) -> None:
        try:
            if self._at is None:  # what happens from now on is told
                await self.follow()
            entries = await self._store.partition(partition, _now_ms(), limits.CACHE_PARTITION_VECTORS)
            index = Index(place.dimensions)
            entries.reverse()  # the oldest first: of too many it goes first
            for at in range(0, len(entries), _TEXTS):
                part = entries[at : at + _TEXTS]
                texts = await self._store.texts_of([entry.id for entry in part])
                for entry in part:
                    if entry.id in texts and entry.id not in place.gone:
                        index.add(msgspec.structs.replace(entry, text=texts[entry.id]))
                await asyncio.sleep(0)
            for entry in place.came:
                if entry.id not in place.gone:
                    index.add(entry)
            for change in place.changed.values():
                _set(index, change)
            place.index = index
            self._make_room()
        except StateError as error:
            place.failed_s = time.monotonic()
            _log.warning("a partition of the cache could not be read: %s", error)
        finally:
            place.loading = False
            place.came, place.changed, place.gone = [], {}, set()

    def _build(self, partition: bytes, index: Index) -> None:
        """Builds a graph in a thread; one at a time for each partition."""
        if partition in self._building:
            return
        self._building.add(partition)
        work = asyncio.get_running_loop().run_in_executor(self._thread, index.building())

        def done(built: asyncio.Future[Built]) -> None:
            self._building.discard(partition)
            if built.cancelled():
                return
            if built.exception() is not None:
                _log.error("a graph could not be built: %s", built.exception())
            elif self.peek(partition) is index:
                index.take(built.result())

        work.add_done_callback(done)

    def _make_room(self) -> None:
        """Lets go of what was not asked for for the longest time."""
        while len(self._places) > 1 and (
            len(self._places) > limits.CACHE_PARTITIONS or self.vectors > limits.CACHE_VECTORS
        ):
            self._places.popitem(last=False)


def _set(index: Index, change: Change) -> None:
    index.set(change.entry, answer=change.group, confirmed=change.confirmed, refuted=change.refuted)


def _now_ms() -> int:
    return int(time.time() * 1000)
