"""A message reply, whole or streamed: what the gateway reads of it without rebuilding it.

Shapes: `anthropic.types.Message` and `RawMessageStreamEvent`.
"""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.chat import Failed, Usage
from smallfirst.errors import UpstreamBroken
from smallfirst.wire import raw
from smallfirst.wire.anthropic_usage import read_usage
from smallfirst.wire.decode import NOT_JSON, obj, word
from smallfirst.wire.peek import Peek
from smallfirst.wire.sse import SseEvent


class _Block(msgspec.Struct):
    type: str = ""
    text: str | None = None


class _Reply(msgspec.Struct):
    type: str = ""
    id: str = ""
    model: str = ""
    content: list[_Block] | None = None
    stop_reason: str | None = None
    usage: Any = None


_reply = msgspec.json.Decoder(_Reply)


def peek_reply(data: bytes) -> Peek:
    """What the gateway needs of a reply. Raises `UpstreamBroken` where it is none: garbage, cut off, or an error with status 200."""
    try:
        reply = _reply.decode(data)
    except NOT_JSON as error:
        raise UpstreamBroken(f"the answer is not a message ({error})") from None
    if reply.content is None:
        is_error = reply.type == "error"
        raise UpstreamBroken(
            "the answer is an error with status 200" if is_error else "the answer has no content"
        )
    return Peek(
        id=reply.id,
        model=reply.model,
        usage=read_usage(reply.usage),
        stop=reply.stop_reason,
        text="".join([block.text for block in reply.content if block.type == "text" and block.text]),
        tool_calls=sum(block.type == "tool_use" for block in reply.content),
        refused=reply.stop_reason == "refusal",
    )


def rename(data: bytes, model: str) -> bytes:
    """The same JSON, saying `model` at its top or, in a `message_start` event, in its `message`; the very same bytes where it says so
    already or says none. Raises like `raw.read_fields`."""
    if b'"message"' not in data:
        return raw.rename(data, model)
    fields = raw.read_fields(data)
    message = fields.get("message")
    if "model" in fields or message is None or not bytes(message).startswith(b"{"):
        return raw.rename(data, model)
    inner = bytes(message)
    renamed = raw.rename(inner, model)
    if renamed is inner:
        return data
    fields["message"] = msgspec.Raw(renamed)
    return raw.write_fields(fields)


class _Delta(msgspec.Struct):
    text: str | None = None
    partial_json: str | None = None
    thinking: str | None = None


class _DeltaEvent(msgspec.Struct):
    delta: _Delta


class _Event(msgspec.Struct):
    type: str = ""
    message: dict[str, Any] | None = None
    content_block: _Block | None = None
    delta: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    error: Any = None


_delta_event = msgspec.json.Decoder(_DeltaEvent)
_event = msgspec.json.Decoder(_Event)


class StreamPeek:
    """What is read of a stream as it passes. `ended` once `message_stop` has come.

    `chars` counts all that was generated, visible or not, so that a broken stream can be billed.
    """

    __slots__ = (
        "_keep_text",
        "_told_output",
        "_usage",
        "chars",
        "chunks",
        "ended",
        "failed",
        "fingerprint",
        "id",
        "model",
        "stop",
        "text_parts",
        "tool_calls",
        "usage",
    )

    def __init__(self, *, keep_text: bool = False) -> None:
        self._keep_text = keep_text
        self.fingerprint = ""  # Anthropic has none
        self._usage: dict[str, Any] = {}
        self._told_output = False
        self.id = ""
        self.model = ""
        self.usage: Usage | None = None
        self.stop: str | None = None
        self.ended = False
        self.failed: Failed | None = None
        self.text_parts: list[str] = []
        self.tool_calls = 0
        self.chars = 0
        self.chunks = 0

    @property
    def refused(self) -> bool:
        return self.stop == "refusal"

    @property
    def whole_usage(self) -> Usage | None:
        """The usage of all that was generated: `message_delta` tells it at the end, `message_start` that of the prompt alone."""
        return self.usage if self._told_output else None

    @property
    def confidence(self) -> None:
        """Anthropic's dialect has no log-probabilities."""

    def feed(self, event: SseEvent) -> None:
        """Reads one event. Raises `UpstreamBroken` where its data is not the JSON of an event."""
        name = event.event
        try:
            if name == "content_block_delta":  # nearly all events
                self._take(_delta_event.decode(event.data).delta)
            elif name != "ping" and event.data:
                self._take_event(_event.decode(event.data), event.data)
        except NOT_JSON as error:
            raise UpstreamBroken(f"an event of the stream is not one ({error})") from None

    def _take(self, delta: _Delta) -> None:
        self.chunks += 1
        text = delta.text
        if text:
            self.chars += len(text)
            if self._keep_text:
                self.text_parts.append(text)
        else:
            self.chars += len(delta.partial_json or delta.thinking or "")

    def _take_event(self, told: _Event, data: bytes) -> None:
        """Any other event, and every one where a proxy has dropped the names."""
        match told.type:
            case "content_block_delta":
                self._take(_delta_event.decode(data).delta)
            case "message_start":
                message = obj(told.message)
                self.id, self.model = word(message.get("id")), word(message.get("model"))
                self._learn(message.get("usage"))
            case "content_block_start" if told.content_block is not None:
                self.tool_calls += told.content_block.type == "tool_use"
            case "message_delta":
                self.stop = word(obj(told.delta).get("stop_reason")) or self.stop
                self._told_output |= obj(told.usage).get("output_tokens") is not None
                self._learn(told.usage)
            case "message_stop":
                self.ended = True
            case "error":
                error = obj(told.error)
                kind = str(error.get("type") or "error")
                self.failed = Failed(
                    kind[:100], str(error.get("message") or "an error without a message")[:500]
                )

    def _learn(self, usage: Any) -> None:
        """Later figures replace earlier ones; those that a later event leaves out stay."""
        self._usage |= {name: value for name, value in obj(usage).items() if value is not None}
        self.usage = read_usage(self._usage)
