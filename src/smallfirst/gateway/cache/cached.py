"""The cache's part in a call: look up, wait for another's answer to the same, keep what was answered.

Nothing of it fails a call: a store or an embedder that fails costs hits, is logged, and the call is answered as if there were no cache.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable

from smallfirst.cache.admission import why_bypassed
from smallfirst.cache.control import NOTHING_SAID, Control, control_of
from smallfirst.cache.flight import Flights
from smallfirst.cache.key import Keyed, NoKey, key_of
from smallfirst.cache.stores.store import Which
from smallfirst.errors import ConfigError, StateError
from smallfirst.gateway.bodies import kept_days
from smallfirst.gateway.cache.counts import CacheCounts, Part
from smallfirst.gateway.cache.looking import BYPASS, Looking, refuse_where_only_cached
from smallfirst.gateway.cache.parts import Parts
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.client import Client
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.running import Running
from smallfirst.wire.incoming import Incoming

_log = logging.getLogger(__name__)
_TRIED_AGAIN_S = 10.0  # a store that could not be opened


class Cache:
    """What all calls share of it. It is opened when a task first has a use for it. One event loop owns it."""

    def __init__(self, opens: Callable[[], Parts], counts: CacheCounts) -> None:
        self._opens = opens
        self._parts: Parts | None = None
        self._not_before_s = 0.0
        self.counts = counts
        self.flights = Flights()

    @property
    def parts(self) -> Parts | None:
        """What it is made of; None while nothing has asked for it, or where it cannot be opened."""
        return self._parts

    def opened(self) -> Parts | None:
        """The same, opened now if it was not. One that cannot be opened is tried again after a while."""
        if self._parts is None and time.monotonic() >= self._not_before_s:
            try:
                self._parts = self._opens()
            except (StateError, ConfigError, OSError) as error:
                self._not_before_s = time.monotonic() + _TRIED_AGAIN_S
                self.failed("store", "the cache cannot be opened: %s", error)
        return self._parts

    async def look_up(
        self, draft: Draft, running: Running, client: Client, incoming: Incoming, chosen: Chosen
    ) -> Looking:
        """What it has for a call; where the same is being asked already, once that is answered.

        Raises `NotCached` where it has nothing and the client wants nothing else.
        """
        control = _control(draft, client)
        rule = chosen.policy.cache
        if not rule.exact:
            refuse_where_only_cached(control)
            return BYPASS
        keyed = self._key(draft, running, incoming, chosen, control)
        parts = self.opened() if isinstance(keyed, Keyed) else None
        if isinstance(keyed, str) or parts is None:
            self.counts.bypassed(draft.task)
            draft.decision["cache"] = {"why": keyed if isinstance(keyed, str) else "it cannot be opened"}
            refuse_where_only_cached(control)
            return BYPASS
        draft.cache = "miss"
        looking = Looking(self, draft, running=running, incoming=incoming, chosen=chosen, keyed=keyed)
        try:
            await looking.find(control)
        except BaseException:
            looking.leave()
            raise
        return looking

    def _key(
        self, draft: Draft, running: Running, incoming: Incoming, chosen: Chosen, control: Control
    ) -> Keyed | str:
        """The call's key, or why it has none."""
        policy = chosen.policy
        why = why_bypassed(incoming, policy.cache, rungs=policy.ladder, control=control)
        if why:
            return why
        if kept_days(running.config, draft.tenant) == 0:
            return "nothing that its tenant says may be kept"
        keyed = key_of(
            incoming,
            tenant=draft.tenant,
            task=draft.task,
            policy=chosen.policy_hash,
            model=running.answerer.catalogue.resolve_alias(incoming.model),
            ignore=frozenset(policy.cache.ignore),
        )
        return keyed.why if isinstance(keyed, NoKey) else keyed

    async def told_bad(self, call: str, of: str) -> None:
        """The answer to `call`, which was `of`'s, was wrong, as somebody says: it is not given again. Raises `StateError`."""
        parts = self.opened()
        if parts is None:
            raise StateError("the cache cannot be opened, so nothing was removed from it")
        if parts.learning is not None:  # first: it looks at the entry that goes
            await parts.learning.told_bad(call)
        await parts.store.evict(Which(call=of))

    async def follow(self) -> None:
        """Takes up what other processes have written of it."""
        if self._parts is not None and self._parts.follow is not None:
            await self._parts.follow()

    def gauges(self) -> dict[str, tuple[str, Callable[[], float]]]:
        """What is read when metrics are scraped."""

        def total(field: str) -> Callable[[], float]:
            def read() -> float:
                value = getattr(self._parts.store.totals(), field) if self._parts is not None else 0
                return math.nan if value is None else float(value)

            return read

        return {
            "smallfirst_cache_flights_waiting": (
                "Calls that wait for the answer to another that asks the same",
                lambda: self.flights.waiting,
            ),
            "smallfirst_cache_learning_waiting": (
                "Misses that are to be compared and hits that are to be checked, off their clients' path",
                lambda: (
                    self._parts.learning.waiting
                    if self._parts is not None and self._parts.learning is not None
                    else 0
                ),
            ),
            "smallfirst_cache_entries": (
                "Answers in the cache; NaN where it would have to count",
                total("entries"),
            ),
            "smallfirst_cache_bytes": ("What they take; NaN where it would have to count", total("bytes")),
            "smallfirst_cache_writes_waiting": ("Answers that are not yet written", total("waiting")),
            "smallfirst_cache_left_out": (
                "Answers that were not kept, too long or too many at once, since the cache was opened",
                total("left_out"),
            ),
            "smallfirst_cache_store_failures": (
                "Reads and writes that a full disk, a damaged file or a lost server took, since the cache was opened",
                total("failed"),
            ),
        }

    def failed(self, part: Part, message: str, *values: object) -> None:
        self.counts.failed(part)
        _log.warning(message, *values)

    async def close(self) -> None:
        """Writes what waits to be written."""
        if self._parts is None:
            return
        if self._parts.learning is not None:
            await self._parts.learning.stop()
        await self._parts.store.close()


def _control(draft: Draft, client: Client) -> Control:
    """What the client allows. A model that is asked by its name has no cache: what is said of one is for its provider."""
    headers = client.headers
    if draft.task and (b"cache-control" in headers or b"pragma" in headers):
        return control_of(client.scope["headers"])
    return NOTHING_SAID
