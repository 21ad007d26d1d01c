"""A whole reply and its stream, each from the other, in the same dialect and across them: what is kept once is told in the way each client asks."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from smallfirst import chat
from smallfirst.chat import Dialect
from smallfirst.errors import UpstreamBroken
from smallfirst.wire import anthropic_messages, anthropic_whole, openai_chat, openai_whole
from smallfirst.wire.decode import NOT_JSON
from smallfirst.wire.incoming import Incoming
from smallfirst.wire.reassembly import stream_from_reply
from smallfirst.wire.sse import SseEvent

_CHAT = {"openai": openai_chat, "anthropic": anthropic_messages}


def whole_of(events: Iterable[SseEvent], dialect: Dialect) -> bytes | None:
    """The reply's JSON as its provider would have sent it without `stream`; None where the stream is not whole, reports an error, or says
    something that cannot be put together.
    """
    if dialect == "anthropic":
        return anthropic_whole.message_of(events)
    return openai_whole.completion_of(events)


def stream_of(reply: bytes, dialect: Dialect, incoming: Incoming, *, model: str, call_id: str) -> bytes:
    """A whole reply in `dialect` as the complete stream that the client of `incoming` reads, to its last byte, saying `model`.

    Chat and messages only. Raises `UpstreamBroken` where the reply cannot be read.
    """
    asked, usage = incoming.dialect, incoming.body.stream_usage
    if dialect != asked:
        return _crossed(_CHAT[dialect].read_reply(reply), incoming, model, call_id)
    try:
        renamed = _CHAT[asked].rename(reply, model)
    except NOT_JSON as error:
        raise UpstreamBroken(f"the answer is no JSON object ({error})") from error
    if asked == "anthropic":
        return anthropic_whole.events_of(renamed)
    return openai_whole.chunks_of(renamed, include_usage=usage)


def _crossed(reply: chat.Reply, incoming: Incoming, model: str, call_id: str) -> bytes:
    """In the other dialect, as a live stream would be told, but that the prompt's tokens are known from its beginning."""
    writer = _CHAT[incoming.dialect].StreamWriter(model, include_usage=incoming.body.stream_usage, id=call_id)
    events = stream_from_reply(reply)
    begun = events[0]
    if reply.usage is not None and isinstance(begun, chat.Started):
        at_first = msgspec.structs.replace(
            reply.usage, output_tokens=0, reasoning_tokens=0, output_audio_tokens=0
        )
        events[0] = msgspec.structs.replace(begun, usage=at_first)
    return b"".join([writer.feed(event) for event in events])
