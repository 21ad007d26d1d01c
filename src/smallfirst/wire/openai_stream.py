"""Streams of chat completion chunks: read into `chat.StreamEvent`s, and written from them."""

from __future__ import annotations

import time
from typing import Any

import msgspec

from smallfirst import chat
from smallfirst.errors import CallError
from smallfirst.wire import errors, sse
from smallfirst.wire.decode import decode_reply, obj, objects, word
from smallfirst.wire.openai_read import created_s, read_stop
from smallfirst.wire.openai_usage import read_usage, write_usage
from smallfirst.wire.openai_write import finish_reason
from smallfirst.wire.peek import visible
from smallfirst.wire.sse import SseEvent

DONE = b"data: [DONE]\n\n"
_TEXTS: tuple[tuple[str, type[chat.Thinking | chat.Text | chat.Refusal]], ...] = (
    ("reasoning_content", chat.Thinking),  # DeepSeek, vLLM
    ("reasoning", chat.Thinking),  # OpenRouter, vLLM
    ("content", chat.Text),
    ("refusal", chat.Refusal),
)


class StreamReader:
    """Chunks in, events out; of several choices the first.

    A text ends when another part begins; tool calls, which may be told in turns, end with the answer. The answer ends with `[DONE]` or
    with its stream (`end`), so that usage can come last.
    """

    def __init__(self) -> None:
        self._started = False
        self._last = -1  # the newest part
        self._text: type[chat.Part] | None = (
            None  # what the newest part is, if it is a text that has not ended
        )
        self._tools: dict[int, tuple[str, int]] = {}  # OpenAI's index of a tool call to its id and its part
        self._open_tools: list[int] = []
        self._silent_tools: set[int] = set()  # those that have not said their arguments yet
        self._usage: chat.Usage | None = None
        self._stop: chat.Stop | None = None
        self._refused = False
        self._ended = False

    def feed(self, event: SseEvent) -> list[chat.StreamEvent]:
        """The events that this chunk tells. Raises `UpstreamBroken` where it is no chunk."""
        if event.data == b"[DONE]":
            return self.end()
        if not event.data:
            return []
        chunk = decode_reply(event.data)
        choices = objects(chunk.get("choices"))
        if not choices and (chunk.get("error") is not None or chunk.get("object") == "error"):
            error = obj(chunk.get("error")) or chunk
            return [chat.Failed(word(error.get("type")) or "api_error", word(error.get("message")))]
        told: list[chat.StreamEvent] = []
        if not self._started and (choices or chunk.get("id")):  # Azure's first chunk is neither
            self._started = True
            id_, model = word(chunk.get("id")), word(chunk.get("model"))
            told.append(chat.Started(id_, model, None, created_s(chunk)))
        self._usage = read_usage(chunk.get("usage")) or self._usage
        for choice in choices:
            if not choice.get("index"):
                self._take(choice, told)
        return told

    def end(self) -> list[chat.StreamEvent]:
        """The stream is over: the end of an answer that has its finish reason and has not been told yet."""
        if self._ended or self._stop is None:
            return []
        self._ended = True
        return [chat.Ended(self._stop, self._usage)]

    def _take(self, choice: dict[str, Any], told: list[chat.StreamEvent]) -> None:
        delta = obj(choice.get("delta"))
        for name, kind in _TEXTS:
            text = visible(delta[name]) if delta.get(name) and isinstance(delta[name], str | list) else ""
            if text:
                self._say(kind, text, told)
        for call in objects(delta.get("tool_calls")):
            self._call(call, told)
        finish = word(choice.get("finish_reason"))
        if finish:
            self._end_text(told)
            for part in self._open_tools:
                if (
                    part in self._silent_tools
                ):  # a tool without arguments: an empty object, as in a whole reply
                    told.append(chat.PartDelta(part, "{}"))
                told.append(chat.PartEnded(part))
            self._open_tools.clear()
            self._stop = read_stop(finish, refused=self._refused)

    def _say(
        self, kind: type[chat.Thinking | chat.Text | chat.Refusal], text: str, told: list[chat.StreamEvent]
    ) -> None:
        if self._text is not kind:
            self._begin(kind(""), told)
            self._text = kind
            self._refused |= kind is chat.Refusal
        told.append(chat.PartDelta(self._last, text))

    def _call(self, call: dict[str, Any], told: list[chat.StreamEvent]) -> None:
        number = call.get("index") or 0
        id_ = word(call.get("id"))
        function = obj(call.get("function"))
        known = self._tools.get(number)
        # some servers give every call the index 0: a new id is a new call
        if known is None or (id_ and id_ != known[0]):
            id_ = id_ or f"call_{self._last + 1}"
            self._begin(chat.ToolUse(id_, word(function.get("name")), ""), told)
            known = self._tools[number] = (id_, self._last)
            self._open_tools.append(self._last)
            self._silent_tools.add(self._last)
        fragment = word(function.get("arguments"))
        if fragment:
            self._silent_tools.discard(known[1])
            told.append(chat.PartDelta(known[1], fragment))

    def _begin(self, part: chat.Part, told: list[chat.StreamEvent]) -> None:
        self._end_text(told)
        self._last += 1
        told.append(chat.PartStarted(self._last, part))

    def _end_text(self, told: list[chat.StreamEvent]) -> None:
        if self._text is not None:
            told.append(chat.PartEnded(self._last))
            self._text = None


