"""One call's way through the cache: what is found, who asks where nothing is, and what is kept of the answer."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Self

import msgspec

from smallfirst import limits
from smallfirst.answering.climb import Answer
from smallfirst.cache.admission import why_not_kept
from smallfirst.cache.control import Control
from smallfirst.cache.entry import Entry
from smallfirst.cache.flight import Seat
from smallfirst.cache.key import Keyed, partition_of
from smallfirst.cache.semantic.look_up import Asking, Hit, Miss
from smallfirst.cache.stores.store import Which
from smallfirst.chat import Dialect
from smallfirst.config.schema import SemanticCache
from smallfirst.errors import NotCached, StateError, UpstreamBroken
from smallfirst.gateway.bodies import kept_days, would_redact
from smallfirst.gateway.cache.parts import Found, Opened, SemanticLookUp
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.relay import shown
from smallfirst.gateway.running import Running
from smallfirst.ledger.records import CacheResult
from smallfirst.models.reply import LiveReply, WholeReply
from smallfirst.wire.incoming import Incoming
from smallfirst.wire.sse import SseEvent
from smallfirst.wire.whole import whole_of

_log = logging.getLogger(__name__)
_MS_PER_DAY = 86_400_000
_CLOCKS_DIFFER_MS = 5000  # replicas that share a store
_EVENTS_PER_BYTE = 16  # a stream tells an answer in about so many times its bytes


class Looking:
    """One call's way through the cache; a context manager, since others may wait for it however it ends."""

    __slots__ = (
        "_cache",
        "_chosen",
        "_draft",
        "_hit",
        "_incoming",
        "_keyed",
        "_miss",
        "_parts",
        "_running",
        "_seat",
        "found",
        "tape",
    )

    def __init__(
        self,
        cache: Opened,
        draft: Draft,
        *,
        running: Running,
        incoming: Incoming,
        chosen: Chosen,
        keyed: Keyed,
    ) -> None:
        parts = cache.parts
        assert parts is not None, "a cache is opened before a call is looked up in it"
        self._cache = cache
        self._parts = parts
        self._draft = draft
        self._running = running
        self._incoming = incoming
        self._chosen = chosen
        self._keyed = keyed
        self._seat: Seat | None = None
        self._miss: Miss | None = None
        self._hit: Hit | None = None  # one that is not released yet
        self.found: Found | None = None
        self.tape: Tape | None = None

    @property
    def keeps(self) -> bool:
        """Whether the call's answer is to be kept, if it is one that may be."""
        return True

    async def find(self, control: Control) -> None:
        """Sets `found`, or whose turn it is to ask. Raises `NotCached`."""
        if control.looks_up:
            self.found = await self._exact(control)
            if self.found is None and not control.only_if_cached:
                self._seat = self._cache.flights.board(self._keyed.exact)
                self.found = await self._from_flight(self._seat, control)
            if self.found is None:
                self.found = await self._in_other_words(control)
        if self.found is None:
            refuse_where_only_cached(control)
            if self._incoming.stream:
                self.tape = Tape(self._running.config.cache.max_entry_bytes)
        elif self._seat is not None and self._seat.leads:
            self._seat.scatter()  # the others have to be told by themselves whether it is an answer for them

    def keep(self, answer: Answer) -> None:
        """The call's answer is whole: it is kept, and given to those who wait for it, if it may be. Never waits."""
        entry = self._entry(answer)
        if entry is not None:
            entry = msgspec.structs.replace(entry, id=self._parts.store.put(entry))
            if entry.id:  # else the store had no room for it
                self._cache.counts.kept(entry.task)
        if self._seat is not None:
            if entry is not None:
                self._seat.land(entry)
            else:
                self._seat.scatter()
        if entry is None or self._miss is None:
            return
        if self._parts.semantic is not None:
            self._parts.semantic.added(entry)
        if self._parts.learning is not None:
            self._parts.learning.answered(self._running, self._chosen, self._incoming, self._miss, entry)

    def released(self) -> None:
        """The answer that was found is settled, and the client's. Never waits."""
        found = self.found
        assert found is not None
        if found.entry.id:
            self._parts.store.touch(found.entry.id, now_ms())
        hit, self._hit = self._hit, None
        if hit is not None and self._parts.learning is not None:
            self._parts.learning.released(self._running, self._chosen, self._incoming, hit, self._draft)

    def take(self, batch: list[SseEvent], *, calls_tools: bool) -> None:
        """Events of the answer on their way to the client. Where it will not be kept, nobody waits for its end."""
        tape = self.tape
        if tape is None:
            return
        tape.take(batch)
        if calls_tools or tape.over:
            self.tape = None
            if self._seat is not None:
                self._seat.scatter()

    def leave(self) -> None:
        """The call has ended, or asks without the cache."""
        if self._seat is not None:
            self._seat.leave()
        hit, self._hit = self._hit, None
        if hit is not None and self._parts.learning is not None:
            self._parts.learning.withdrawn(hit)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave()

    async def _exact(self, control: Control) -> Found | None:
        at_ms = now_ms()
        try:
            entry = await self._parts.store.get(self._keyed.exact, at_ms)
        except StateError as error:
            self._cache.failed("store", "the cache cannot be read: %s", error)
            return None
        if entry is None or not _allowed(entry, control, at_ms):
            return None
        return await self._told(entry, "exact", at_ms)

    async def _from_flight(self, seat: Seat, control: Control) -> Found | None:
        began_s = time.perf_counter()
        entry = await seat.wait()
        self._draft.followed_ms = (time.perf_counter() - began_s) * 1000
        at_ms = now_ms()
        if entry is None or not _allowed(entry, control, at_ms):
            return None
        return await self._told(entry, "flight", at_ms)

    async def _in_other_words(self, control: Control) -> Found | None:
        semantic, rule = self._parts.semantic, self._chosen.policy.cache.semantic
        if semantic is None or rule is None or not self._draft.trainable:
            return None  # what is kept for other wordings is learned from
        if len(self._incoming.data) > limits.ASIDE_BODY_BYTES:
            return None  # a call that is too long to be held until its spot check is made gets none
        at_ms = now_ms()
        try:
            asking = self._asking(semantic, rule)
            if asking is None:
                return None
            said = await semantic.look_up(asking, at_ms, allows=lambda entry: _allowed(entry, control, at_ms))
        except (
            Exception
        ) as fault:  # a boundary: whatever an embedder's or an index's library raises, the call is answered
            known = isinstance(fault, (StateError, TimeoutError))
            self._cache.counts.failed("semantic")
            _log.warning("a semantic look-up failed: %s", fault, exc_info=not known)
            return None
        if isinstance(said, Miss):
            self._miss = said
            return None
        self._hit = said  # written down as one: from here on it is released, or taken back
        return await self._told(said.entry, "semantic", at_ms, hit=said)

    def _asking(self, semantic: SemanticLookUp, rule: SemanticCache) -> Asking | None:
        sha256 = semantic.embedder_sha256(rule)
        router = self._chosen.policy.router
        partition = (
            partition_of(
                self._keyed,
                embedder_sha256=sha256,
                after=router.question_after if router is not None else "",
                before=router.question_before if router is not None else "",
            )
            if sha256
            else None
        )
        if partition is None:
            return None
        return Asking(
            tenant=self._draft.tenant,
            task=self._draft.task,
            policy=self._chosen.policy_hash,
            partition=partition.digest,
            question=partition.question,
            rule=rule,
            call=self._draft.id,
            key=self._keyed.exact,
        )

    async def _told(
        self, entry: Entry, by: CacheResult, at_ms: int, *, hit: Hit | None = None
    ) -> Found | None:
        """The answer as this client reads it; None where it cannot be read, and then it is not kept any longer."""
        if (entry.tenant, entry.task) != (self._draft.tenant, self._draft.task):
            self._cache.failed(
                "store", "the store gave an entry of somebody else's for a key: it is not used"
            )
            return None
        try:
            body = shown(
                entry.answer,
                entry.dialect,
                self._incoming,
                model=self._shown_model(entry.model),
                call_id=self._draft.id,
            )
        except UpstreamBroken as error:
            self._cache.failed("answer", "an answer in the cache cannot be read, and is removed: %s", error)
            await self._evict(entry)
            return None
        age_s = max(0, (at_ms - entry.at_ms) // 1000)
        return Found(by=by, entry=entry, body=body, age_s=age_s, hit=hit)

    async def _evict(self, entry: Entry) -> None:
        try:
            await self._parts.store.evict(Which(call=entry.call))
        except StateError as error:
            self._cache.failed("store", "an entry could not be removed from the cache: %s", error)

    def _shown_model(self, name: str) -> str:
        """The response's `model`: what was asked for, unless the model is configured to show itself."""
        return name if self._running.answerer.catalogue.get(name).show_model else self._incoming.model

    def _entry(self, answer: Answer) -> Entry | None:
        """What is kept of the answer; None where nothing may be."""
        reply, draft = answer.reply, self._draft
        data, text = self._whole(reply)
        most = self._running.config.cache.max_entry_bytes
        if data is None or why_not_kept(
            data, reply.dialect, most_bytes=most, unmet=answer.unmet, outside_bound=draft.outside_bound
        ):
            return None
        if would_redact(self._running.config, draft.task, self._incoming.data, data):
            return None
        at_ms = now_ms()
        rule = self._chosen.policy.cache
        days = kept_days(self._running.config, draft.tenant)
        partition, question, vector = self._miss.kept if self._miss is not None else (b"", "", b"")
        return Entry(
            key=self._keyed.exact,
            tenant=draft.tenant,
            task=draft.task,
            policy=draft.policy,
            release=draft.release,
            call=draft.id,
            model=draft.model,
            rung=draft.rung,
            dialect=reply.dialect,
            answer=data,
            text=text,
            cost_nusd=draft.cost_nusd,
            frontier_nusd=draft.frontier_nusd,
            simulated=answer.model.simulated,
            at_ms=at_ms,
            expires_ms=at_ms + min(round(rule.ttl_s * 1000), days * _MS_PER_DAY),
            partition=partition,
            question=question,
            vector=vector,
        )

    def _whole(self, reply: WholeReply | LiveReply) -> tuple[bytes | None, str]:
        if isinstance(reply, WholeReply):
            return reply.data, reply.text
        if self.tape is None:
            return None, ""
        return self.tape.whole(reply.dialect), "".join(reply.peek.text_parts)


class _Bypass(Looking):
    """The way of a call that the cache has no part in."""

    __slots__ = ()

    def __init__(self) -> None:
        self.found = None
        self.tape = None

    @property
    def keeps(self) -> bool:
        return False

    def keep(self, answer: Answer) -> None:
        return

    def take(self, batch: list[SseEvent], *, calls_tools: bool) -> None:
        return

    def leave(self) -> None:
        return


BYPASS: Looking = _Bypass()


class Tape:
    """The events of a stream that is kept once it is whole, up to a bound."""

    __slots__ = ("_events", "_left", "over")

    def __init__(self, most_bytes: int) -> None:
        self._left = min(most_bytes * _EVENTS_PER_BYTE, limits.MAX_HELD_STREAM_BYTES)
        self._events: list[SseEvent] = []
        self.over = False

    def take(self, batch: list[SseEvent]) -> None:
        self._left -= sum([len(event.raw) for event in batch])
        if self._left < 0:
            self.over = True
            self._events = []
        else:
            self._events += batch

    def whole(self, dialect: Dialect) -> bytes | None:
        return whole_of(self._events, dialect)


def now_ms() -> int:
    return int(time.time() * 1000)


def refuse_where_only_cached(control: Control) -> None:
    if control.only_if_cached:
        raise NotCached("nothing in the cache answers this call, and it says Cache-Control: only-if-cached")


def _allowed(entry: Entry, control: Control, at_ms: int) -> bool:
    """Whether this client takes it. What is younger than nothing was kept by a clock that was wrong, and so is its end: nobody gets it."""
    if entry.at_ms > at_ms + _CLOCKS_DIFFER_MS:
        return False
    return control.allows(age_s=max(0, at_ms - entry.at_ms) / 1000, left_s=(entry.expires_ms - at_ms) / 1000)
