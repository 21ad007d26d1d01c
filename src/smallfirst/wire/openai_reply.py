"""A chat completion or text completion, whole or streamed: what the gateway reads of it without rebuilding it.

Shapes: `openai.types.chat.ChatCompletion` and `ChatCompletionChunk`, and what vLLM, DeepSeek, Mistral and Azure make of them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import msgspec

from smallfirst.chat import Failed, Usage
from smallfirst.errors import UpstreamBroken
from smallfirst.wire.decode import NOT_JSON, obj, word
from smallfirst.wire.openai_usage import read_raw_usage
from smallfirst.wire.peek import Peek, visible
from smallfirst.wire.raw import read_fields, write_fields
from smallfirst.wire.sse import SseEvent

_ABSENT = msgspec.Raw()


class _Message(msgspec.Struct):
    content: str | list[Any] | None = None
    refusal: str | None = None
    tool_calls: list[msgspec.Raw] | None = None
    function_call: dict[str, Any] | None = None


class _Choice(msgspec.Struct):
    message: _Message | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = _ABSENT


class _Reply(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    system_fingerprint: Any = None
    choices: list[_Choice] | None = None
    usage: msgspec.Raw = _ABSENT
    error: Any = None
    object: str | None = None


_reply = msgspec.json.Decoder(_Reply)


def peek_reply(data: bytes) -> Peek:
    """What the gateway needs of a reply. Raises `UpstreamBroken` where it is none: garbage, cut off, or an error with status 200."""
    try:
        reply = _reply.decode(data)
    except NOT_JSON as error:
        raise UpstreamBroken(f"the answer is not a completion ({error})") from None
    if not reply.choices:
        is_error = reply.error or reply.object == "error"
        raise UpstreamBroken(
            "the answer is an error with status 200" if is_error else "the answer has no choices"
        )
    choice = reply.choices[0]
    message = choice.message
    if message is None:
        if choice.text is None:
            raise UpstreamBroken("the answer's first choice has no message")
        message = _Message(choice.text)
    calls = len(message.tool_calls) if message.tool_calls else 0
    return Peek(
        id=reply.id or "",
        model=reply.model or "",
        fingerprint=word(reply.system_fingerprint),
        usage=read_raw_usage(reply.usage),
        stop=choice.finish_reason,
        text=visible(message.content),
        tool_calls=calls or int(message.function_call is not None),
        refused=bool(message.refusal) or choice.finish_reason == "content_filter",
        confidence=mean_probability(token_logprobs(choice.logprobs)),
    )


class _Token(msgspec.Struct):
    logprob: float | None = None


class _Logprobs(msgspec.Struct):
    content: list[_Token] | None = None


_logprobs = msgspec.json.Decoder(_Logprobs | None)


def token_logprobs(raw: msgspec.Raw) -> list[float]:
    """The log-probabilities of a choice's tokens; none where it has none, or says them in another way (old completions)."""
    if not bytes(raw):
        return []
    try:
        told = _logprobs.decode(raw)
    except NOT_JSON:
        return []
    return [token.logprob for token in (told.content if told else None) or () if token.logprob is not None]


def mean_probability(logprobs: Sequence[float]) -> float | None:
    """The geometric mean of tokens' probabilities, in [0, 1]; None of no tokens."""
    if not logprobs:
        return None
    mean = sum(logprobs) / len(logprobs)
    return math.exp(min(0.0, mean)) if mean == mean else None


def without_logprobs(data: bytes) -> bytes:
    """The same reply or chunk, its choices saying no log-probabilities: as if they had not been asked for."""
    if b'"logprobs"' not in data:
        return data
    try:
        fields = read_fields(data)
        choices = msgspec.json.decode(fields["choices"], type=list[dict[str, msgspec.Raw]])
    except (*NOT_JSON, KeyError):
        return data
    for choice in choices:
        if "logprobs" in choice:
            choice["logprobs"] = msgspec.Raw(b"null")
    fields["choices"] = msgspec.Raw(msgspec.json.encode(choices))
    return write_fields(fields)


class _Function(msgspec.Struct):
    name: str | None = None
    arguments: str | None = None


class _ToolCall(msgspec.Struct):
    index: int | None = None
    function: _Function | None = None


class _Delta(msgspec.Struct):
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: str | None = None  # DeepSeek, vLLM
    reasoning: str | None = None  # OpenRouter, vLLM
    tool_calls: list[_ToolCall] | None = None
    function_call: _Function | None = None


