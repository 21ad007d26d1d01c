"""What requests and answers say of a call, in whichever dialect they were kept. Nothing is demanded of them but to be readable."""

from __future__ import annotations

from hashlib import blake2b
from typing import Any

import msgspec

from smallfirst.datasets.exchange import is_anthropic_request, read_answer, read_request
from smallfirst.errors import BadRequest

_ERROR_FIELDS = 3  # at most beside and with `error`, of what says that a request failed
_PLAIN_PARTS = ("text", "input_text", "output_text")


def asked(body: dict[str, Any]) -> dict[str, Any]:
    """The fields of `Observed` that a request tells. Raises `BadRequest` with the path of what is wrong; no messages are no mistake."""
    format_ = body.get("response_format") or (
        body.get("text") if isinstance(body.get("text"), dict) else None
    )
    model = body.get("model")
    stream = body.get("stream")
    return {
        "messages": messages_of(body),
        "tools": tool_names(body.get("tools") or body.get("functions")),
        "schema": schema_name(format_),
        "model": model if isinstance(model, str) and model else None,
        "stream": stream if isinstance(stream, bool) else None,
    }


def messages_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """A request's messages as OpenAI's API writes them, whichever API it was written for."""
    given = body.get("messages")
    if given is None:
        given, system = body.get("input", body.get("prompt")), body.get("instructions")
    else:
        system = body.get("system")
    if isinstance(given, str):
        given = [{"role": "user", "content": given}] if given.strip() else []
    if not given and not system:
        return []
    if not isinstance(given, list):
        raise BadRequest("messages: expected a list of messages, or a text", param="messages")
    found = [_plain(message) for message in given]
    if None in found:
        return _through_the_wire(body)
    if isinstance(system, list):
        system = "\n".join(str(block.get("text") or "") for block in system if isinstance(block, dict))
    if isinstance(system, str) and system.strip():
        return [{"role": "system", "content": system}, *found]  # pyright: ignore[reportReturnType]
    return found  # pyright: ignore[reportReturnType]


def _plain(message: Any) -> dict[str, Any] | None:
    """A message whose parts are text, or OpenAI's own; None for one that must be translated."""
    if not isinstance(message, dict) or not isinstance(message.get("role"), str):
        return None
    content = message.get("content")
    if content is None or isinstance(content, str):
        return message
    if not isinstance(content, list):
        return None
    kinds = {part.get("type") if isinstance(part, dict) else None for part in content}
    if kinds <= set(_PLAIN_PARTS):
        return message | {"content": "\n".join(str(part.get("text") or "") for part in content)}
    return message if kinds <= {*_PLAIN_PARTS, "image_url", "input_audio", "file", "refusal"} else None


