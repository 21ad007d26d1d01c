"""From Anthropic's dialect to `chat`: requests and whole replies."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from smallfirst import chat
from smallfirst.errors import BadRequest
from smallfirst.wire.anthropic_reply import peek_reply
from smallfirst.wire.anthropic_request import decode
from smallfirst.wire.decode import decode_fields, decode_reply, obj, objects, word

STOPS: dict[str, chat.Stop] = {
    "end_turn": "end",
    "max_tokens": "length",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "pause_turn": "pause",
    "model_context_window_exceeded": "length",
}
_READ = frozenset(
    (
        "model",
        "messages",
        "max_tokens",
        "system",
        "tools",
        "tool_choice",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "stream",
        "output_config",
        "output_format",
        "thinking",
        "metadata",
    )
)
_CHOICES: dict[str, Literal["auto", "any", "none", "tool"]] = {
    "auto": "auto",
    "any": "any",
    "none": "none",
    "tool": "tool",
}
_IMAGE_KEYS = frozenset(("type", "source", "cache_control"))


def read_request(data: bytes) -> chat.Request:
    """The request without its dialect; `opaque` holds the top-level fields that have no word in `chat`. Raises `BadRequest`."""
    body = decode(data)
    fields = decode_fields(data)
    choice = obj(body.tool_choice)
    config = obj(body.output_config)
    opaque = {name: value for name, value in fields.items() if name not in _READ and value is not None}
    _keep_rest(opaque, "metadata", obj(body.metadata), ("user_id",))
    _keep_rest(opaque, "output_config", config, ("effort", "format"))
    thinking = obj(body.thinking)
    if thinking and (thinking.get("type") != "enabled" or thinking.keys() > {"type", "budget_tokens"}):
        opaque["thinking"] = thinking
    budget = thinking.get("budget_tokens")
    return chat.Request(
        dialect="anthropic",
        model=body.model,
        messages=_messages(fields),
        tools=_tools(fields.get("tools"), opaque),
        tool_choice=_tool_choice(choice, opaque),
        parallel_tool_calls=_parallel(choice.get("disable_parallel_tool_use")),
        max_tokens=body.max_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=body.top_k,
        stop=tuple(body.stop_sequences or ()),
        stream=body.stream,
        stream_usage=True,
        output=_output(obj(config.get("format")) or obj(body.output_format)),
        user=word(obj(body.metadata).get("user_id")) or None,
        reasoning_effort=word(config.get("effort")) or None,
        thinking_budget_tokens=budget
        if isinstance(budget, int) and thinking.get("type") == "enabled"
        else None,
        opaque=opaque,
    )


def _keep_rest(opaque: dict[str, Any], name: str, value: dict[str, Any], read: tuple[str, ...]) -> None:
    """What an object holds beside the fields that are read."""
    rest = {key: inner for key, inner in value.items() if key not in read and inner is not None}
    if rest:
        opaque[name] = rest


def _messages(fields: dict[str, Any]) -> tuple[chat.Message, ...]:
    read = []
    if fields.get("system"):
        read.append(chat.Message("system", _parts(fields["system"], "system")))
    for index, message in enumerate(fields["messages"]):
        parts = _parts(message["content"], f"messages.{index}.content")
        read.append(chat.Message(message["role"], parts))
    return tuple(read)


def _parts(content: Any, where: str) -> tuple[chat.Part, ...]:
    """Parts of a string or a list of blocks. Raises `BadRequest` for anything else, which only stands in tool results unchecked."""
    if isinstance(content, str):
        return (chat.Text(content),)
    if not isinstance(content, list) or not all(isinstance(block, dict) for block in content):
        raise BadRequest(f"{where}: expected a string or an array of blocks", param=where)
    return tuple([_part(block, where) for block in content])


def _part(block: dict[str, Any], where: str) -> chat.Part:
    cache = _cache_mark(block)
    match block.get("type"):
        case "text" if isinstance(block.get("text"), str):
            return chat.Text(block["text"], cache)
        case "image":
            return _image(block, cache)
        case "tool_use" if block.get("id") and block.get("name") and not block.get("toolset_name"):
            return chat.ToolUse(block["id"], block["name"], _json(block.get("input") or {}), cache)
        case "tool_result" if block.get("tool_use_id") and not block.get("toolset_name"):
            content = block.get("content")
            inner = () if content is None else _parts(content, where)
            return chat.ToolResult(block["tool_use_id"], inner, bool(block.get("is_error")), cache)
        case "thinking":
            return chat.Thinking(word(block.get("thinking")), block.get("signature"))
        case "redacted_thinking":
            return chat.Thinking("", redacted=word(block.get("data")))
        case _:
            return chat.Opaque("anthropic", block)


def _image(block: dict[str, Any], cache: chat.CacheMark | None) -> chat.Part:
    source = obj(block.get("source"))
    if not block.keys() <= _IMAGE_KEYS:
        return chat.Opaque("anthropic", block)
    match source.get("type"):
        case "base64" if isinstance(source.get("media_type"), str) and isinstance(source.get("data"), str):
            return chat.Image(media_type=source["media_type"], data=source["data"], cache=cache)
        case "url" if isinstance(source.get("url"), str):
            return chat.Image(url=source["url"], cache=cache)
        case _:
            return chat.Opaque("anthropic", block)


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _cache_mark(holder: dict[str, Any]) -> chat.CacheMark | None:
    control = holder.get("cache_control")
    return chat.CacheMark(control.get("ttl")) if isinstance(control, dict) else None


def _tools(tools: list[dict[str, Any]] | None, opaque: dict[str, Any]) -> tuple[chat.Tool, ...]:
    """The client's own tools; those that Anthropic runs, defers or calls from code go to `opaque`."""
    read = []
    others = []
    for tool in tools or ():
        schema = tool.get("input_schema")
        plain = not tool.get("defer_loading") and tool.get("allowed_callers") in (None, ["direct"])
        if schema is None or not tool.get("name") or not plain:
            others.append(tool)
            continue
        read.append(
            chat.Tool(tool["name"], schema, tool.get("description"), tool.get("strict"), _cache_mark(tool))
        )
    if others:
        opaque["tools"] = others
    return tuple(read)


def _tool_choice(choice: dict[str, Any], opaque: dict[str, Any]) -> chat.ToolChoice | None:
    mode = _CHOICES.get(word(choice.get("type")))
    if mode is None:
        if choice:
            opaque["tool_choice"] = choice
        return None
    return chat.ToolChoice(mode, choice.get("name") if mode == "tool" else None)


def _parallel(disabled: Any) -> bool | None:
    return None if disabled is None else not disabled


def _output(told: dict[str, Any]) -> chat.OutputSchema | None:
    schema = told.get("schema")
    return chat.OutputSchema(schema) if isinstance(schema, dict) else None


def read_reply(data: bytes) -> chat.Reply:
    """A message. Raises `UpstreamBroken` where it is none."""
    peek = peek_reply(data)
    reply = decode_reply(data)
    return chat.Reply(
        id=peek.id,
        model=peek.model,
        parts=tuple([_part(block, "content") for block in objects(reply["content"])]),
        stop=read_stop(peek.stop),
        usage=peek.usage,
        stop_sequence=reply.get("stop_sequence"),
    )


def read_stop(stop_reason: str | None) -> chat.Stop | None:
    """Why the answer ended; a reason yet to be invented is an ordinary end."""
    return STOPS.get(stop_reason, "end") if stop_reason else None
