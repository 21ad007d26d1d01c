"""A policy answering one request: ask the cheapest rung that may, check, climb. Used by the gateway and by evaluation alike.

Retries are made here and nowhere else, before the first byte only: on the last rung, within the model's own number and the shared retry
budget. A lower rung that fails is not asked again; the call climbs.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Iterator

import msgspec

from smallfirst import limits
from smallfirst.answering.account import Account
from smallfirst.answering.attempt import Attempting, Clock, Planner
from smallfirst.answering.check import Check, compile_check
from smallfirst.answering.constrain import constraint
from smallfirst.answering.decide import Decision
from smallfirst.contracts import TextContract
from smallfirst.errors import (
    Untranslatable,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
    UpstreamUnreachable,
)
from smallfirst.models import Catalogue
from smallfirst.models.endpoints import Endpoint, RetryBudget
from smallfirst.models.model import Model, Prices
from smallfirst.models.reply import LiveReply, WholeReply, ask_stream, ask_whole
from smallfirst.models.transport import Transport
from smallfirst.releases.policy import Policy, RungPolicy
from smallfirst.wire.incoming import Changes, Incoming
from smallfirst.wire.sse import SseEvent

_RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})
_SICK_STATUS = frozenset({408, 500, 502, 503, 504, 529})


class Answer(msgspec.Struct, frozen=True):
    """What is released: a whole reply, or a stream. `unmet` is what the contract finds wrong with a frontier answer that is released all the same."""

    attempting: Attempting
    reply: WholeReply | LiveReply
    held: tuple[SseEvent, ...] | None = None
    unmet: str = ""

    @property
    def model(self) -> Model:
        return self.attempting.model


class Answerer:
    """Everything that answering shares between calls."""

    def __init__(self, *, catalogue: Catalogue, transport: Transport, prices: Prices) -> None:
        self.catalogue = catalogue
        self.transport = transport
        self.prices = prices
        self.retries = RetryBudget()

    async def answer(
        self,
        incoming: Incoming,
        policy: Policy,
        decision: Decision,
        *,
        account: Account,
        clock: Clock,
        keep_text: bool = False,
    ) -> Answer:
        """The first answer, from the cheapest rung up, that keeps the policy's contract; else the last rung's.

        Raises `UpstreamError` when the last rung fails, `BudgetExceeded` when a rung cannot be paid for, `Untranslatable` when the last
        rung cannot be asked this. `keep_text`: a stream's text is wanted also where no check reads it.
        """
        climb = _Climb(self, incoming, policy, account=account, clock=clock, keep_text=keep_text)
        self.retries.deposit()
        asked = decision.asked
        for index in asked[:-1]:
            try:
                answer = await climb.ask(index)
            except (UpstreamError, Untranslatable):
                continue  # recorded by its attempt; the next rung is the answer to it
            if not answer.unmet:
                return answer
        return await climb.ask(asked[-1])


class _Climb:
    """One call on its way up."""

    __slots__ = (
        "_account",
        "_answerer",
        "_check",
        "_first",
        "_incoming",
        "_keep_text",
        "_planner",
        "_policy",
    )

    def __init__(
        self,
        answerer: Answerer,
        incoming: Incoming,
        policy: Policy,
        *,
        account: Account,
        clock: Clock,
        keep_text: bool,
    ) -> None:
        self._keep_text = keep_text
        self._answerer = answerer
        self._incoming = incoming
        self._policy = policy
        self._account = account
        self._check: Check | None = None
        if (
            not isinstance(policy.contract, TextContract)
            or policy.contract.max_chars is not None
            or len(policy.ladder) > 1
        ):
            self._check = compile_check(policy.contract)
        self._planner = Planner(
            incoming, task=policy.task, account=account, prices=answerer.prices, clock=clock
        )
        self._first = True

    async def ask(self, index: int) -> Answer:
        """The rung's answer; retried only where the rung is the last."""
        rung = self._policy.ladder[index]
        last = index == len(self._policy.ladder) - 1
        model = self._answerer.catalogue.get(rung.model)
        endpoint: Endpoint | None = None
        tries = model.max_attempts if last else 1
        for number in range(1, tries + 1):
            endpoint = model.endpoints.choose(besides=endpoint)
            kind = "retry" if number > 1 else "first" if self._first else "climb"
            self._first = False
            attempting = self._planner.begin(kind, index, rung, model=model, endpoint=endpoint, frontier=last)
            try:
                return await self._once(attempting, rung, last=last)
            except UpstreamError as error:
                wait_s = _wait_s(error, number)
                if number == tries or wait_s is None or not self._answerer.retries.withdraw():
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("a rung is asked at least once")

    async def _once(self, attempting: Attempting, rung: RungPolicy, *, last: bool) -> Answer:
        with _settling(attempting):
            if rung.timeout_s is None:
                return await self._exchange(attempting, rung, last=last)
            try:
                async with asyncio.timeout(rung.timeout_s):
                    return await self._exchange(attempting, rung, last=last)
            except TimeoutError as error:
                raise UpstreamTimeout(f"no answer within this rung's {rung.timeout_s:g} s") from error

    async def _exchange(self, attempting: Attempting, rung: RungPolicy, *, last: bool) -> Answer:
        model, incoming = attempting.model, self._incoming
        outgoing = model.outgoing(incoming, attempting.endpoint, self._changes(rung, model))
        transport = self._answerer.transport
        if not incoming.stream:
            whole = await ask_whole(
                transport, outgoing, timeouts=model.timeouts, dialect=model.dialect, route=incoming.route
            )
            attempting.first_byte()
            return self._judge_whole(attempting, whole, last=last)
        held = self._check is not None and not isinstance(self._policy.contract, TextContract)
        live = await ask_stream(
            transport,
            outgoing,
            timeouts=model.timeouts,
            dialect=model.dialect,
            keep_text=held or self._keep_text,
        )
        attempting.first_byte()
        if not held:
            return Answer(attempting, live)
        try:
            return await self._judge_held(attempting, live, last=last)
        except BaseException:
            live.close()
            raise

    def _changes(self, rung: RungPolicy, model: Model) -> Changes:
        incoming, policy = self._incoming, self._policy
        instructions = rung.instructions
        if instructions is None and policy.instructions is not None and not incoming.has_system:
            instructions = policy.instructions
        fields = constraint(policy.contract, model.engine) if rung.constrained and model.owned else {}
        return Changes(
            model=model.upstream_id,
            include_usage=incoming.stream and model.stream_usage,
            instructions=instructions,
            max_tokens=rung.max_tokens,
            temperature=rung.temperature,
            fields=fields,
            owned_engine=model.owned,
        )

    def _judge_whole(self, attempting: Attempting, whole: WholeReply, *, last: bool) -> Answer:
        unmet = "" if self._check is None or whole.calls_tools else self._check(whole.text)
        peek = whole.peek
        attempting.answered(
            "unmet" if unmet else "ok",
            usage=peek.usage,
            answer_chars=len(peek.text),
            stop=peek.stop or "",
            reason=unmet,
            upstream_id=peek.id,
            upstream_model=peek.model,
        )
        return Answer(attempting, whole, unmet=unmet)

    async def _judge_held(self, attempting: Attempting, live: LiveReply, *, last: bool) -> Answer:
        events: list[SseEvent] = []
        size = 0
        async for batch in live.events():
            events += batch
            size += sum(len(event.raw) for event in batch)
            if size > limits.MAX_HELD_STREAM_BYTES:
                raise UpstreamBroken(
                    f"an answer that must be checked has more than {limits.MAX_HELD_STREAM_BYTES} bytes"
                )
        peek = live.peek
        text = "".join(peek.text_parts)
        assert self._check is not None
        unmet = "" if peek.tool_calls else self._check(text)
        attempting.answered(
            "unmet" if unmet else "ok",
            usage=peek.usage,
            answer_chars=peek.chars,
            stop=peek.stop or "",
            reason=unmet,
            upstream_id=peek.id,
            upstream_model=peek.model,
        )
        return Answer(attempting, live, held=tuple(events), unmet=unmet)