class StreamWriter:
    """Events in, chunks out. Thinking is left out: OpenAI's dialect does not show it."""

    def __init__(self, model: str, *, include_usage: bool, id: str) -> None:  # noqa: A002 (the wire's own word)
        self._head: dict[str, Any] = {
            "id": id,
            "object": "chat.completion.chunk",
            "created": int(time.time()),
            "model": model,
        }
        self._include_usage = include_usage
        self._tools: dict[int, int] = {}  # part to OpenAI's index of the tool call
        self._texts: dict[
            int, str
        ] = {}  # part to the delta's field; the parts that are left out are not here
        self._refused = False

    def feed(self, event: chat.StreamEvent) -> bytes:
        """The bytes that say this event; none for what OpenAI does not say."""
        match event:
            case chat.Started():
                self._head["id"] = event.id or self._head["id"]
                self._head["created"] = event.created_s or self._head["created"]
                return self._chunk({"role": "assistant", "content": "", "refusal": None})
            case chat.PartStarted():
                return self._begin(event)
            case chat.PartDelta():
                return self._delta(event)
            case chat.PartEnded():
                return b""
            case chat.Ended():
                return self._end(event)
            case chat.Failed():
                kind = errors.openai_type(event.kind)
                error = {"message": event.message, "type": kind, "param": None, "code": None}
                return sse.encode(msgspec.json.encode({"error": error}))

    def error(self, error: CallError) -> bytes:
        """The event that ends a stream which broke off."""
        return errors.render_in_stream(error, "openai")

    def _begin(self, event: chat.PartStarted) -> bytes:
        part = event.part
        match part:
            case chat.ToolUse():
                number = self._tools[event.index] = len(self._tools)
                function = {"name": part.name, "arguments": ""}
                call = {"index": number, "id": part.id, "type": "function", "function": function}
                return self._chunk({"tool_calls": [call]})
            case chat.Text():
                self._texts[event.index] = "content"
            case chat.Refusal():
                self._texts[event.index] = "refusal"
                self._refused = True
            case _:
                pass
        return b""

    def _delta(self, event: chat.PartDelta) -> bytes:
        number = self._tools.get(event.index)
        if number is not None:
            return self._chunk({"tool_calls": [{"index": number, "function": {"arguments": event.text}}]})
        field = self._texts.get(event.index)
        return self._chunk({field: event.text}) if field and event.text else b""

    def _end(self, event: chat.Ended) -> bytes:
        told = self._chunk({}, finish_reason(event.stop, refused=self._refused))
        if self._include_usage and event.usage is not None:  # unknown is not zero
            usage = write_usage(event.usage)
            told += sse.encode(msgspec.json.encode(self._head | {"choices": [], "usage": usage}))
        return told + DONE

    def _chunk(self, delta: dict[str, Any], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        chunk = self._head | {"choices": [choice]}
        if self._include_usage:
            chunk["usage"] = None
        return sse.encode(msgspec.json.encode(chunk))
