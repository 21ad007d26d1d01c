"""What the gateway's cache is made of: a store, and where tasks have earned it, look-ups in other words and what is learned from them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from smallfirst.cache.entry import Entry
from smallfirst.cache.flight import Flights
from smallfirst.cache.semantic.look_up import Asking, Hit, Miss
from smallfirst.cache.stores.store import CacheStore
from smallfirst.config.schema import SemanticCache
from smallfirst.gateway.cache.counts import CacheCounts, Part
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.running import Running
from smallfirst.ledger.records import CacheResult
from smallfirst.wire.incoming import Incoming


class SemanticLookUp(Protocol):
    """`cache.semantic.look_up`'s: an answer to the same question in other words."""

    def embedder_sha256(self, rule: SemanticCache) -> str: ...

    async def look_up(
        self, asking: Asking, now_ms: int, *, allows: Callable[[Entry], bool] = ...
    ) -> Hit | Miss: ...

    def added(self, entry: Entry) -> None: ...


class Learning(Protocol):
    """`gateway.cache.learning`'s: what follows a semantic look-up, off the call's path. Nothing but `told_bad` waits or raises."""

    @property
    def waiting(self) -> int: ...

    def answered(
        self, running: Running, chosen: Chosen, incoming: Incoming, miss: Miss, entry: Entry
    ) -> None: ...

    def released(
        self, running: Running, chosen: Chosen, incoming: Incoming, hit: Hit, draft: Draft
    ) -> None: ...

    def withdrawn(self, hit: Hit) -> None: ...

    async def told_bad(self, call: str) -> None: ...

    async def stop(self) -> None: ...


class Parts(msgspec.Struct, frozen=True, kw_only=True):
    """What a cache is made of. Without `semantic` only the same call finds its answer again."""

    store: CacheStore
    semantic: SemanticLookUp | None = None
    learning: Learning | None = None
    # takes up what was proven, and what others did to entries; again and again
    follow: Callable[[], Awaitable[None]] | None = None


class Opened(Protocol):
    """The cache as one call's way through it sees it (`gateway.cache.cached.Cache`)."""

    counts: CacheCounts
    flights: Flights

    @property
    def parts(self) -> Parts | None: ...

    def failed(self, part: Part, message: str, *values: object) -> None:
        """Counts and logs what a part could not do."""
        ...


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """An answer from the cache, in the form in which its client reads it."""

    by: CacheResult
    entry: Entry
    body: bytes
    age_s: int
    hit: Hit | None = None

    def record(self) -> dict[str, object]:
        """What the call's decision keeps of it."""
        told: dict[str, object] = {"by": self.by, "of": self.entry.call, "age_s": self.age_s}
        return told | (self.hit.told if self.hit is not None else {})
