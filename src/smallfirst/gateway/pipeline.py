"""The story of a call: identify, admit, draw, look up, decide, climb, answer, keep, record.

Each step is one function or object of its own; this file says in which order they come. How a call ends early is `hand.CallInHand.guard`.
"""

from __future__ import annotations

import msgspec

from smallfirst.answering.climb import Answer
from smallfirst.answering.decide import Decision
from smallfirst.cache.entry import Entry
from smallfirst.gateway import headers
from smallfirst.gateway.account import CallAccount
from smallfirst.gateway.bodies import keeps_bodies
from smallfirst.gateway.cache.looking import Looking
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.client import Client
from smallfirst.gateway.hand import CallInHand, Desk
from smallfirst.gateway.intent import choose
from smallfirst.gateway.relay import StreamRelay, whole_body
from smallfirst.gateway.routed import Decided, note_answer, place_and_decide
from smallfirst.ledger.records import CallStatus
from smallfirst.models.reply import LiveReply, WholeReply
from smallfirst.wire.incoming import Incoming, Route

_NO = ("0", "false", "no")
_STREAM_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


async def answer_call(desk: Desk, route: Route, client: Client) -> None:
    """One call of a route whose bodies the gateway understands, from its first byte to its settlement."""
    call = CallInHand(desk, client, route=route, dialect="anthropic" if route == "messages" else "openai")
    await call.guard(_answer(call, route))


async def _answer(call: CallInHand, route: Route) -> None:
    call.admit()
    caller = call.identify()
    incoming = Incoming(route, await call.body())
    chosen = await choose(call, incoming, caller)
    _remember(call, incoming, chosen)
    call.check_stopped(chosen)
    await call.let_in(caller, chosen.policy.task)
    drawn = call.desk.aside.draw(call.running, call.draft, chosen, incoming)
    call.client.watch()
    looking = await call.desk.cache.look_up(call.draft, call.running, call.client, incoming, chosen)
    with looking:
        if looking.found is None:
            account = call.account(caller, chosen.policy.task)
            answer = await _ask(call, incoming, chosen, account, looking, keep_text=drawn is not None)
        else:
            answer = await _give_again(call, incoming, looking)
    call.desk.aside.follow(call.running, call.draft, chosen, incoming, answer, drawn)


async def _ask(
    call: CallInHand,
    incoming: Incoming,
    chosen: Chosen,
    account: CallAccount,
    looking: Looking,
    *,
    keep_text: bool,
) -> Answer:
    """The models' answer, decided, released and kept."""
    await call.take_tokens(incoming, chosen)
    decided = (
        Decided(chosen.fixed) if chosen.fixed else await place_and_decide(call, chosen, incoming, account)
    )
    decision = decided.decision
    _decided(call, decision)
    keep_text = keep_text or looking.keeps or keeps_bodies(call.running.config, call.draft)
    answer = await call.running.answerer.answer(
        incoming, chosen.policy, decision, account=account, clock=call.clock, keep_text=keep_text
    )
    _answered(call, answer)
    note_answer(call, chosen, incoming, decided)
    if isinstance(answer.reply, LiveReply):
        await _release_stream(call, incoming, answer, decision, looking)
    else:
        await _release_whole(call, incoming, answer, decision, looking)
    return answer


def _remember(call: CallInHand, incoming: Incoming, chosen: Chosen) -> None:
    draft, client = call.draft, call.client
    draft.task = chosen.policy.task
    draft.asked_model = incoming.model[:256]
    draft.stream = incoming.stream
    draft.release, draft.policy, draft.unproven = chosen.release, chosen.policy_hash, chosen.unproven
    draft.prompt_bytes = len(incoming.data)
    draft.client_key = client.header(headers.KEY)
    draft.conversation = client.header(headers.CONVERSATION)
    draft.trainable = client.header(headers.TRAIN).strip().lower() not in _NO
    draft.decision = chosen.record