class _StreamChoice(msgspec.Struct):
    index: int = 0
    delta: _Delta | None = None
    text: str | None = None
    finish_reason: str | None = None
    logprobs: msgspec.Raw = _ABSENT


class _Chunk(msgspec.Struct):
    id: str | None = None
    model: str | None = None
    system_fingerprint: Any = None
    choices: list[_StreamChoice] | None = None
    usage: msgspec.Raw = _ABSENT
    error: Any = None
    object: str | None = None
    message: Any = None


_chunk = msgspec.json.Decoder(_Chunk)


class StreamPeek:
    """What is read of a stream as it passes.

    `ended` once every choice that began has its finish reason: `[DONE]` alone is not enough, and the usage that may follow is not
    waited for. `chars` counts all that was generated, visible or not, so that a broken stream can be billed.
    """

    __slots__ = (
        "_calls",
        "_keep_text",
        "_logprobs",
        "_unfinished",
        "chars",
        "chunks",
        "failed",
        "fingerprint",
        "id",
        "model",
        "stop",
        "text_parts",
        "usage",
    )

    def __init__(self, *, keep_text: bool = False) -> None:
        self._keep_text = keep_text
        self._unfinished: dict[int, bool] = {}  # by choice
        self._calls: set[tuple[int, int]] = set()  # choice, tool call
        self._logprobs: list[float] = []
        self.id = ""
        self.model = ""
        self.fingerprint = ""
        self.usage: Usage | None = None
        self.stop: str | None = None
        self.failed: Failed | None = None
        self.text_parts: list[str] = []
        self.chars = 0
        self.chunks = 0

    @property
    def ended(self) -> bool:
        return bool(self._unfinished) and True not in self._unfinished.values()

    @property
    def whole_usage(self) -> Usage | None:
        """The usage of all that was generated, once it is told: servers may also tell how much it is so far."""
        return None if self.stop is None else self.usage

    @property
    def confidence(self) -> float | None:
        """The geometric mean of the tokens' probabilities so far; None where the server tells none."""
        return mean_probability(self._logprobs)

    @property
    def refused(self) -> bool:
        return self.stop == "content_filter"

    @property
    def tool_calls(self) -> int:
        """How many tools the answer has called so far, over all its choices."""
        return len(self._calls)

    def feed(self, event: SseEvent) -> None:
        """Reads one event. Raises `UpstreamBroken` where its data is no chunk."""
        data = event.data
        if data == b"[DONE]" or not data:
            return
        try:
            chunk = _chunk.decode(data)
        except NOT_JSON as error:
            raise UpstreamBroken(f"a chunk of the stream is not one ({error})") from None
        if not self.id:
            self.id, self.model = chunk.id or "", chunk.model or ""
            self.fingerprint = word(chunk.system_fingerprint)
        if chunk.usage is not _ABSENT:
            self.usage = read_raw_usage(chunk.usage) or self.usage
        if chunk.choices:
            for choice in chunk.choices:
                self._take(choice)
        elif chunk.error is not None or chunk.object == "error" or event.event == "error":
            self._fail(chunk)

    def _take(self, choice: _StreamChoice) -> None:
        self.chunks += 1
        index = choice.index
        delta = choice.delta
        text = visible(delta.content) if delta is not None else choice.text
        if text:
            self.chars += len(text)
            if self._keep_text and index == 0:
                self.text_parts.append(text)
        if delta is not None:
            self._take_unseen(index, delta)
        if self._keep_text and index == 0 and choice.logprobs is not _ABSENT:
            self._logprobs += token_logprobs(choice.logprobs)
        finish = choice.finish_reason
        if finish is not None:
            self._unfinished[index] = False
            if index == 0 or self.stop is None:
                self.stop = finish
        elif index not in self._unfinished:
            self._unfinished[index] = True

    def _take_unseen(self, choice: int, delta: _Delta) -> None:
        """Thinking, refusals and tool calls."""
        unseen = delta.reasoning_content or delta.reasoning or delta.refusal
        if unseen:
            self.chars += len(unseen)
        calls = delta.tool_calls or ()
        if delta.function_call is not None:
            calls = (_ToolCall(function=delta.function_call),)
        for call in calls:
            self._calls.add((choice, call.index or 0))
            if call.function is not None:
                self.chars += len(call.function.name or "") + len(call.function.arguments or "")

    def _fail(self, chunk: _Chunk) -> None:
        told = obj(chunk.error)
        message = told.get("message") or chunk.message or chunk.error or "an error without a message"
        self.failed = Failed(str(told.get("type") or told.get("code") or "error")[:100], str(message)[:500])
