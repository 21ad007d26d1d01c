"""Anthropic messages and token counting: requests in, answers and events out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from .api_error import ApiError
from .completion import Choice, Delta, deltas
from .dialect import Call, Reply
from .prices import Usage
from .prompt import (
    JsonObject,
    Prompt,
    Segment,
    Tool,
    compact,
    expect,
    expect_messages,
    expect_positive,
    media_tokens,
    message_tokens,
    stop_sequences,
    unit_id,
)
from .sse import Event
from .tokenizer import tokens

_FINISH = {"stop": "end_turn", "length": "max_tokens", "tool_calls": "tool_use"}
_PICTURE_TOKENS = 400
_BREAKPOINTS_MAX = 4
_TEXT_KEYS = {"text": "text", "thinking": "thinking"}


class Messages:
    """``/v1/messages``."""

    name = "anthropic"
    endpoint = "messages"
    billed = True

    def parse(self, call: Call) -> Prompt:
        """The prompt of a messages request."""
        body = call.body
        if "anthropic-version" not in call.headers:
            raise ApiError(400, "anthropic-version: header is required")
        limit = expect_positive(body, "max_tokens")
        if limit is None and self.billed:
            raise ApiError(400, "max_tokens: Field required")
        messages = expect_messages(body, ("user", "assistant", "system"))
        users = [
            message
            for message in messages
            if message["role"] == "user" and _block_text(message.get("content"))
        ]
        tools = _tools(body)
        choice, parallel = _tool_choice(body, tools)
        last = messages[-1].get("content")
        return Prompt(
            dialect=self.name,
            endpoint=self.endpoint,
            model=expect(body, "model", str, ""),
            system=_block_text(expect(body, "system", (str, list), "")),
            user=_block_text(users[-1].get("content")) if users else "",
            after_tool=isinstance(last, list) and any(_kind(block) == "tool_result" for block in last),
            segments=_segments(body, messages),
            tools=tools,
            tool_choice=choice,
            parallel=parallel,
            schema=_schema(body),
            stop=stop_sequences(body, "stop_sequences"),
            max_tokens=limit,
            thinking=expect(body, "thinking", dict, {}).get("type") in ("enabled", "adaptive"),
            stream=expect(body, "stream", bool, False),
        )

    def whole(self, reply: Reply) -> JsonObject:
        """A ``message`` object."""
        choice = reply.completion.choices[0]
        usage = {} if reply.fault.no_usage else {"usage": _usage(reply.usage)}
        finish = {
            "stop_reason": _FINISH.get(choice.finish, choice.finish),
            "stop_sequence": choice.stop_sequence,
        }
        return {**_head(reply), "content": list(_blocks(choice, reply)), **finish, **usage}

    def events(self, reply: Reply) -> Iterator[Event]:
        """The documented sequence from ``message_start`` to ``message_stop``."""
        choice = reply.completion.choices[0]
        started = {**_head(reply), "content": [], "stop_reason": None, "stop_sequence": None}
        if not reply.fault.no_usage:
            started["usage"] = {**_usage(reply.usage), "output_tokens": 1, "output_tokens_details": None}
        yield _event("message_start", {"message": started}, "open")
        yield _event("ping", {}, "open")
        index, open_kind = -1, ""
        for delta in deltas(reply.completion, reply.rng):
            kind = _block_kind(delta)
            if kind != open_kind:
                if index >= 0:
                    yield from _closing(index, open_kind, reply)
                index, open_kind = index + 1, kind
                yield _event(
                    "content_block_start", {"index": index, "content_block": _opened(delta)}, "frame"
                )
            yield _content(index, delta)
        if index >= 0:
            yield from _closing(index, open_kind, reply)
        finish = {
            "stop_reason": _FINISH.get(choice.finish, choice.finish),
            "stop_sequence": choice.stop_sequence,
        }
        usage = {} if reply.fault.no_usage else {"usage": _usage(reply.usage, of_delta=True)}
        yield Event(
            {"type": "message_delta", "delta": finish, **usage}, "message_delta", "end", 0, 0, bool(usage)
        )
        yield _event("message_stop", {}, "end")


class CountTokens(Messages):
    """``/v1/messages/count_tokens``: free of charge."""

    endpoint = "messages/count_tokens"
    billed = False

    def whole(self, reply: Reply) -> JsonObject:
        """The number of input tokens."""
        return {"input_tokens": reply.prompt.prompt_tokens}


def _usage(usage: Usage, *, of_delta: bool = False) -> JsonObject:
    """Usage as Anthropic counts it: input without what was read from or written to the cache."""
    written = usage.cache_write_tokens + usage.cache_write_1h_tokens
    by_ttl = {
        "ephemeral_5m_input_tokens": usage.cache_write_tokens,
        "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
    }
    return {
        "input_tokens": usage.input_tokens,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": usage.cache_read_tokens,
        **({} if of_delta else {"cache_creation": by_ttl, "service_tier": "standard"}),
        "output_tokens": usage.generated_tokens,
        "output_tokens_details": {"thinking_tokens": usage.reasoning_tokens},
    }


def _head(reply: Reply) -> JsonObject:
    return {
        "id": f"msg_{reply.request_id}",
        "type": "message",
        "role": "assistant",
        "model": reply.prompt.model,
        "system_fingerprint": "simulated",
    }


def _blocks(choice: Choice, reply: Reply) -> Iterator[JsonObject]:
    if choice.thinking:
        yield {"type": "thinking", "thinking": "".join(choice.thinking), "signature": _signature(reply)}
    if choice.text:
        yield {"type": "text", "text": "".join(choice.text)}
    for call in choice.tool_calls:
        yield {
            "type": "tool_use",
            "id": call.id,
            "name": call.name,
            "input": _object("".join(call.arguments)),
        }


def _object(text: str) -> object:
    try:
        return json.loads(text)
    except ValueError:  # cut by max_tokens: a whole answer cannot show half an object
        return {}


def _block_kind(delta: Delta) -> str:
    return f"tool {delta.call_index}" if delta.call else delta.kind


def _opened(delta: Delta) -> JsonObject:
    if delta.call:
        return {"type": "tool_use", "id": delta.call.id, "name": delta.call.name, "input": {}}
    if delta.kind == "thinking":
        return {"type": "thinking", "thinking": "", "signature": ""}
    return {"type": "text", "text": ""}


def _content(index: int, delta: Delta) -> Event:
    if delta.call:
        inner = {"type": "input_json_delta", "partial_json": delta.text}
    else:
        inner = {"type": f"{delta.kind}_delta", _TEXT_KEYS[delta.kind]: delta.text}
    payload = {"type": "content_block_delta", "index": index, "delta": inner}
    return Event(payload, "content_block_delta", "content", delta.output_tokens, delta.reasoning_tokens)


def _closing(index: int, kind: str, reply: Reply) -> Iterator[Event]:
    if kind == "thinking":
        signed = {"type": "signature_delta", "signature": _signature(reply)}
        yield _event("content_block_delta", {"index": index, "delta": signed}, "frame")
    yield _event("content_block_stop", {"index": index}, "frame")


def _event(name: str, payload: JsonObject, part: str) -> Event:
    return Event({"type": name, **payload}, name, part)


def _signature(reply: Reply) -> str:
    return unit_id("sim", reply.prompt.user, reply.prompt.system)


def _kind(block: object) -> str:
    return str(block.get("type")) if isinstance(block, dict) else ""


def _block_text(content: object) -> str:
    """All text of a string or a list of blocks; tool results are not what the user says."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    return "\n".join(
        str(block.get("text", "")) for block in content if isinstance(block, dict) and _kind(block) == "text"
    )


