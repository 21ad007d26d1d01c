"""Streams of message events: read into `chat.StreamEvent`s, and written from them."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst import chat
from smallfirst.errors import CallError
from smallfirst.wire import errors, sse
from smallfirst.wire.anthropic_read import read_stop
from smallfirst.wire.anthropic_usage import read_usage, write_usage
from smallfirst.wire.anthropic_write import STOP_WORDS
from smallfirst.wire.decode import decode_reply, obj, word
from smallfirst.wire.sse import SseEvent

_PartEvent = chat.PartStarted | chat.PartDelta | chat.PartEnded
_TEXTS = {"text_delta": "text", "input_json_delta": "partial_json", "thinking_delta": "thinking"}


class StreamReader:
    """Events in, events out."""

    def __init__(self) -> None:
        self._usage: dict[str, Any] = {}
        self._stop: chat.Stop | None = None
        self._sequence: str | None = None
        self._silent_tools: set[int] = set()  # tool calls that have not said their input yet

    def feed(self, event: SseEvent) -> list[chat.StreamEvent]:
        """The events that this one tells. Raises `UpstreamBroken` where it is no event."""
        if not event.data:
            return []
        told = decode_reply(event.data)
        index = told.get("index")
        index = index if isinstance(index, int) else 0
        match told.get("type"):
            case "message_start":
                message = obj(told.get("message"))
                self._learn(message.get("usage"))
                usage = read_usage(self._usage)
                return [chat.Started(word(message.get("id")), word(message.get("model")), usage)]
            case "content_block_start":
                return self._begin(index, obj(told.get("content_block")))
            case "content_block_delta":
                return self._delta(index, obj(told.get("delta")))
            case "content_block_stop":
                return self._end(index)
            case "message_delta":
                delta = obj(told.get("delta"))
                self._stop = read_stop(word(delta.get("stop_reason"))) or self._stop
                self._sequence = word(delta.get("stop_sequence")) or None
                self._learn(told.get("usage"))
                return []
            case "message_stop":
                return [chat.Ended(self._stop, read_usage(self._usage), self._sequence)]
            case "error":
                error = obj(told.get("error"))
                return [chat.Failed(word(error.get("type")) or "api_error", word(error.get("message")))]
            case _:
                return []  # pings, and whatever is invented next

    def end(self) -> list[chat.StreamEvent]:
        """The stream is over: nothing is owed, `message_stop` says all."""
        return []

    def _begin(self, index: int, block: dict[str, Any]) -> list[chat.StreamEvent]:
        """A part begins empty; what a proxy has put into its start follows as a delta."""
        match block.get("type"):
            case "tool_use":
                value = block.get("input")
                text = msgspec.json.encode(value).decode() if value else ""
                part: chat.Part = chat.ToolUse(word(block.get("id")), word(block.get("name")), "")
                if not text:
                    self._silent_tools.add(index)
            case "thinking":
                part, text = chat.Thinking(""), word(block.get("thinking"))
            case "text":
                part, text = chat.Text(""), word(block.get("text"))
            case "redacted_thinking":
                part, text = chat.Thinking("", redacted=word(block.get("data"))), ""
            case _:
                part, text = chat.Opaque("anthropic", block), ""
        begun = chat.PartStarted(index, part)
        return [begun, chat.PartDelta(index, text)] if text else [begun]

    def _delta(self, index: int, delta: dict[str, Any]) -> list[chat.StreamEvent]:
        kind = word(delta.get("type"))
        if kind == "signature_delta":
            return [chat.PartDelta(index, signature=word(delta.get("signature")))]
        text = word(delta.get(_TEXTS.get(kind, "")))  # of other kinds, citations, OpenAI's dialect has none
        if text:
            self._silent_tools.discard(index)
        return [chat.PartDelta(index, text)] if text else []

    def _end(self, index: int) -> list[chat.StreamEvent]:
        if index in self._silent_tools:  # a tool without input: an empty object, as in a whole reply
            self._silent_tools.discard(index)
            return [chat.PartDelta(index, "{}"), chat.PartEnded(index)]
        return [chat.PartEnded(index)]

    def _learn(self, usage: Any) -> None:
        self._usage |= {name: value for name, value in obj(usage).items() if value is not None}


class StreamWriter:
    """Events in, events out.

    Anthropic's blocks stand one after the other: a part that is told out of turn waits until its turn comes. Thinking waits for its
    signature, and is left out if none comes: Anthropic would refuse it in the next request.
    """

    def __init__(self, model: str, *, include_usage: bool, id: str) -> None:  # noqa: A002 (the wire's own word)
        del include_usage  # Anthropic always tells it
        self._model = model
        self._id = id
        self._current: int | None = None  # the part that is being told
        self._waiting: dict[int, list[_PartEvent]] = {}  # by part, in the order in which they began
        self._unsigned: list[_PartEvent] = []  # what was told of thinking that has no signature yet
        self._block = -1
        self._kind = "text_delta"

    def feed(self, event: chat.StreamEvent) -> bytes:
        """The bytes that say this event; none for one that waits."""
        match event:
            case chat.Started():
                return self._start(event)
            case chat.Ended():
                return self._end(event)
            case chat.Failed():
                return _say(
                    "error", {"error": {"type": errors.anthropic_type(event.kind), "message": event.message}}
                )
            case _:
                return self._in_turn(event)

    def error(self, error: CallError) -> bytes:
        """The event that ends a stream which broke off."""
        return errors.render_in_stream(error, "anthropic")

    def _start(self, event: chat.Started) -> bytes:
        message = {
            "id": event.id or self._id,
            "type": "message",
            "role": "assistant",
            "model": self._model,
            "content": [],
            "stop_reason": None,
            "stop_sequence": None,
            "usage": write_usage(event.usage or chat.Usage()),
        }
        return _say("message_start", {"message": message}) + _say("ping", {})

    def _in_turn(self, event: _PartEvent) -> bytes:
        if self._current is None and isinstance(event, chat.PartStarted):
            self._current = event.index
        if event.index != self._current:
            if isinstance(event, chat.PartStarted):
                self._waiting[event.index] = []
            if event.index in self._waiting:  # not of a part that has ended
                self._waiting[event.index].append(event)
            return b""
        told = self._tell(event)
        while self._current is None and self._waiting:
            self._current = next(iter(self._waiting))
            told += b"".join([self._tell(waited) for waited in self._waiting.pop(self._current)])
        return told

    def _tell(self, event: _PartEvent) -> bytes:
        ends = isinstance(event, chat.PartEnded)
        if ends:
            self._current = None
        if self._unsigned or _is_plain_thinking(event):
            self._unsigned.append(event)
            if isinstance(event, chat.PartDelta) and event.signature is not None:
                signed, self._unsigned = self._unsigned, []
                return b"".join([self._say_part(waited) for waited in signed])
            if ends:
                self._unsigned = []
            return b""
        return self._say_part(event)

    def _say_part(self, event: _PartEvent) -> bytes:
        match event:
            case chat.PartStarted():
                self._block += 1
                block, self._kind = _opened(event.part)
                return _say("content_block_start", {"index": self._block, "content_block": block})
            case chat.PartDelta():
                delta = {"type": self._kind, _TEXTS[self._kind]: event.text}
                if event.signature is not None:
                    delta = {"type": "signature_delta", "signature": event.signature}
                return _say("content_block_delta", {"index": self._block, "delta": delta})
            case chat.PartEnded():
                return _say("content_block_stop", {"index": self._block})

    def _end(self, event: chat.Ended) -> bytes:
        told = b""
        while self._current is not None:  # a part that its provider forgot to end
            told += self._in_turn(chat.PartEnded(self._current))
        delta = {"stop_reason": STOP_WORDS[event.stop or "end"], "stop_sequence": event.stop_sequence}
        usage = write_usage(event.usage or chat.Usage())
        usage.pop("cache_creation")
        return told + _say("message_delta", {"delta": delta, "usage": usage}) + _say("message_stop", {})


def _is_plain_thinking(event: _PartEvent) -> bool:
    return (
        isinstance(event, chat.PartStarted)
        and isinstance(event.part, chat.Thinking)
        and event.part.redacted is None
    )


def _opened(part: chat.Part) -> tuple[dict[str, Any], str]:
    """A block as it begins, and the kind of its deltas."""
    match part:
        case chat.ToolUse():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": {}}, "input_json_delta"
        case chat.Thinking(redacted=None):
            return {"type": "thinking", "thinking": "", "signature": ""}, "thinking_delta"
        case chat.Thinking():
            return {"type": "redacted_thinking", "data": part.redacted}, "text_delta"
        case chat.Opaque():
            return part.value, "input_json_delta"
        case _:
            return {"type": "text", "text": ""}, "text_delta"


def _say(kind: str, fields: dict[str, Any]) -> bytes:
    return sse.encode(msgspec.json.encode({"type": kind} | fields), kind)