def _through_the_wire(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Blocks of tools and documents, and what is wrong, are left to those who know the dialects."""
    messages = body.get("messages", body.get("input"))
    if not is_anthropic_request(body):
        body = {"messages": messages}
    return read_request(body).messages


def tool_names(tools: Any) -> tuple[str, ...]:
    """The names of the tools that a request offers."""
    if not isinstance(tools, list):
        return ()
    found = []
    for tool in tools:
        if isinstance(tool, dict):
            inner = tool.get("function")
            name = (inner if isinstance(inner, dict) else tool).get("name") or tool.get("type")
            found.append(str(name))
    return tuple(found)


def schema_name(format_: Any) -> str:
    """The schema of the answer: its name, "json" where only JSON is asked for, else the start of its hash."""
    if isinstance(format_, str):
        return format_[:64] if format_ not in ("text", "") else ""
    if not isinstance(format_, dict):
        return ""
    inner = _inner(format_, "format")
    kind = inner.get("type")
    if kind in ("text", None):
        return ""
    if kind == "json_object":
        return "json"
    named = _inner(inner, "json_schema")
    if isinstance(named.get("name"), str):
        return named["name"][:64]
    return blake2b(msgspec.json.encode(inner, order="sorted"), digest_size=6).hexdigest()


def _inner(value: dict[str, Any], name: str) -> dict[str, Any]:
    found = value.get(name)
    return found if isinstance(found, dict) else value


def answered(reply: Any) -> dict[str, Any]:
    """The fields of `Observed` that an answer tells; none where there is no answer."""
    if not isinstance(reply, dict):
        is_value = isinstance(reply, list | int | float) and not isinstance(reply, bool)
        return {"answer": msgspec.json.encode(reply).decode() if is_value else read_answer(reply)[0]}
    if isinstance(reply.get("output"), list) and reply.get("object", "response") == "response":
        return _response(reply)
    if not is_reply(reply):  # an answer in JSON, kept as an object
        failed = isinstance(reply.get("error"), dict | str) and len(reply) <= _ERROR_FIELDS
        return {
            "answer": "" if failed or not reply else msgspec.json.encode(reply).decode(),
            "failed": failed,
        }
    text, why = read_answer(reply)
    created, model = reply.get("created"), reply.get("model")
    return tokens(reply.get("usage")) | {
        "answer": text,
        "calls_tools": why == "the answer asks for tools",
        "model": model if isinstance(model, str) and model else None,
        "at_ms": int(created * 1000) if isinstance(created, int | float) and created > 0 else None,
        "failed": "error" in reply and reply["error"] is not None and not text,
    }


def is_reply(value: dict[str, Any]) -> bool:
    """Whether an object is an API's answer or a message of one, and not an answer that is itself JSON."""
    if isinstance(value.get("choices"), list) or value.get("type") == "message":
        return True
    if "role" in value:
        return "content" in value or "tool_calls" in value
    return value.keys() <= {
        "text",
        "content",
        "tool_calls",
        "usage",
        "model",
        "stop_reason",
        "finish_reason",
    } and bool(value.keys() & {"text", "content", "tool_calls"})


def _response(reply: dict[str, Any]) -> dict[str, Any]:
    """OpenAI's responses: `output` is a list of items."""
    items = [item for item in reply["output"] if isinstance(item, dict)]
    texts = [
        str(part.get("text") or "")
        for item in items
        if item.get("type", "message") == "message" and isinstance(item.get("content"), list)
        for part in item["content"]
        if isinstance(part, dict)
    ]
    created, model = reply.get("created_at"), reply.get("model")
    return tokens(reply.get("usage")) | {
        "answer": "".join(texts),
        "calls_tools": any(str(item.get("type")).endswith("_call") for item in items),
        "model": model if isinstance(model, str) and model else None,
        "at_ms": int(created * 1000) if isinstance(created, int | float) and created > 0 else None,
        "failed": reply.get("status") in ("failed", "cancelled") or bool(reply.get("error")),
    }


def tokens(usage: Any) -> dict[str, int | None]:
    """Tokens from a usage object of OpenAI's (both APIs), Anthropic's or Langfuse's; what was read from or written to a cache is input too."""
    if not isinstance(usage, dict):
        return {}
    if "prompt_tokens" in usage or "completion_tokens" in usage:
        before, after = _details(usage, "prompt"), _details(usage, "completion")
        cached = before.get("cached_tokens", usage.get("prompt_cache_hit_tokens"))
        cached = usage.get("cache_read_input_tokens") if cached is None else cached
        given, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    elif "input_tokens_details" in usage:
        before, after = _details(usage, "input"), _details(usage, "output")
        cached = before.get("cached_tokens")
        given, written = usage.get("input_tokens"), usage.get("output_tokens")
    elif "input_tokens" in usage or "output_tokens" in usage:
        after, cached = {}, usage.get("cache_read_input_tokens")
        given = _sum([usage.get("input_tokens"), cached, usage.get("cache_creation_input_tokens")])
        written = usage.get("output_tokens")
    else:
        after = {"reasoning_tokens": usage.get("output_reasoning_tokens")}
        cached = _sum([usage.get("cache_read_input_tokens"), usage.get("input_cached_tokens")])
        given = _sum([count for name, count in usage.items() if name.startswith(("input", "cache_"))])
        written = _sum([count for name, count in usage.items() if name.startswith("output")])
    return {
        "input_tokens": _count(given),
        "cached_tokens": _count(cached),
        "output_tokens": _count(written),
        "reasoning_tokens": _count(after.get("reasoning_tokens")),
    }


def _details(usage: dict[str, Any], of: str) -> dict[str, Any]:
    found = usage.get(f"{of}_tokens_details")
    return found if isinstance(found, dict) else {}


def _count(value: Any) -> int | None:
    usable = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
    return int(value) if usable else None


def _sum(values: list[Any]) -> int | None:
    known = [count for count in map(_count, values) if count is not None]
    return sum(known) if known else None
