"""One example put to one arm, through `answering/`: the same decision, climb and check that a client's call goes through."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.answering.asker import Asker
from smallfirst.answering.attempt import Clock
from smallfirst.answering.check import Check
from smallfirst.answering.climb import Answer, Answerer
from smallfirst.answering.decide import Decision, decide
from smallfirst.answering.shots import NO_FINDER, Finder, tokens_at_most
from smallfirst.contracts import Contract, TextContract
from smallfirst.datasets.example import Example
from smallfirst.errors import CallError, UpstreamError
from smallfirst.evals.arm import Arm
from smallfirst.evals.till import TillPurse
from smallfirst.models.reply import LiveReply, WholeReply
from smallfirst.routing.judgement import Router
from smallfirst.wire.incoming import Incoming

_ROUTER_TOKENS = 64  # of a router's question, beside the text: the answer is one token


class Told(msgspec.Struct, kw_only=True):
    """What came of a question, before it is scored."""

    output: str = ""
    unmet: str = ""
    model: str = ""
    rung: int = -1
    latency_ms: float = 0.0
    ttft_ms: float | None = None
    tool_calls: int = 0
    confidence: float | None = None
    truncated: bool = False
    refused: bool = False
    decision: dict[str, Any] = {}
    error: CallError | None = None


def request_of(example: Example, arm: Arm, contract: Contract, answerer: Answerer) -> Incoming:
    """The example as a client sends it. Text is streamed, so that its first token is timed; engines of one's own tell how sure they are.

    Raises `BadRequest` where the example's messages are none.
    """
    body: dict[str, Any] = {"model": f"task/{arm.policy.task}", "messages": example.messages}
    if example.tools:
        body["tools"] = example.tools
    if isinstance(contract, TextContract):
        body["stream"] = True
    ladder = [answerer.catalogue.get(rung.model) for rung in arm.policy.ladder]
    if arm.seed is not None and all(model.dialect == "openai" for model in ladder):
        body["seed"] = arm.seed
    if len(ladder) == 1 and ladder[0].gives_logprobs:
        body["logprobs"] = True
    return Incoming("chat", msgspec.json.encode(body))


def at_most_nusd(incoming: Incoming, arm: Arm, answerer: Answerer, purse: TillPurse) -> int | None:
    """The most that asking may cost: every rung once, and the router's question; None where a price is unknown."""
    clock = Clock()
    total = 0
    for rung in arm.policy.ladder:
        model = answerer.catalogue.get(rung.model)
        price = model.price(answerer.prices, clock.today)
        if price is None:
            return None
        output = rung.max_tokens or purse.output_tokens(arm.policy.task, model.name)
        told = rung.instructions or arm.policy.instructions or ""
        shown = tokens_at_most(rung.retrieve) if rung.retrieve is not None else 0
        total += price.worst_case_nusd(incoming.prompt_tokens_at_most + len(told.encode()) + shown, output)
    asked = arm.policy.router.asked if arm.policy.router is not None else None
    if asked is not None:
        price = answerer.catalogue.get(asked.model).price(answerer.prices, clock.today)
        if price is None:
            return None
        question = incoming.prompt_tokens_at_most + len(asked.question.encode()) + _ROUTER_TOKENS
        total += price.worst_case_nusd(question, _ROUTER_TOKENS)
    return total


async def ask(
    incoming: Incoming,
    arm: Arm,
    *,
    answerer: Answerer,
    router: Router | None,
    check: Check,
    purse: TillPurse,
    finder: Finder = NO_FINDER,
) -> Told:
    """The arm's answer; `finder` looks up the examples that it shows.

    An upstream that fails, and a request that cannot be said, are told in `error`; `BudgetExceeded` is raised.
    """
    clock = Clock()
    told = Told()
    try:
        asker = _asker(arm, answerer, router, purse, clock)
        decision = await _decide(incoming, arm, answerer, router=router, asker=asker, finder=finder)
        told.decision = decision.record() if len(decision.steps) > 1 or decision.shows else {}
        answer = await answerer.answer(
            incoming, arm.policy, decision, account=purse, clock=clock, keep_text=True
        )
        told.ttft_ms = round(clock.ms(), 3)
        told.model, told.rung = answer.model.name, answer.attempting.plan.rung
        if isinstance(answer.reply, LiveReply):
            await _take_stream(told, answer, answer.reply)
        else:
            _take_whole(told, answer.reply)
        if not told.tool_calls:
            told.unmet = check(told.output)
    except CallError as error:
        if not isinstance(error, UpstreamError) and error.status != 400:
            raise
        told.error = error
        if not told.model and purse.attempts:
            told.model, told.rung = purse.attempts[-1].model, purse.attempts[-1].rung
    told.latency_ms = round(clock.ms(), 3)
    return told


async def _decide(
    incoming: Incoming,
    arm: Arm,
    answerer: Answerer,
    *,
    router: Router | None,
    asker: Asker | None,
    finder: Finder,
) -> Decision:
    policy, catalogue = arm.policy, answerer.catalogue
    if len(policy.ladder) > 1:
        return await decide(policy, incoming, catalogue, router=router, ask=asker, finder=finder)
    decision = await decide(policy, incoming, catalogue, finder=finder)
    return msgspec.structs.replace(decision, frontier=arm.frontier)


def _asker(
    arm: Arm, answerer: Answerer, router: Router | None, purse: TillPurse, clock: Clock
) -> Asker | None:
    """Who puts the router's question to its model; None where there is none to put."""
    options = arm.policy.router
    if len(arm.policy.ladder) == 1 or router is None or not router.asks or options is None:
        return None
    return Asker(answerer, task=arm.policy.task, account=purse, clock=clock, timeout_s=options.timeout_s)


def _take_whole(told: Told, reply: WholeReply) -> None:
    peek = reply.peek
    told.output = reply.text
    told.tool_calls, told.confidence, told.refused = peek.tool_calls, peek.confidence, peek.refused
    told.truncated = peek.stop in ("length", "max_tokens")


async def _take_stream(told: Told, answer: Answer, live: LiveReply) -> None:
    """Reads the stream to its end and settles its attempt, as the gateway's relay does."""
    attempting, peek = answer.attempting, live.peek
    try:
        if answer.held is None:
            async for _ in live.events():
                pass
    except UpstreamError as error:
        status = "timeout" if error.kind == "timeout" else "broken"
        attempting.broke_off(status, seen=peek, reason=str(error), upstream_id=live.upstream_id)
        raise
    except BaseException:
        attempting.broke_off(
            "cancelled", seen=peek, reason="the run was stopped", upstream_id=live.upstream_id
        )
        raise
    finally:
        live.close()
    attempting.answered(
        "ok",
        usage=peek.whole_usage,
        answer_chars=peek.chars,
        stop=peek.stop or "",
        upstream_id=live.upstream_id,
        upstream_model=peek.model,
        system_fingerprint=peek.fingerprint,
    )
    told.output = "".join(peek.text_parts)
    told.tool_calls, told.confidence, told.refused = peek.tool_calls, peek.confidence, peek.refused
    told.truncated = peek.stop in ("length", "max_tokens")