def _decided(call: CallInHand, decision: Decision) -> None:
    if len(decision.steps) > 1 or decision.shows:
        call.draft.decision |= decision.record()


def _answered(call: CallInHand, answer: Answer) -> None:
    draft = call.draft
    draft.model = answer.model.name
    draft.rung = answer.attempting.plan.rung
    if answer.at_limit:
        draft.outside_bound = True
        draft.decision["at_limit"] = answer.at_limit
        call.running.budgets.kept_small += 1
    draft.ttft_ms = call.clock.ms()
    waited = draft.waited_ms()
    if answer.attempting.record is None:  # a stream: it is waited for until its first event
        waited += answer.attempting.ttft_ms or 0.0
    draft.overhead_ms = max(0.0, draft.ttft_ms - waited)


async def _give_again(call: CallInHand, incoming: Incoming, looking: Looking) -> Entry:
    """An answer from the cache: whole, and free."""
    draft, found = call.draft, looking.found
    assert found is not None
    entry = found.entry
    draft.cache, draft.age_s, draft.saved_nusd = found.by, found.age_s, entry.cost_nusd
    draft.saved_frontier_nusd = entry.frontier_nusd
    draft.model, draft.rung, draft.answer_chars = entry.model, entry.rung, len(entry.text)
    draft.decision["cache"] = found.record()
    draft.ttft_ms = call.clock.ms()
    draft.overhead_ms = max(0.0, draft.ttft_ms - draft.waited_ms())
    told = headers.cached_headers(draft, call.client, simulated=entry.simulated)
    call.keep_bodies(incoming.data, entry.answer)
    call.settle("ok", 200)
    looking.released()
    if incoming.stream:
        await call.client.start_stream(call.with_limits([*told, *_STREAM_HEADERS]))
        await call.client.end_stream(found.body)
    else:
        told.append((b"content-type", b"application/json"))
        await call.client.answer(200, call.with_limits(told), found.body)
    return entry


async def _release_whole(
    call: CallInHand, incoming: Incoming, answer: Answer, decision: Decision, looking: Looking
) -> None:
    reply = answer.reply
    assert isinstance(reply, WholeReply)
    call.draft.answer_chars = len(reply.text)
    body = whole_body(reply.data, reply.dialect, incoming.dialect, _shown_model(incoming, answer))
    told = headers.answer_headers(call.draft, answer, call.client, decision)
    told.append((b"content-type", b"application/json"))
    call.keep_bodies(incoming.data, reply.data)
    call.settle("ok", 200)
    looking.keep(answer)  # before a slow client has it: others may wait
    await call.client.answer(200, call.with_limits(told), body)


async def _release_stream(
    call: CallInHand, incoming: Incoming, answer: Answer, decision: Decision, looking: Looking
) -> None:
    live = answer.reply
    assert isinstance(live, LiveReply)
    told = headers.answer_headers(call.draft, answer, call.client, decision)
    told += _STREAM_HEADERS
    relay = StreamRelay(
        call.client,
        incoming,
        answer,
        model=_shown_model(incoming, answer),
        call_id=call.draft.id,
        listener=looking if looking.tape is not None else None,
    )

    def settle(status: CallStatus, error: str) -> None:
        call.draft.answer_chars = live.peek.chars
        call.keep_bodies(incoming.data, msgspec.json.encode({"text": "".join(live.peek.text_parts)}))
        if status == "ok":
            call.settle("ok", 200)
        elif error in ("client_gone", "shutdown"):
            call.settle_cancelled()
        else:
            call.settle(status, 200, error)

    await relay.run(call.with_limits(told), settle)
    if relay.whole:
        looking.keep(answer)


def _shown_model(incoming: Incoming, answer: Answer) -> str:
    """The response's `model`: what was asked for, unless the model is configured to show itself."""
    return answer.model.name if answer.model.show_model else incoming.model