@contextlib.contextmanager
def _settling(attempting: Attempting) -> Iterator[None]:
    """Settles the attempt by the way in which it failed; one that answered is settled by who judged it, a stream by who relays it."""
    try:
        yield
    except UpstreamRefused as error:
        healthy = error.status not in _SICK_STATUS
        attempting.failed("error", reason=str(error), http_status=error.status, healthy=healthy)
        raise
    except UpstreamUnreachable as error:
        attempting.failed(error.kind, reason=str(error))
        raise
    except UpstreamTimeout as error:
        attempting.broke_off("timeout", answer_chars=None, reason=str(error))
        raise
    except UpstreamError as error:
        attempting.broke_off("broken", answer_chars=None, reason=str(error))
        raise
    except Untranslatable as error:
        attempting.failed("error", reason=str(error), healthy=None)
        raise
    except asyncio.CancelledError:
        attempting.broke_off("cancelled", answer_chars=None)
        raise
    except BaseException as fault:
        attempting.broke_off("error", answer_chars=None, reason=f"a fault of ours ({type(fault).__name__})")
        raise


def _wait_s(error: UpstreamError, number: int) -> float | None:
    """How long to wait before the next try; None if it should not be tried again.

    A time-out is not retried: it has cost the client its patience already, and the provider may be generating still.
    """
    if isinstance(error, UpstreamTimeout):
        return None
    if isinstance(error, UpstreamRefused) and error.status not in _RETRIED_STATUS:
        return None
    if error.retry_after_s is not None:
        return error.retry_after_s if error.retry_after_s <= limits.RETRY_BACKOFF_MAX_S else None
    most = min(limits.RETRY_BACKOFF_MAX_S, limits.RETRY_BACKOFF_BASE_S * 2 ** (number - 1))
    return random.uniform(most / 2, most)  # noqa: S311 (jitter is not a secret)
