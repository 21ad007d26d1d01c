"""A policy answering one request: ask the cheapest rung that may, check, climb. Used by the gateway and by evaluation alike.

Retries are made here and nowhere else, before the first byte only: on the last rung, within the model's own number and the shared retry
budget. A lower rung that fails is not asked again; the call climbs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

import msgspec

from smallfirst import limits
from smallfirst.answering.account import Account
from smallfirst.answering.asked import instructions_for
from smallfirst.answering.attempt import Attempting, Clock, Planner, settling
from smallfirst.answering.check import Check, compile_check
from smallfirst.answering.constrain import constraint
from smallfirst.answering.decide import Decision, router_failed, why_not
from smallfirst.answering.retry import retry_after_s
from smallfirst.answering.shots import Finder
from smallfirst.classify.example_index import ExampleIndex
from smallfirst.contracts import TextContract
from smallfirst.errors import (
    BudgetExceeded,
    Stopped,
    Untranslatable,
    UpstreamBroken,
    UpstreamError,
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


class Rejected(msgspec.Struct, frozen=True):
    """What a rung answered that was not released, and why."""

    rung: int
    text: str
    reason: str
    doubted: bool  # else it did not keep the contract


class Answer(msgspec.Struct, frozen=True):
    """What is released: a whole reply, or a stream. `unmet` is what the contract finds wrong with a frontier answer that is released all the same,
    `rejected` what was answered below it. `at_limit`: which budget left it to the small rungs alone, outside the quality bound.
    """

    attempting: Attempting
    reply: WholeReply | LiveReply
    held: tuple[SseEvent, ...] | None = None
    unmet: str = ""
    rejected: tuple[Rejected, ...] = ()
    at_limit: str = ""

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
        rung cannot be asked this, `Stopped`. `keep_text`: a stream's text is wanted also where no check reads it. A budget may leave a call to
        the small rungs: then the first answer of theirs that keeps the contract is released, in doubt or not, and without one the budget refuses.
        """
        climb = _Climb(self, incoming, policy, decision, account=account, clock=clock, keep_text=keep_text)
        self.retries.deposit()
        try:
            return climb.released(await climb.up(decision.asked))
        except BudgetExceeded as refusal:
            if not refusal.leaves_small:
                raise
            return climb.released(await climb.stay_small(refusal))


class _Climb:
    """One call on its way up."""

    __slots__ = (
        "_account",
        "_answerer",
        "_asked",
        "_below",
        "_check",
        "_decision",
        "_doubted",
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
        self._asked: set[int] = set()
        self._doubted: Answer | None = None  # the last that keeps the contract, but is not sure enough
        self._rejected: list[Rejected] = []

    def released(self, answer: Answer) -> Answer:
        """The answer, with what was rejected before it."""
        below = tuple(each for each in self._rejected if each.rung != answer.attempting.plan.rung)
        return msgspec.structs.replace(answer, rejected=below) if below else answer

    async def up(self, asked: Sequence[int]) -> Answer:
        """The first of these rungs' answers that will do, else the last one's."""
        for index in asked[:-1]:
            answer = await self._tried(index)
            if answer is not None and not answer.unmet:
                return answer
        return await self._ask(asked[-1])

    async def stay_small(self, refusal: BudgetExceeded) -> Answer:
        """The answer of the small rungs, where a budget lets no more be spent: the first that will do, of those that were passed over too, else one
        in doubt. Raises the refusal where none keeps the contract, or none can be asked.
        """
        why = refusal
        for index in range(len(self._policy.ladder) - 1):
            if index in self._asked or self._cannot(index):
                continue
            try:
                answer = await self._tried(index)
            except BudgetExceeded as refused:
                why = why if refused.leaves_small else refused
                continue
            if answer is not None and not answer.unmet:
                return msgspec.structs.replace(answer, at_limit=refusal.budget)
        if self._doubted is None:
            raise why
        return msgspec.structs.replace(self._doubted, unmet="", at_limit=refusal.budget)

    def _cannot(self, index: int) -> bool:
        """Whether a rung that was passed over could not do the call either."""
        rung = self._policy.ladder[index]
        unshown = rung.retrieve is not None and index not in self._decision.shots
        return unshown or bool(
            why_not(rung, self._answerer.catalogue.get(rung.model), self._incoming, begun=True)
        )

    async def _tried(self, index: int) -> Answer | None:
        """A small rung's answer; None where it failed: its attempt says how, and the next rung is the answer to it."""
        try:
            answer = await self._ask(index)
        except (UpstreamError, Untranslatable):
            return None
        except Stopped as stop:
            if not stop.is_model:
                raise
            return None
        record = answer.attempting.record
        if record is not None and record.status == "doubted":
            self._doubted = answer
        return answer

    async def _ask(self, index: int) -> Answer:
        """The rung's answer; retried only where the rung is the last."""
        self._asked.add(index)
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
                wait_s = retry_after_s(error, number)
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
            unmet = self._judge(attempting, whole, whole.text, looks=looks)
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
        attempting.seen = live.peek
        try:
            events = await _whole_stream(live)
        except BaseException:
            live.close()
            raise
        unmet = self._judge(attempting, live, "".join(live.peek.text_parts), looks=looks)
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

    def _judge(self, attempting: Attempting, reply: WholeReply | LiveReply, text: str, *, looks: bool) -> str:
        """What is wrong with an answer that is complete, by its contract or by a second look; empty if nothing is. Settles the attempt."""
        peek = reply.peek
        calls_tools = bool(peek.tool_calls)
        unmet = "" if self._check is None or calls_tools else self._check(text)
        status = "unmet" if unmet else "ok"
        if looks and not unmet and not calls_tools:
            unmet = self._doubt(attempting.plan.rung, peek, text)
            status = "doubted" if unmet else "ok"
        attempting.answered(
            status,
            usage=peek.whole_usage if isinstance(peek, StreamPeek) else peek.usage,
            answer_chars=peek.chars if isinstance(peek, StreamPeek) else len(text),
            stop=peek.stop or "",
            reason=unmet,
            upstream_id=reply.upstream_id,
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
