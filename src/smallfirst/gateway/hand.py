"""A call in hand: its client, its clock, its draft; how it is identified, settled and refused, and the boundary that every ending passes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable

from smallfirst.answering.attempt import Clock
from smallfirst.errors import CallError, LedgerUnavailable, Overloaded, RateLimited, Stopped, UpstreamError
from smallfirst.gateway import headers
from smallfirst.gateway.account import CallAccount
from smallfirst.gateway.aside import Aside
from smallfirst.gateway.bodies import bodies_of
from smallfirst.gateway.cache.bad_hits import BadHits
from smallfirst.gateway.cache.cached import Cache
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.client import Client, ClientGone
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.evidence import Evidence
from smallfirst.gateway.identity import Caller, presented_key
from smallfirst.gateway.metrics import Metrics
from smallfirst.gateway.rates.estimate import tokens_of
from smallfirst.gateway.rates.rates import Admission
from smallfirst.gateway.rates.words import UPSTREAMS_OWN, rate_headers
from smallfirst.gateway.running import Running
from smallfirst.gateway.stops import hits
from smallfirst.ledger import Ledger
from smallfirst.ledger.records import CallStatus, Settlement
from smallfirst.stops import Stop
from smallfirst.wire import errors
from smallfirst.wire.incoming import Incoming

_log = logging.getLogger(__name__)
_CLIENT_CLOSED = 499  # nginx's word for it; only the ledger sees it
_STOPPING = "the gateway is stopping; ask again"


class Desk:
    """What all calls share. `running` is swapped whole on a reload, and where another release is to answer."""

    def __init__(
        self, running: Running, ledger: Ledger, metrics: Metrics, evidence: Evidence, cache: Cache
    ) -> None:
        self.running = running
        self.ledger = ledger
        self.metrics = metrics
        self.evidence = evidence
        self.aside = Aside(ledger, metrics, evidence)
        self.cache = cache
        self.bad_hits = BadHits(cache, ledger.queries)
        self.in_flight = 0
        self.calls: set[CallInHand] = set()

    def cut(self, stop: Stop, why: Stopped) -> int:
        """Ends the calls under way that a stop hits, and returns how many they were."""
        found = [call for call in self.calls if hits(stop, call.draft)]
        for call in found:
            call.client.cut(why)
        return len(found) + self.aside.books.cut(stop)


class CallInHand:
    """One call from its arrival to its settlement, under one configuration."""

    __slots__ = ("admission", "client", "clock", "desk", "draft", "running", "settled")

    def __init__(self, desk: Desk, client: Client, *, route: str, dialect: str) -> None:
        self.desk = desk
        self.client = client
        self.clock = Clock()
        self.running = desk.running
        self.draft = Draft(route=route, dialect=dialect, clock=self.clock)
        self.settled = False
        self.admission: Admission | None = None  # None: nothing limits how fast it may come

    def identify(self) -> Caller:
        """Whose call it is. Raises `BadKey`, and `Stopped` where they may not call now."""
        found = self.client.headers
        key = presented_key(
            found.get(b"authorization", b""), found.get(b"x-api-key") or found.get(b"api-key") or b""
        )
        caller = self.running.identity.caller(key, self.clock.today)
        self.draft.tenant, self.draft.key = caller.tenant, caller.key
        self.running.stops.check(self.draft)
        return caller

    def check_stopped(self, chosen: Chosen) -> None:
        """Raises `Stopped` where the call's task is stopped, or the model that it asks by its name."""
        by_name = chosen.fixed is not None
        self.running.stops.check(self.draft, chosen.policy.ladder[-1].model if by_name else "")

    async def body(self) -> bytes:
        return await self.client.body(self.running.config.server.max_body_bytes)

    def limited(self, caller: Caller, task: str) -> Admission | None:
        """The call before its rate limits; None where it has none."""
        limits = self.running.rate_limits.of(caller.rates, task)
        self.admission = self.running.rates.admission(limits) if limits else None
        return self.admission

    async def let_in(self, caller: Caller, task: str) -> None:
        """Past its rate limits, where it has any. Raises `RateLimited`."""
        if (admission := self.limited(caller, task)) is not None:
            await admission.enter()

    async def take_tokens(self, incoming: Incoming, chosen: Chosen) -> None:
        """Sets aside what it may read and write, as its last rung counts, where tokens are limited. Raises `RateLimited`."""
        admission, running = self.admission, self.running
        if admission is None or not admission.counts_tokens:
            return
        rung = chosen.policy.ladder[-1]
        meter = running.answerer.catalogue.get(rung.model).meter
        tokens = tokens_of(incoming, rung, chosen.policy.task, meter=meter, history=running.history)
        await admission.take_tokens(*tokens)

    def with_limits(self, told: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """The response's headers with where the caller's rate limits stand, in place of what an upstream said of its own."""
        if self.admission is None:
            return told
        kept = [header for header in told if not header[0].startswith(UPSTREAMS_OWN)]
        dialect = "anthropic" if self.draft.dialect == "anthropic" else "openai"
        return kept + rate_headers(self.admission.standings(), dialect, now_s=time.time())

    def account(self, caller: Caller, task: str) -> CallAccount:
        """Who pays for this call's attempts."""
        return CallAccount(
            self.draft,
            limits=self.running.limits(caller, task),
            budgets=self.running.budgets,
            journal=self.desk.ledger.journal,
            history=self.running.history,
            stops=self.running.stops,
        )

    def keep_bodies(self, request: bytes, answer: bytes) -> None:
        """Keeps what was asked and answered, where the call's task says so."""
        bodies = bodies_of(self.running.config, self.draft, request, answer)
        if bodies is not None:
            self.desk.ledger.journal.append(bodies)

    def settle(self, status: CallStatus, http_status: int, error: str = "") -> None:
        """Writes the call's one settlement, before its last byte goes out."""
        if self.settled:
            return
        if self.admission is not None:
            self.admission.settle(*self.draft.used_tokens)
        call = self.draft.call(status, http_status=http_status, latency_ms=self.clock.ms(), error=error)
        self.desk.ledger.journal.append_settlement(Settlement(call=call))
        self.settled = True
        self.desk.metrics.settled(call)
        self.desk.evidence.look(self.desk.running, call)

    def settle_cancelled(self) -> None:
        """The client left, an operator has stopped the call, or the gateway is stopping."""
        gone, cut_by = self.client.gone, self.client.cut_by
        if gone:
            self.settle("cancelled", _CLIENT_CLOSED, "client_gone")
        elif cut_by is not None:
            self.settle("cut", cut_by.status, cut_by.code)
        else:
            self.settle("cut", 503, "shutdown")

    async def refuse(self, error: CallError) -> None:
        """Tells the client in its own dialect why there is no answer."""
        draft = self.draft
        dialect = "anthropic" if draft.dialect == "anthropic" else "openai"
        status, told, body = errors.render(error, dialect=dialect, request_id=draft.id)
        told += [(b"x-smallfirst-call", draft.id.encode()), *headers.cache_headers(draft)]
        if isinstance(error, UpstreamError) and (model := draft.last_asked):
            told.append((b"x-smallfirst-model", model.encode()))
        await self.client.answer(status, self.with_limits(told), body)

    async def guard(self, work: Awaitable[None]) -> None:
        """Does the work; however it ends, the call is settled once and its client is told."""
        desk, client = self.desk, self.client
        desk.in_flight += 1
        desk.calls.add(self)
        client.begin()
        try:
            await work
        except CallError as error:
            await self._fail(error)
        except ClientGone:
            pass  # before its body was complete: there is no call
        except asyncio.CancelledError:
            client.uncancel()
            self.settle_cancelled()
            if not client.gone and not client.started:
                await self.refuse(client.cut_by or Overloaded(_STOPPING, retry_after_s=1))
        except Exception:  # the boundary: a fault of ours ends one call, is logged whole, and tells its client nothing of our insides
            _log.exception("call %s ended by a fault in smallfirst", self.draft.id)
            await self._fail(
                CallError("smallfirst failed on this call; its log has the details under this call's id")
            )
        finally:
            client.unwatch()
            desk.in_flight -= 1
            desk.calls.discard(self)
            if self.admission is not None:
                self.admission.leave()

    def admit(self) -> None:
        """Raises `Overloaded` where more calls are in flight than may be."""
        if self.desk.in_flight > self.running.config.server.max_calls_in_flight:
            raise Overloaded(
                "more calls are in flight than server.max_calls_in_flight allows; ask again", retry_after_s=1
            )

    async def _fail(self, error: CallError) -> None:
        draft = self.draft
        if not draft.tenant:  # nobody's: a bad key is counted, not kept
            self.desk.metrics.refused(error.code)
        else:
            draft.overhead_ms = max(0.0, self.clock.ms() - draft.waited_ms())
            if isinstance(error, RateLimited):
                draft.decision["rate_limit"] = error.message
                self.desk.metrics.rate_limited(error.scope_kind, error.counted)
            try:
                self.settle("error" if draft.attempts else "refused", error.status, error.code)
            except LedgerUnavailable:
                self.desk.metrics.refused("unrecorded")
        if not self.client.started:
            await self.refuse(error)
