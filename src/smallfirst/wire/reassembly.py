"""A whole answer as a stream, and a stream as the whole answer."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from smallfirst import chat
from smallfirst.errors import UpstreamBroken


def stream_from_reply(reply: chat.Reply) -> list[chat.StreamEvent]:
    """The events that tell this reply: each part begins, is told in one piece, and ends."""
    told: list[chat.StreamEvent] = [chat.Started(reply.id, reply.model, None, reply.created_s)]
    for index, part in enumerate(reply.parts):
        match part:
            case chat.Text() | chat.Refusal():
                told += [chat.PartStarted(index, msgspec.structs.replace(part, text=""))]
                told += [chat.PartDelta(index, part.text)] if part.text else []
            case chat.ToolUse():
                told += [chat.PartStarted(index, msgspec.structs.replace(part, arguments=""))]
                told += [chat.PartDelta(index, part.arguments)] if part.arguments else []
            case chat.Thinking(redacted=None):
                told += [chat.PartStarted(index, chat.Thinking(""))]
                told += [chat.PartDelta(index, part.text)] if part.text else []
                told += (
                    [chat.PartDelta(index, signature=part.signature)] if part.signature is not None else []
                )
            case _:  # these do not come in pieces
                told += [chat.PartStarted(index, part)]
        told.append(chat.PartEnded(index))
    told.append(chat.Ended(reply.stop, reply.usage, reply.stop_sequence))
    return told


def reply_from_stream(events: Iterable[chat.StreamEvent]) -> chat.Reply:
    """The reply that a stream has told. Raises `UpstreamBroken` where it did not come to its end or failed."""
    started = chat.Started("", "")
    parts: dict[int, chat.Part] = {}
    for event in events:
        match event:
            case chat.Started():
                started = event
            case chat.PartStarted():
                parts[event.index] = event.part
            case chat.PartDelta() if event.index in parts:
                parts[event.index] = _extended(parts[event.index], event)
            case chat.Failed():
                raise UpstreamBroken(f"the upstream reported {event.kind}: {event.message}")
            case chat.Ended():
                return chat.Reply(
                    id=started.id,
                    model=started.model,
                    parts=tuple(part for _, part in sorted(parts.items())),
                    stop=event.stop,
                    usage=event.usage,
                    stop_sequence=event.stop_sequence,
                    created_s=started.created_s,
                )
    raise UpstreamBroken("the stream broke off before the answer was complete")


def _extended(part: chat.Part, delta: chat.PartDelta) -> chat.Part:
    match part:
        case chat.Text() | chat.Refusal():
            return msgspec.structs.replace(part, text=part.text + delta.text)
        case chat.ToolUse():
            return msgspec.structs.replace(part, arguments=part.arguments + delta.text)
        case chat.Thinking():
            signature = part.signature if delta.signature is None else delta.signature
            return msgspec.structs.replace(part, text=part.text + delta.text, signature=signature)
        case _:
            return part
