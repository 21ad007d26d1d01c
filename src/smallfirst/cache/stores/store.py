"""Where answers are kept: the contract of a store, and what it tells of itself. `sqlite_store.py` and `redis_store.py` keep it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.database import Database


class Which(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Entries by what they are of; all that is given must fit. Nothing given: all of them."""

    tenant: str | None = None
    task: str | None = None
    policy: str | None = None
    release: str | None = None
    call: str | None = None  # the call that was answered
    id: int | None = None
    before_ms: int | None = None  # answered before

    def fits(self, entry: Entry) -> bool:
        return (
            self.tenant in (None, entry.tenant)
            and self.task in (None, entry.task)
            and self.policy in (None, entry.policy)
            and self.release in (None, entry.release)
            and self.call in (None, entry.call)
            and self.id in (None, entry.id)
            and (self.before_ms is None or entry.at_ms < self.before_ms)
        )


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """What a store holds of one task and tenant."""

    task: str
    tenant: str
    entries: int
    bytes: int
    hits: int  # of these entries, since they were kept
    groups: int  # different answers, as far as they were compared
    oldest_ms: int
    newest_ms: int


class Totals(msgspec.Struct, frozen=True, kw_only=True):
    """How a store is, as far as it knows without counting."""

    entries: int | None  # None: it would have to count
    bytes: int | None
    waiting: int  # answers that are not yet written
    left_out: int  # that were not kept: too long, or too many at once; since this process began
    failed: int  # that could not be written or read: a full disk, a server that is gone


class Change(msgspec.Struct, frozen=True):
    """What became of one entry that has a partition: its numbers as they are now. `group` 0: it is gone."""

    partition: bytes
    entry: int
    group: int
    confirmed: int = 0
    refuted: int = 0


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What happened since a reader last asked. `at` is what it asks with next. `lost`: too much happened, and what the reader holds in memory is
    to be read again; `changes` is empty then.
    """

    at: str
    lost: bool = False
    changes: tuple[Change, ...] = ()


def unchanged(entry: Entry) -> Entry:
    return entry


class CacheStore(Protocol):
    """Keeps entries within its bounds, and gives them back while they are fresh.

    `get`, `by_id`, `put`, `touch`, `regroup` and `mark` raise nothing and wait for nothing but, with Redis, its answer: a store that is damaged,
    full or gone finds nothing and keeps nothing, counts that in `totals`, and says so in the log. The others raise `StateError`.
    """

    @property
    def database(self) -> Database:
        """The file `cache.sqlite` of this state directory: also where answers are in Redis, evidence is kept here."""
        ...

    async def get(self, key: bytes, now_ms: int) -> Entry | None:
        """The entry of exactly this key; None where there is none, or it is over."""
        ...

    async def by_id(self, entry: int, now_ms: int) -> Entry | None:
        """The same by its number. Who serves it sees to it that tenant, task and partition are the call's."""
        ...

    def put(self, entry: Entry) -> int:
        """Keeps it, in the place of one of the same key, and returns the id that it has from now on; 0 where it is left out (`totals`).

        What is put is found by the next `get` or `by_id`. `entry.id` is not looked at; `entry.group` 0 makes it its own group.
        """
        ...

    def touch(self, entry: int, now_ms: int) -> None:
        """It was given again: what is used stays longest. Its end does not move."""
        ...

    def regroup(self, entry: int, group: int) -> None:
        """Its answer was found equal to that of the entries of this group."""
        ...

    def mark(self, entry: int, *, confirmed: int = 0, refuted: int = 0) -> None:
        """Adds to how often its answer was found right or wrong for another text."""
        ...

    async def partition(self, partition: bytes, now_ms: int, most: int) -> list[Entry]:
        """The newest entries of a partition, newest first, without their answers: `answer` and `text` are empty."""
        ...

    async def texts_of(self, entries: Sequence[int]) -> dict[int, str]:
        """The answers' texts of those that are still kept."""
        ...

    async def changes(self, since: str | None) -> Changes:
        """What became of entries with a partition since then; None: only where things stand now.

        Removals, new groups and marks are told whoever made them. What another gateway put is told as a change of an entry that the reader does not
        know (`by_id` has it); the reader's own puts may or may not be told.
        """
        ...

    async def evict(self, which: Which) -> int:
        """Removes entries, also those that wait to be written; returns how many there were. A running gateway's next `get` does not find them."""
        ...

    async def listed(
        self, which: Which, most: int, *, each: Callable[[Entry], Entry] = unchanged
    ) -> list[Entry]:
        """The newest entries that fit, newest first, whole, fresh or over. `each` is what is made of one as it is read: what it leaves out is not
        held.
        """
        ...

    async def counted(self) -> Sequence[Counted]:
        """Counts everything; not for the path of a call."""
        ...

    def totals(self) -> Totals: ...

    async def close(self) -> None:
        """What waits is written first."""
        ...