def _tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    found: list[Tool] = []
    for index, row in enumerate(expect(body, "tools", list, [])):
        if not isinstance(row, dict) or not isinstance(row.get("name"), str):
            raise ApiError(400, f"tools.{index}.name: Field required")
        found.append(Tool(row["name"], row.get("input_schema") or {}))
    return tuple(found)


def _tool_choice(body: Mapping[str, Any], tools: tuple[Tool, ...]) -> tuple[str, bool]:
    choice = expect(body, "tool_choice", dict, {})
    parallel = not choice.get("disable_parallel_tool_use", False)
    match choice.get("type", "auto"):
        case "any":
            return "required", parallel
        case "tool":
            if choice.get("name") not in [tool.name for tool in tools]:
                raise ApiError(
                    400, f"tool_choice.name: Tool '{choice.get('name')}' not found in provided tools"
                )
            return f"={choice['name']}", parallel
        case "auto" | "none" as plain:
            return plain, parallel
        case _:
            raise ApiError(400, "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")


def _schema(body: Mapping[str, Any]) -> Mapping[str, Any] | None:
    described = expect(body, "output_config", dict, {}).get("format") or body.get("output_format")
    if not isinstance(described, dict) or described.get("type") != "json_schema":
        return None
    return described.get("schema") if isinstance(described.get("schema"), dict) else None


