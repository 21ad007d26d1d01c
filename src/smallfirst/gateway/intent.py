"""Calls that leave it to smallfirst which task they are: each is taken for one of the tasks, or for none and answered by the model for these."""

from __future__ import annotations

import logging

import msgspec

from smallfirst.errors import BadRequest, CallError, NotAllowed
from smallfirst.gateway import headers
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.hand import CallInHand
from smallfirst.gateway.identity import Caller
from smallfirst.models.catalogue import TASK_PREFIX
from smallfirst.wire.incoming import Incoming

_log = logging.getLogger(__name__)


async def choose(call: CallInHand, incoming: Incoming, caller: Caller) -> Chosen:
    """The policy of a call: as its header or its model's name says, else by what it is about.

    Nothing is reclassified that named a model or a task. Raises `UnknownModel`, `NotAllowed`, `BadRequest`.
    """
    header = call.client.header(headers.TASK)
    if header or not call.running.leaves_open(incoming):
        return call.running.choose(
            header, incoming, caller, conversation=call.client.header(headers.CONVERSATION)
        )
    caller.check_model(incoming.model)
    if incoming.route not in ("chat", "messages"):
        raise BadRequest(
            f"{incoming.model!r} is asked through chat completions or messages, not /{incoming.route}",
            param="model",
        )
    if (admission := call.limited(caller, "")) is not None:
        await admission.check()  # what is refused for its key anyway is not classified first
    return await _classified(call, incoming, caller)


async def _classified(call: CallInHand, incoming: Incoming, caller: Caller) -> Chosen:
    running = call.running
    none = running.unclassified()
    side = running.side(caller, call.client.header(headers.CONVERSATION), incoming)
    intents = side.intents
    if intents is None:
        return _with(none, {"why": "what is served has no intent classifier"})
    try:
        found = await intents.find(incoming.conversation)
    except Exception as fault:  # a boundary: whatever an embedder's library raises, the call is answered
        known = isinstance(fault, (CallError, TimeoutError))
        _log.error("the intent classifier failed: %s", str(fault) or "no answer in time", exc_info=not known)
        return _with(none, {"why": f"the intent classifier failed ({type(fault).__name__})"})
    record = found.record()
    if not found.task:
        return _with(none, record)
    try:
        caller.check_model(TASK_PREFIX + found.task)
    except NotAllowed:
        return _with(none, record | {"why": f"the key may not ask for task {found.task!r}"})
    return _with(running.take(found.task, side) or none, record)


def _with(chosen: Chosen, intent: dict[str, object]) -> Chosen:
    return msgspec.structs.replace(chosen, intent=intent)
