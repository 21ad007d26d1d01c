"""A policy answering one request: ask the cheapest rung that may, check, climb. Used by the gateway and by evaluation alike.

Retries are made here and nowhere else, before the first byte only: on the last rung, within the model's own number and the shared retry
budget. A lower rung that fails is not asked again; the call climbs.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping

import msgspec

from smallfirst import limits
from smallfirst.answering.account import Account
from smallfirst.answering.asked import instructions_for
from smallfirst.answering.attempt import Attempting, Clock, Planner, settling
from smallfirst.answering.check import Check, compile_check
from smallfirst.answering.constrain import constraint
from smallfirst.answering.decide import Decision, router_failed
from smallfirst.answering.shots import Finder
from smallfirst.classify.example_index import ExampleIndex
from smallfirst.contracts import TextContract
from smallfirst.errors import (
    Untranslatable,
    UpstreamBroken,
    UpstreamError,
    UpstreamRefused,
    UpstreamTimeout,
)
from smallfirst.models import Catalogue
from smallfirst.models.endpoints import Endpoint, RetryBudget
from smallfirst.models.model import Model, Prices
from smallfirst.models.reply import LiveReply, WholeReply, ask_stream, ask_whole
from smallfirst.models.transport import Transport
from smallfirst.releases.policy import Policy, RungPolicy
from smallfirst.routing.judgement import Signals
from smallfirst.routing.second_look import same_answer
from smallfirst.wire import anthropic_messages, openai_chat, sse
from smallfirst.wire.incoming import Changes, Incoming
from smallfirst.wire.sse import SseEvent

StreamPeek = openai_chat.StreamPeek | anthropic_messages.StreamPeek
AnyPeek = openai_chat.Peek | StreamPeek

_RETRIED_STATUS = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class Rejected(msgspec.Struct, frozen=True):
    """What a rung answered that was not released, and why."""

    rung: int
    text: str
    reason: str
    doubted: bool  # else it did not keep the contract


class Answer(msgspec.Struct, frozen=True):
    """What is released: a whole reply, or a stream. `unmet` is what the contract finds wrong with a frontier answer that is released all the same,
    `rejected` what was answered below it.
    """

    attempting: Attempting
    reply: WholeReply | LiveReply
    held: tuple[SseEvent, ...] | None = None
    unmet: str = ""
    rejected: tuple[Rejected, ...] = ()

    @property
    def model(self) -> Model:
        return self.attempting.model


class Answerer:
    """Everything that answering shares between calls."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        transport: Transport,
        prices: Prices,
        indexes: Mapping[str, ExampleIndex] = {},
    ) -> None:
        """`indexes`: the examples that rungs show, by hash."""
        self.catalogue = catalogue
        self.transport = transport
        self.prices = prices
        self.indexes = indexes
        self.retries = RetryBudget()

    def finder(self, tenant: str, *, leave_out: str = "") -> Finder:
        """What looks examples up for a call of this tenant. `leave_out`: the example that the call is, where it is one."""
        return Finder(self.indexes, tenant, leave_out=leave_out)

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
        """The first answer, from the cheapest rung up, that keeps the policy's contract and, where the policy looks again, is sure enough; else
        the last rung's.

        Raises `UpstreamError` when the last rung fails, `BudgetExceeded` when a rung cannot be paid for, `Untranslatable` when the last
        rung cannot be asked this. `keep_text`: a stream's text is wanted also where no check reads it.
        """
        climb = _Climb(self, incoming, policy, decision, account=account, clock=clock, keep_text=keep_text)
        self.retries.deposit()
        asked = decision.asked
        for index in asked[:-1]:
            try:
                answer = await climb.ask(index)
            except (UpstreamError, Untranslatable):
                continue  # recorded by its attempt; the next rung is the answer to it
            if not answer.unmet:
                return climb.released(answer)
        return climb.released(await climb.ask(asked[-1]))


