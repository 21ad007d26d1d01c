"""What may be looked up, and what may be kept. Each question is answered with why not; empty if it may."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

import msgspec

from smallfirst.cache.control import Control
from smallfirst.chat import Dialect
from smallfirst.config.schema import TaskCache
from smallfirst.errors import UpstreamBroken
from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.decode import decode_reply, obj, objects, word
from smallfirst.wire.incoming import Incoming

_ROUTES = ("chat", "messages")
# Fields by which a request asks for more than its own words say: what is found out or remembered elsewhere may be another thing tomorrow.
_TOOLS = ("functions", "mcp_servers", "tools", "web_search_options", "plugins")
_STATE = ("container", "conversation", "previous_response_id", "thread")
_TELLING = frozenset((*_TOOLS, *_STATE, "audio", "modalities", "store"))  # most calls have none of them
_EMPTY = (b"null", b"[]", b"false", b'""')  # `{}` is not: `web_search_options = {}` searches
_ENDED: dict[Dialect, frozenset[str]] = {
    "openai": frozenset({"stop"}),
    "anthropic": frozenset({"end_turn", "stop_sequence"}),
}
_TEXTS = ("text", "thinking", "redacted_thinking")  # what a message that may be kept consists of


class Asked(Protocol):
    """How a rung is asked: `releases.policy.RungPolicy` is one."""

    @property
    def temperature(self) -> float | None: ...

    @property
    def head(self) -> bool: ...


def samples(incoming: Incoming, rungs: Iterable[Asked]) -> bool:
    """Whether the same request might be answered otherwise another time: where some rung's temperature is not 0.

    A rung's own temperature replaces the client's; a label head never samples; a temperature that nobody gives is the provider's, and not 0.
    """
    asked = getattr(incoming.body, "temperature", None)
    return any(
        not rung.head and (asked if rung.temperature is None else rung.temperature) != 0 for rung in rungs
    )


def why_bypassed(incoming: Incoming, rule: TaskCache, *, rungs: Iterable[Asked], control: Control) -> str:
    """Why a call is neither looked up nor its answer kept.

    `no-cache` and `max-age=0` are no reasons: such a call is not looked up (`control.looks_up`), but its answer is kept.
    """
    if not rule.exact:
        return "its task has no cache"
    if control.no_store:
        return "its client says no-store"
    if incoming.route not in _ROUTES:
        return f"answers of /{incoming.route} are not cached"
    if not rule.sampled and samples(incoming, rungs):
        return "it samples: it gives no temperature of 0"
    return _why_not(incoming, rule)


def _why_not(incoming: Incoming, rule: TaskCache) -> str:
    fields = incoming.fields

    def says(name: str) -> bool:
        return name in fields and bytes(fields[name]).strip() not in _EMPTY

    if incoming.body.choices > 1:
        return "it asks for several choices, of which only the first is checked"
    if _by_address(bytes(fields["messages"])):
        return "it names an image or a document by an address, behind which another may stand tomorrow"
    if _TELLING.isdisjoint(fields):
        return ""
    if not rule.tools and any(map(says, _TOOLS)):
        return "it offers tools"
    if any(map(says, _STATE)):
        return "its answer depends on what its provider remembers"
    if says("audio") or b"audio" in bytes(fields.get("modalities", b"")):
        return "it asks for audio"
    if "store" not in rule.ignore and bytes(fields.get("store", b"")) == b"true":
        return "it asks its provider to store the call"
    return ""


def _by_address(messages: bytes) -> bool:
    """Whether a part of a message is to be fetched by whoever answers: what tools were asked with and what they said is no such part."""
    if b'url"' not in messages:
        return False
    contents = [message.get("content") for message in objects(msgspec.json.decode(messages))]
    return any(isinstance(content, list) and _addressed(content) for content in contents)


def _addressed(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_addressed, value))
    if not isinstance(value, dict):
        return False
    return any(
        not inner.startswith("data:")
        if isinstance(inner, str) and (name == "url" or name.endswith("_url"))
        else name != "input" and _addressed(inner)
        for name, inner in value.items()
    )


def why_not_kept(
    answer: bytes, dialect: Dialect, *, most_bytes: int, unmet: str = "", outside_bound: bool = False
) -> str:
    """Why a whole reply, in its provider's dialect, is not kept. What was streamed is made whole first (`wire/whole.py`).

    `unmet`: what the contract finds wrong with it (`Answer.unmet`). `outside_bound`: it was decided outside of the quality bound, and would carry
    that into calls that are inside.
    """
    if unmet:
        return "it does not keep the contract"
    if outside_bound:
        return "it was decided outside of the quality bound"
    if len(answer) > most_bytes:
        return f"it is longer than cache.max_entry_bytes ({most_bytes})"
    try:
        reply = decode_reply(answer)
        peek = (anthropic_messages if dialect == "anthropic" else openai_chat).peek_reply(answer)
    except UpstreamBroken:
        return "it is no whole reply"
    if peek.tool_calls:
        return "it calls a tool"
    if peek.refused:
        return "it is a refusal"
    if peek.stop not in _ENDED[dialect]:
        return f"it did not end by itself ({peek.stop or 'no reason given'})"
    if not peek.text.strip():
        return "it says nothing"
    return _why_not_message(reply) if dialect == "anthropic" else _why_not_completion(reply)


def _why_not_completion(reply: dict[str, Any]) -> str:
    choices = objects(reply.get("choices"))
    if len(choices) > 1:
        return "it has several choices"
    message = obj(choices[0].get("message"))
    if message.get("audio"):
        return "it has audio"
    if word(reply.get("error")) or obj(reply.get("error")):
        return "it reports an error"
    return ""


def _why_not_message(reply: dict[str, Any]) -> str:
    """Blocks of a tool that the provider ran itself say what was true when it ran."""
    other = next((block for block in objects(reply["content"]) if block.get("type") not in _TEXTS), None)
    return "" if other is None else f"it has a block of type {word(other.get('type'))[:40]!r}"
