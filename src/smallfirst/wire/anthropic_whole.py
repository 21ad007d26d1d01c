"""A message as its events, and the events as the message: on the JSON itself, so that fields which nobody knows come through.

Shapes: `anthropic.types.Message`, `RawMessageStreamEvent`; the order of events is that of Anthropic's own streams.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from smallfirst.errors import UpstreamBroken
from smallfirst.wire import sse
from smallfirst.wire.decode import NOT_JSON, decode_reply, obj, objects, word
from smallfirst.wire.sse import SseEvent

# Each kind of delta: the block's field that it continues, and its own field that says with what.
_TEXTS = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "thinking"),
    "signature_delta": ("signature", "signature"),
    "compaction_delta": ("content", "content"),
}
_ENDS_WITH = ("stop_reason", "stop_sequence", "container")  # told when a message ends
_BEGINS_WITH = ("cache_creation", "service_tier", "inference_geo")  # of usage: told when it begins


def events_of(reply: bytes) -> bytes:
    """The stream of a message: each block begins, is told in one piece, and ends. Raises `UpstreamBroken` where it is no JSON object."""
    whole = decode_reply(reply)
    usage = obj(whole.get("usage"))
    begun = usage | {"output_tokens": 0} if usage else usage
    begun.pop("output_tokens_details", None)
    message = whole | {"content": [], "stop_reason": None, "stop_sequence": None, "usage": begun}
    message.pop("container", None)
    told = [_say("message_start", {"message": message}), _say("ping", {})]
    for index, block in enumerate(objects(whole.get("content"))):
        told += [_say(kind, {"index": index} | fields) for kind, fields in _told(block)]
    delta = {name: whole[name] for name in _ENDS_WITH if name in whole}
    used = {name: value for name, value in usage.items() if name not in _BEGINS_WITH}
    told += [_say("message_delta", {"delta": delta, "usage": used}), _say("message_stop", {})]
    return b"".join(told)


def _told(block: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """One block, event by event. Of kinds that do not come in pieces all stands at the beginning."""
    begins = dict(block)
    deltas: list[dict[str, Any]] = []
    kind = word(block.get("type"))
    if kind == "text":
        if isinstance(block.get("citations"), list):
            begins["citations"] = []
            deltas = [{"type": "citations_delta", "citation": citation} for citation in block["citations"]]
        deltas += _piece(begins, "text_delta")
    elif kind == "thinking":
        deltas = _piece(begins, "thinking_delta") + _piece(begins, "signature_delta")
    elif kind.endswith("tool_use") and isinstance(block.get("input"), dict):
        begins["input"] = {}
        if block["input"]:
            text = msgspec.json.encode(block["input"]).decode()
            deltas = [{"type": "input_json_delta", "partial_json": text}]
    yield "content_block_start", {"content_block": begins}
    for delta in deltas:
        yield "content_block_delta", {"delta": delta}
    yield "content_block_stop", {}


def _piece(begins: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """A text as one delta; the block begins without it."""
    field, said = _TEXTS[kind]
    text = begins.get(field)
    if not isinstance(text, str) or not text:
        return []
    begins[field] = ""
    return [{"type": kind, said: text}]


def _say(kind: str, fields: dict[str, Any]) -> bytes:
    return sse.encode(msgspec.json.encode({"type": kind} | fields), kind)


def message_of(events: Iterable[SseEvent]) -> bytes | None:
    """The message that a whole stream has told; None where `message_stop` has not come, or something is not what an event may be."""
    told = _Message()
    try:
        for event in events:
            if event.data and event.event != "ping":
                told.take(decode_reply(event.data))
        return told.written()
    except (UpstreamBroken, _NoEvent):
        return None


class _NoEvent(ValueError):
    """An event says something that cannot be joined to what was said before."""


class _Message:
    """A message, as far as it has been told."""

    def __init__(self) -> None:
        self._message: dict[str, Any] | None = None
        self._blocks: dict[int, dict[str, Any]] = {}
        self._inputs: dict[int, str] = {}
        self._usage: dict[str, Any] = {}
        self._stopped = False

    def take(self, event: dict[str, Any]) -> None:
        index = event.get("index")
        match event.get("type"):
            case "message_start":
                self._message = obj(event.get("message"))
                self._learn(self._message.get("usage"))
            case "content_block_start" if isinstance(index, int) and index not in self._blocks:
                self._blocks[index] = obj(event.get("content_block"))
            case "content_block_delta" if isinstance(index, int) and index in self._blocks:
                self._delta(index, self._blocks[index], obj(event.get("delta")))
            case "content_block_stop" | "ping":
                pass
            case "message_delta" if self._message is not None:
                rest = {key: value for key, value in event.items() if key not in ("type", "delta", "usage")}
                self._message |= obj(event.get("delta")) | rest
                self._learn(event.get("usage"))
            case "message_stop":
                self._stopped = True
            case (
                _
            ):  # an error, or an event yet to be invented: nobody knows what it would be in a whole message
                raise _NoEvent

    def _delta(self, index: int, block: dict[str, Any], delta: dict[str, Any]) -> None:
        kind = word(delta.get("type"))
        if kind == "input_json_delta":
            self._inputs[index] = self._inputs.get(index, "") + word(delta.get("partial_json"))
        elif kind == "citations_delta":
            block["citations"] = [*(block.get("citations") or ()), delta.get("citation")]
        elif kind in _TEXTS:
            field, said = _TEXTS[kind]
            block[field] = word(block.get(field)) + word(delta.get(said))
        else:
            raise _NoEvent

    def _learn(self, usage: Any) -> None:
        """Later figures replace earlier ones; those that a later event leaves out stay."""
        for name, value in obj(usage).items():
            if value is not None or name not in self._usage:
                self._usage[name] = value

    def written(self) -> bytes | None:
        message = self._message
        if message is None or not self._stopped:
            return None
        for index, text in self._inputs.items():
            if text:
                self._blocks[index]["input"] = _object(text)
        message["content"] = [self._blocks[index] for index in sorted(self._blocks)]
        message.pop("usage", None)
        return msgspec.json.encode(message | {"usage": self._usage})


def _object(text: str) -> msgspec.Raw:
    try:
        msgspec.json.decode(text, type=dict[str, Any])
    except NOT_JSON:
        raise _NoEvent from None
    return msgspec.Raw(text.encode())
