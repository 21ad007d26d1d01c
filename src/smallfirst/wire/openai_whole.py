"""A chat completion as its chunks, and the chunks as the completion: on the JSON itself, so that fields which nobody knows come through.

Shapes: `openai.types.chat.ChatCompletion`, `ChatCompletionChunk`; what engines and vendors add stands where their own streams put it.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from smallfirst.errors import UpstreamBroken
from smallfirst.wire import sse
from smallfirst.wire.decode import decode_reply, obj, objects, word
from smallfirst.wire.sse import SseEvent

DONE = b"data: [DONE]\n\n"
# Each chunk says these again; everything else at the top is said once, with the first.
_HEAD = ("id", "object", "created", "model", "service_tier", "system_fingerprint")
_TEXTS = ("reasoning_content", "reasoning", "content", "refusal")  # in the order in which they are told
_NOT_OF_THE_WHOLE = ("obfuscation",)  # padding against those who watch the sizes of chunks
_REPEATED = ("role", "id", "type", "name", "index")  # said again by some servers, never continued


def chunks_of(reply: bytes, *, include_usage: bool) -> bytes:
    """The stream of a completion, with `[DONE]`. `include_usage`: with the usage chunk that a client asks for by `stream_options`.

    All choices begin; each says its texts and tool calls, one piece each, and ends. Raises `UpstreamBroken` where it is no JSON object.
    """
    whole = decode_reply(reply)
    head = {name: whole[name] for name in _HEAD if name in whole} | {"object": "chat.completion.chunk"}
    rest = {name: value for name, value in whole.items() if name not in (*_HEAD, "choices", "usage")}
    ends = {"usage": None} if include_usage else {}
    parts = [_parts(choice, at) for at, choice in enumerate(objects(whole.get("choices")))]
    # all choices begin before one ends, so that a stream which is cut is seen to be
    in_order = [each[0] for each in parts] + [part for each in parts for part in each[1:]]
    told = [{"choices": [part]} | ends for part in in_order]
    if told:
        told[0] = rest | told[0]
    if include_usage and whole.get("usage") is not None:
        told.append({"choices": [], "usage": whole["usage"]})
    return b"".join([sse.encode(msgspec.json.encode(head | chunk)) for chunk in told]) + DONE


def _parts(choice: dict[str, Any], at: int) -> list[dict[str, Any]]:
    """One choice, piece by piece."""
    message, logprobs = obj(choice.get("message")), choice.get("logprobs")
    index = choice.get("index", at)
    calls = objects(message.get("tool_calls"))
    begins = {name: value for name, value in message.items() if name != "tool_calls"}
    deltas: list[tuple[dict[str, Any], str]] = []
    for name in _TEXTS:
        text = message.get(name)
        if not text:
            continue
        deltas.append(({name: text}, name))
        if name == "content" and isinstance(text, str):
            begins[name] = ""
        else:
            begins.pop(name)
    deltas += [({"tool_calls": [{"index": number} | call]}, "") for number, call in enumerate(calls)]
    parts = [
        {"index": index, "delta": {"role": "assistant"} | begins, "logprobs": None, "finish_reason": None}
    ]
    for delta, name in deltas:
        part = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
        if isinstance(logprobs, dict) and (
            name == "content" or (name == "refusal" and not message.get("content"))
        ):
            part["logprobs"], logprobs = logprobs, None
        parts.append(part)
    rest = {name: value for name, value in choice.items() if name not in ("index", "message", "logprobs")}
    ends = {"index": index, "delta": {}, "logprobs": logprobs, "finish_reason": None} | rest
    return [*parts, ends]


def completion_of(events: Iterable[SseEvent]) -> bytes | None:
    """The completion that a whole stream has told; None where a choice has no end, or something is not what a chunk may be."""
    whole: dict[str, Any] = {}
    choices: dict[int, _Choice] = {}
    try:
        for event in events:
            if not event.data or event.data == b"[DONE]":
                continue
            chunk = decode_reply(event.data)
            if chunk.get("error") is not None or chunk.get("object") == "error":
                return None
            for told in objects(chunk.pop("choices", None)):
                choices.setdefault(_number(told.get("index")), _Choice()).take(told)
            _learn(whole, chunk)
        if not choices or not all(choice.ended for choice in choices.values()):
            return None
        whole["choices"] = [choices[index].written(index) for index in sorted(choices)]
    except (UpstreamBroken, _NoChunk):
        return None
    usage = {"usage": whole.pop("usage")} if "usage" in whole else {}
    return msgspec.json.encode(whole | {"object": "chat.completion"} | usage)


def _learn(whole: dict[str, Any], chunk: dict[str, Any]) -> None:
    """The top of a chunk: what is told later replaces what was told before, unless it is nothing; the first id and model stay."""
    for name, value in chunk.items():
        if (
            name in _NOT_OF_THE_WHOLE
            or (value is None and name in whole)
            or (value is None and name == "usage")
        ):
            continue
        if name in ("id", "model", "created") and whole.get(name):
            continue
        whole[name] = value


class _NoChunk(ValueError):
    """A chunk says something that cannot be joined to what was said before."""


class _Choice:
    """One choice, as far as it has been told."""

    def __init__(self) -> None:
        self._message: dict[str, Any] = {}
        self._calls: list[dict[str, Any]] = []
        self._calls_at: dict[int, int] = {}  # the index on the wire to the newest call that it stands for
        self._rest: dict[str, Any] = {}
        self._logprobs: dict[str, Any] | None = None
        self.ended = False

    def take(self, told: dict[str, Any]) -> None:
        delta = told.get("delta")
        for name, value in obj(delta).items():
            if name == "tool_calls":
                for call in objects(value):
                    self._call(call)
            else:
                self._message[name] = _joined(name, self._message.get(name), value)
        if isinstance(told.get("logprobs"), dict):
            self._logprobs = _joined("logprobs", self._logprobs, told["logprobs"])
        for name, value in told.items():
            if name not in ("index", "delta", "logprobs") and (value is not None or name not in self._rest):
                self._rest[name] = value
        self.ended = bool(word(self._rest.get("finish_reason")))

    def _call(self, told: dict[str, Any]) -> None:
        """More of a tool call. Some servers give every call the index 0: a new id is a new call."""
        index = _number(told.pop("index", 0))
        at = self._calls_at.get(index)
        id_ = word(told.get("id"))
        if at is None or (id_ and self._calls[at].get("id") not in (None, "", id_)):
            self._calls_at[index] = len(self._calls)
            self._calls.append(told)
        else:
            self._calls[at] = _joined("", self._calls[at], told)

    def written(self, index: int) -> dict[str, Any]:
        message = {"role": "assistant"} | self._message
        if self._calls:
            message["tool_calls"] = self._calls
        return {"index": index, "message": message, "logprobs": self._logprobs} | self._rest


def _number(value: Any) -> int:
    if value is None:
        return 0
    if isinstance(value, bool) or not isinstance(value, int):
        raise _NoChunk
    return value


def _joined(name: str, before: Any, more: Any) -> Any:
    """A field continued. Texts and lists go on, objects field by field; everything else is replaced. Nothing is told by null."""
    if before is None or more is None:
        return before if more is None else more
    if isinstance(before, list) or isinstance(more, list):
        return [*_listed(before), *_listed(more)]
    if isinstance(before, dict) and isinstance(more, dict):
        return before | {key: _joined(key, before.get(key), value) for key, value in more.items()}
    if isinstance(before, str) and isinstance(more, str):
        return (more or before) if name in _REPEATED else before + more
    if type(before) is not type(more):
        raise _NoChunk
    return more


def _listed(value: Any) -> list[Any]:
    """A content of parts (Mistral) may go on as a text, and begin as one."""
    if isinstance(value, list):
        return value
    if isinstance(value, str):
        return [{"type": "text", "text": value}] if value else []
    raise _NoChunk
