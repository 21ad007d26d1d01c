"""Answers from the cache that somebody has called wrong: whoever told it, through the gateway or by a command, they are not given again."""

from __future__ import annotations

import asyncio

from smallfirst.errors import StateError
from smallfirst.gateway.cache.cached import Cache
from smallfirst.ledger.queries import Queries

_LOOKED_BACK = 1000  # at the start: what was told while no gateway ran


class BadHits:
    """Follows the ledger's outcomes of kind `bad-hit`. What was taken up already is taken up again at the next start, and changes nothing then."""

    def __init__(self, cache: Cache, queries: Queries) -> None:
        self._cache = cache
        self._queries = queries
        self._after: int | None = None
        self._turn = asyncio.Lock()

    async def follow(self) -> None:
        """Takes up what was told since. Where that fails it is tried again at the next turn."""
        async with self._turn:
            try:
                await self._take_up()
            except StateError as error:
                self._cache.failed("outcomes", "bad hits were not taken up yet: %s", error)

    async def _take_up(self) -> None:
        last = await asyncio.to_thread(self._queries.last_outcome)
        if last == self._after:
            return
        for call, of in await asyncio.to_thread(self._told, self._after or 0):
            await self._cache.told_bad(call, of)
        self._after = last

    def _told(self, after: int) -> list[tuple[str, str]]:
        """In a thread: the calls, and those whose answers they were given."""
        found = []
        for told in self._queries.told(kind="bad-hit", after=after, limit=_LOOKED_BACK):
            try:
                cache = self._queries.call(told.call).decision.get("cache")
            except StateError:  # erased since, and its answers with it
                continue
            of = cache.get("of") if isinstance(cache, dict) else None
            found.append((told.call, of if isinstance(of, str) else told.call))
        return found