class _Climb:
    """One call on its way up."""

    __slots__ = (
        "_account",
        "_answerer",
        "_below",
        "_check",
        "_decision",
        "_first",
        "_incoming",
        "_keep_text",
        "_planner",
        "_policy",
        "_rejected",
    )

    def __init__(
        self,
        answerer: Answerer,
        incoming: Incoming,
        policy: Policy,
        decision: Decision,
        *,
        account: Account,
        clock: Clock,
        keep_text: bool,
    ) -> None:
        self._keep_text = keep_text
        self._decision = decision
        self._below: tuple[int, str] | None = None  # the rung that answered last, and what
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
            incoming,
            task=policy.task,
            account=account,
            prices=answerer.prices,
            clock=clock,
            shots=decision.shots,
        )
        self._first = True
        self._rejected: list[Rejected] = []

    def released(self, answer: Answer) -> Answer:
        """The answer, with what was rejected before it."""
        below = tuple(each for each in self._rejected if each.rung != answer.attempting.plan.rung)
        return msgspec.structs.replace(answer, rejected=below) if below else answer

    async def ask(self, index: int) -> Answer:
        """The rung's answer; retried only where the rung is the last."""
        rung = self._policy.ladder[index]
        last = index == len(self._policy.ladder) - 1
        model = self._answerer.catalogue.get(rung.model)
        endpoint: Endpoint | None = None
        tries = model.max_attempts if last else 1
        for number in range(1, tries + 1):
            endpoint = model.reached(rung).choose(besides=endpoint)
            kind = "retry" if number > 1 else "first" if self._first else "climb"
            self._first = False
            attempting = self._planner.begin(
                kind, index, rung, model=model, endpoint=endpoint, frontier=last and self._decision.frontier
            )
            try:
                return await self._once(attempting, rung, last=last)
            except UpstreamError as error:
                wait_s = _wait_s(error, number)
                if number == tries or wait_s is None or not self._answerer.retries.withdraw():
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("a rung is asked at least once")

    async def _once(self, attempting: Attempting, rung: RungPolicy, *, last: bool) -> Answer:
        with settling(attempting):
            if rung.timeout_s is None:
                return await self._exchange(attempting, rung, last=last)
            try:
                async with asyncio.timeout(rung.timeout_s):
                    return await self._exchange(attempting, rung, last=last)
            except TimeoutError as error:
                raise UpstreamTimeout(f"no answer within this rung's {rung.timeout_s:g} s") from error

    async def _exchange(self, attempting: Attempting, rung: RungPolicy, *, last: bool) -> Answer:
        model, incoming = attempting.model, self._incoming
        looks = not last and self._looks_again(attempting.plan.rung)
        logprobs = looks and model.gives_logprobs and not incoming.wants_logprobs
        outgoing = model.outgoing(
            incoming, attempting.endpoint, self._changes(rung, attempting, logprobs=logprobs)
        )
        transport = model.transport or self._answerer.transport
        if not incoming.stream:
            whole = await ask_whole(
                transport, outgoing, timeouts=model.timeouts, dialect=model.dialect, route=incoming.route
            )
            attempting.first_byte()
            unmet = self._judge(attempting, whole.peek, whole.text, looks=looks)
            return Answer(attempting, whole.without_logprobs() if logprobs else whole, unmet=unmet)
        held = looks or (self._check is not None and not isinstance(self._policy.contract, TextContract))
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
            events = await _whole_stream(live)
        except BaseException:
            live.close()
            raise
        unmet = self._judge(attempting, live.peek, "".join(live.peek.text_parts), looks=looks)
        if logprobs:
            events = [sse.replaced(event, openai_chat.without_logprobs(event.data)) for event in events]
        return Answer(attempting, live, held=tuple(events), unmet=unmet)

    def _looks_again(self, index: int) -> bool:
        """Whether this rung's answer is judged by the router before it is released."""
        router = self._policy.router
        return (
            self._decision.router is not None
            and router is not None
            and self._policy.router_verifies
            and router.thresholds.looks_again(index)
        )

    def _changes(self, rung: RungPolicy, attempting: Attempting, *, logprobs: bool) -> Changes:
        incoming, policy, model = self._incoming, self._policy, attempting.model
        shots = self._decision.shots.get(attempting.plan.rung)
        fields = constraint(policy.contract, model.engine) if rung.constrained and model.owned else {}
        if logprobs:
            fields = fields | {"logprobs": True}
        return Changes(
            model=model.asked_as(rung),
            include_usage=incoming.stream and model.stream_usage,
            instructions=instructions_for(rung.instructions, policy.instructions, incoming),
            shots=shots.turns if shots is not None else (),
            max_tokens=rung.max_tokens,
            temperature=rung.temperature,
            fields=fields,
            owned_engine=model.owned,
        )

    def _judge(self, attempting: Attempting, peek: AnyPeek, text: str, *, looks: bool) -> str:
        """What is wrong with an answer that is complete, by its contract or by a second look; empty if nothing is. Settles the attempt."""
        calls_tools = bool(peek.tool_calls)
        unmet = "" if self._check is None or calls_tools else self._check(text)
        status = "unmet" if unmet else "ok"
        if looks and not unmet and not calls_tools:
            unmet = self._doubt(attempting.plan.rung, peek, text)
            status = "doubted" if unmet else "ok"
        attempting.answered(
            status,
            usage=peek.usage,
            answer_chars=peek.chars if isinstance(peek, StreamPeek) else len(text),
            stop=peek.stop or "",
            reason=unmet,
            upstream_id=peek.id,
            upstream_model=peek.model,
            system_fingerprint=peek.fingerprint,
        )
        if unmet:
            self._rejected.append(Rejected(attempting.plan.rung, text, unmet, status == "doubted"))
        self._below = None if status == "unmet" or calls_tools else (attempting.plan.rung, text)
        return unmet

    def _doubt(self, index: int, peek: AnyPeek, text: str) -> str:
        """Why an answer that keeps its contract is not sure enough to be released; empty if it is."""
        decision, policy = self._decision, self._policy.router
        assert decision.router is not None
        assert decision.judgement is not None
        assert policy is not None
        below = self._below[1] if self._below is not None and self._below[0] == index - 1 else None
        signals = Signals(
            confidence=peek.confidence,
            chars=len(text),
            truncated=peek.stop in ("length", "max_tokens"),
            refused=peek.refused,
            agrees=None if below is None else same_answer(text, below),
        )
        try:
            sure = decision.router.second_look(index, decision.judgement, signals)
        except Exception as fault:  # a boundary: a router's fault is a reason to climb, not to fail
            return router_failed(decision.router, fault)
        accept = policy.thresholds.accept[index]
        return "" if sure >= accept else f"adequate with probability {sure:.3f}, less than {accept:.3f}"


async def _whole_stream(live: LiveReply) -> list[SseEvent]:
    """All events of a stream that is held back until it is judged."""
    events: list[SseEvent] = []
    size = 0
    async for batch in live.events():
        events += batch
        size += sum(len(event.raw) for event in batch)
        if size > limits.MAX_HELD_STREAM_BYTES:
            raise UpstreamBroken(
                f"an answer that must be checked has more than {limits.MAX_HELD_STREAM_BYTES} bytes"
            )
    return events


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
