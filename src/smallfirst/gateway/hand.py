"""A call in hand: its client, its clock, its draft; how it is identified, settled and refused, and the boundary that every ending passes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable

from smallfirst.answering.attempt import Clock
from smallfirst.errors import CallError, LedgerUnavailable, Overloaded, UpstreamError
from smallfirst.gateway import headers
from smallfirst.gateway.account import CallAccount
from smallfirst.gateway.aside import Aside
from smallfirst.gateway.bodies import bodies_of
from smallfirst.gateway.cache.bad_hits import BadHits
from smallfirst.gateway.cache.cached import Cache
from smallfirst.gateway.client import Client, ClientGone
from smallfirst.gateway.draft import Draft
from smallfirst.gateway.evidence import Evidence
from smallfirst.gateway.identity import Caller, presented_key
from smallfirst.gateway.metrics import Metrics
from smallfirst.gateway.running import Running
from smallfirst.ledger import Ledger
from smallfirst.ledger.records import CallStatus, Settlement
from smallfirst.wire import errors

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


class CallInHand:
    """One call from its arrival to its settlement, under one configuration."""

    __slots__ = ("client", "clock", "desk", "draft", "running", "settled")

    def __init__(self, desk: Desk, client: Client, *, route: str, dialect: str) -> None:
        self.desk = desk
        self.client = client
        self.clock = Clock()
        self.running = desk.running
        self.draft = Draft(route=route, dialect=dialect, clock=self.clock)
        self.settled = False

    def identify(self) -> Caller:
        """Whose call it is. Raises `BadKey`."""
        found = self.client.headers
        key = presented_key(
            found.get(b"authorization", b""), found.get(b"x-api-key") or found.get(b"api-key") or b""
        )
        caller = self.running.identity.caller(key, self.clock.today)
        self.draft.tenant, self.draft.key = caller.tenant, caller.key
        return caller

    async def body(self) -> bytes:
        return await self.client.body(self.running.config.server.max_body_bytes)

    def account(self, caller: Caller, task: str) -> CallAccount:
        """Who pays for this call's attempts."""
        return CallAccount(
            self.draft,
            limits=self.running.limits(caller, task),
            budgets=self.running.budgets,
            journal=self.desk.ledger.journal,
            history=self.running.history,
            clock=self.clock,
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
        call = self.draft.call(status, http_status=http_status, latency_ms=self.clock.ms(), error=error)
        self.desk.ledger.journal.append_settlement(Settlement(call=call))
        self.settled = True
        self.desk.metrics.settled(call)
        self.desk.evidence.look(self.desk.running, call)

    def settle_cancelled(self) -> None:
        """The client left, or the gateway is stopping."""
        gone = self.client.gone
        self.settle(
            "cancelled" if gone else "cut",
            _CLIENT_CLOSED if gone else 503,
            "client_gone" if gone else "shutdown",
        )

    async def refuse(self, error: CallError) -> None:
        """Tells the client in its own dialect why there is no answer."""
        draft = self.draft
        dialect = "anthropic" if draft.dialect == "anthropic" else "openai"
        status, told, body = errors.render(error, dialect=dialect, request_id=draft.id)
        told += [(b"x-smallfirst-call", draft.id.encode()), *headers.cache_headers(draft)]
        if isinstance(error, UpstreamError) and (model := draft.last_asked):
            told.append((b"x-smallfirst-model", model.encode()))
        await self.client.answer(status, told, body)

    async def guard(self, work: Awaitable[None]) -> None:
        """Does the work; however it ends, the call is settled once and its client is told."""
        desk, client = self.desk, self.client
        desk.in_flight += 1
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
                await self.refuse(Overloaded(_STOPPING, retry_after_s=1))
        except Exception:  # the boundary: a fault of ours ends one call, is logged whole, and tells its client nothing of our insides
            _log.exception("call %s ended by a fault in smallfirst", self.draft.id)
            await self._fail(
                CallError("smallfirst failed on this call; its log has the details under this call's id")
            )
        finally:
            client.unwatch()
            desk.in_flight -= 1

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
            try:
                self.settle("error" if draft.attempts else "refused", error.status, error.code)
            except LedgerUnavailable:
                self.desk.metrics.refused("unrecorded")
        if not self.client.started:
            await self.refuse(error)