def _segments(body: Mapping[str, Any], messages: list[JsonObject]) -> tuple[Segment, ...]:
    """Tools, system and messages block by block, each with its cache breakpoint if it has one."""
    found = [Segment(tokens(compact(_plain(tool))), _ttl(tool)) for tool in body.get("tools") or []]
    system = _as_blocks(body.get("system"))
    found += [Segment(message_tokens("system", _block_tokens(block)), _ttl(block)) for block in system]
    for message in messages:
        blocks = _as_blocks(message.get("content"))
        if not blocks:
            found.append(Segment(message_tokens(message["role"], ())))
        for index, block in enumerate(blocks):
            inner = _block_tokens(block)
            whole = inner if index else message_tokens(message["role"], inner)
            found.append(Segment(whole, _ttl(block)))
    if _ttl(body) and found:  # caching asked for on the whole request: a breakpoint at its end
        found[-1] = Segment(found[-1].tokens, _ttl(body))
    marked = sum(1 for segment in found if segment.cache_ttl)
    if marked > _BREAKPOINTS_MAX:
        message = (
            f"A maximum of {_BREAKPOINTS_MAX} blocks with cache_control may be provided. Found {marked}."
        )
        raise ApiError(400, message)
    return tuple(found)


def _as_blocks(content: object) -> list[JsonObject]:
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        return []
    if not isinstance(content, list) or not all(
        isinstance(block, dict) and "type" in block for block in content
    ):
        raise ApiError(400, "messages: content should be a string or a list of typed blocks")
    return content


def _block_tokens(block: JsonObject) -> list[str]:
    match block.get("type"):
        case "text":
            return tokens(str(block.get("text", "")))
        case "image" | "document":
            return media_tokens(_plain(block), _PICTURE_TOKENS)
        case "tool_result" if isinstance(block.get("content"), list):
            inner = [token for part in _as_blocks(block["content"]) for token in _block_tokens(part)]
            return [*tokens(str(block.get("tool_use_id", ""))), *inner]
        case _:
            return tokens(compact(_plain(block)))


def _plain(block: object) -> object:
    return {k: v for k, v in block.items() if k != "cache_control"} if isinstance(block, dict) else block


def _ttl(holder: object) -> str | None:
    control = holder.get("cache_control") if isinstance(holder, Mapping) else None
    if not isinstance(control, dict):
        return None
    ttl = control.get("ttl", "5m")
    if control.get("type") != "ephemeral" or ttl not in ("5m", "1h"):
        raise ApiError(400, "cache_control: Input should be ephemeral with a ttl of 5m or 1h")
    return ttl
