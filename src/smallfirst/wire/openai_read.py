"""From OpenAI's dialect to `chat`: requests and whole replies."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst import chat
from smallfirst.errors import UpstreamBroken
from smallfirst.wire.decode import decode_fields, decode_reply, obj, objects, word
from smallfirst.wire.openai_reply import peek_reply
from smallfirst.wire.openai_request import decode
from smallfirst.wire.peek import visible

STOPS: dict[str, chat.Stop] = {
    "stop": "end",
    "length": "length",
    "tool_calls": "tool_use",
    "function_call": "tool_use",
    "content_filter": "refusal",
}
_READ = frozenset(
    (
        "model",
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "stream",
        "stream_options",
        "response_format",
        "user",
        "reasoning_effort",
    )
)
_CHOICES = {
    "auto": chat.ToolChoice("auto"),
    "none": chat.ToolChoice("none"),
    "required": chat.ToolChoice("any"),
}


def read_request(data: bytes) -> chat.Request:
    """The request without its dialect; `opaque` holds the top-level fields that have no word in `chat`. Raises `BadRequest`."""
    body = decode(data)
    fields = decode_fields(data)
    opaque = {name: value for name, value in fields.items() if name not in _READ and value is not None}
    choice = _tool_choice(body.tool_choice)
    if choice is None and body.tool_choice is not None:
        opaque["tool_choice"] = body.tool_choice
    output = _output(body.response_format)
    if output is None and obj(body.response_format).get("type", "text") != "text":
        opaque["response_format"] = body.response_format
    top_k = opaque.get("top_k")  # not OpenAI's own, but known to all engines that speak its dialect
    if isinstance(top_k, int) and top_k > 0:
        del opaque["top_k"]
    return chat.Request(
        dialect="openai",
        model=body.model,
        messages=_messages(fields["messages"]),
        tools=_tools(fields.get("tools"), opaque),
        tool_choice=choice,
        parallel_tool_calls=body.parallel_tool_calls,
        max_tokens=body.max_output_tokens,
        temperature=body.temperature,
        top_p=body.top_p,
        top_k=top_k if "top_k" not in opaque else None,
        stop=(body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ()),
        stream=body.stream,
        stream_usage=body.stream_usage,
        output=output,
        user=body.user,
        reasoning_effort=body.reasoning_effort,
        opaque=opaque,
    )


def _messages(messages: list[dict[str, Any]]) -> tuple[chat.Message, ...]:
    """Tool messages become results in a user message; those that stand together, in one."""
    read: list[chat.Message] = []
    results: list[chat.Part] = []
    for message in messages:
        if message["role"] == "tool" and message.get("tool_call_id"):
            parts = _parts(message.get("content"))
            results.append(chat.ToolResult(message["tool_call_id"], parts, cache=_cache_mark(message)))
            continue
        if results:
            read.append(chat.Message("user", tuple(results)))
            results = []
        if message["role"] in ("tool", "function"):  # the deprecated way, without an id
            read.append(chat.Message("user", (chat.Opaque("openai", message),)))
        else:
            read.append(chat.Message(message["role"], _message_parts(message), message.get("name")))
    if results:
        read.append(chat.Message("user", tuple(results)))
    return tuple(read)


def _message_parts(message: dict[str, Any]) -> tuple[chat.Part, ...]:
    """Content, refusal and tool calls. A field of the message itself is `Opaque` without a `type`."""
    parts = list(_parts(message.get("content")))
    mark = _cache_mark(message)
    if mark is not None and parts and isinstance(parts[-1], chat.Text | chat.Image):
        parts[-1] = msgspec.structs.replace(parts[-1], cache=mark)
    if message.get("refusal"):
        parts.append(chat.Refusal(message["refusal"]))
    for call in message.get("tool_calls") or ():
        function = call.get("function")
        if function is not None:
            parts.append(chat.ToolUse(call["id"], function["name"], function["arguments"]))
        else:
            parts.append(chat.Opaque("openai", {"tool_calls": [call]}))
    parts += [
        chat.Opaque("openai", {name: message[name]})
        for name in ("audio", "function_call")
        if message.get(name)
    ]
    return tuple(parts)


def _parts(content: str | list[dict[str, Any]] | None) -> tuple[chat.Part, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (chat.Text(content),)
    return tuple([_part(part) for part in content])


def _part(part: dict[str, Any]) -> chat.Part:
    kind = part["type"]
    if kind == "text" and part.get("text") is not None:
        return chat.Text(part["text"], _cache_mark(part))
    if kind == "refusal" and part.get("refusal") is not None:
        return chat.Refusal(part["refusal"])
    if kind == "image_url" and part.get("image_url") is not None:
        image = _image(part["image_url"]["url"], part["image_url"].get("detail"))
        return msgspec.structs.replace(image, cache=_cache_mark(part))
    return chat.Opaque("openai", part)


def _cache_mark(holder: dict[str, Any]) -> chat.CacheMark | None:
    """Anthropic's `cache_control`, as OpenAI's dialect says it to routers such as OpenRouter and LiteLLM: OpenAI itself has no such marks."""
    control = holder.get("cache_control")
    ttl = obj(control).get("ttl")
    return chat.CacheMark(ttl if isinstance(ttl, str) else None) if isinstance(control, dict) else None


def _image(url: str, detail: str | None) -> chat.Image:
    """By its URL, or inline where that is a `data:` URL in base64 (RFC 2397)."""
    head, comma, data = url.partition(",")
    media_type, *parameters = head.removeprefix("data:").split(";")
    if url.startswith("data:") and comma and "base64" in parameters:
        return chat.Image(media_type=media_type, data=data, detail=detail)
    return chat.Image(url=url, detail=detail)


def _tools(tools: list[dict[str, Any]] | None, opaque: dict[str, Any]) -> tuple[chat.Tool, ...]:
    """Functions; tools of other types go to `opaque`."""
    read = []
    others = []
    for tool in tools or ():
        function = tool.get("function")
        if function is None:
            others.append(tool)
            continue
        schema = function.get("parameters") or {"type": "object", "properties": {}}
        mark = _cache_mark(tool) or _cache_mark(function)
        read.append(
            chat.Tool(function["name"], schema, function.get("description"), function.get("strict"), mark)
        )
    if others:
        opaque["tools"] = others
    return tuple(read)


def _tool_choice(choice: str | dict[str, Any] | None) -> chat.ToolChoice | None:
    """None where it is absent, or one of those that only OpenAI knows."""
    if not isinstance(choice, dict):
        return _CHOICES.get(choice or "")
    name = obj(choice.get("function")).get("name")
    return (
        chat.ToolChoice("tool", name) if choice.get("type") == "function" and isinstance(name, str) else None
    )


def _output(response_format: dict[str, Any] | None) -> chat.OutputSchema | None:
    """None where it is absent, plain text or of an unknown kind."""
    told = obj(response_format)
    if told.get("type") == "json_object":
        return chat.OutputSchema()
    inner = obj(told.get("json_schema"))
    schema = inner.get("schema")
    if told.get("type") != "json_schema" or not isinstance(schema, dict):
        return None
    return chat.OutputSchema(schema, word(inner.get("name")) or "output", inner.get("strict"))


def read_reply(data: bytes) -> chat.Reply:
    """The first choice of a completion. Raises `UpstreamBroken` where it is none."""
    peek = peek_reply(data)
    reply = decode_reply(data)
    message = obj(obj(reply["choices"][0]).get("message"))
    parts: list[chat.Part] = []
    thinking = word(message.get("reasoning_content")) or word(message.get("reasoning"))
    if thinking:
        parts.append(chat.Thinking(thinking))
    text = visible(message.get("content"))
    if text:
        parts.append(chat.Text(text))
    if message.get("refusal"):
        parts.append(chat.Refusal(message["refusal"]))
    for call in objects(message.get("tool_calls")):
        function = obj(call.get("function"))
        if not word(function.get("name")):
            raise UpstreamBroken("the answer calls a tool without a name")
        arguments = word(function.get("arguments")) or "{}"
        parts.append(chat.ToolUse(word(call.get("id")), function["name"], arguments))
    return chat.Reply(
        id=peek.id,
        model=peek.model,
        parts=tuple(parts),
        stop=read_stop(peek.stop, refused=bool(message.get("refusal"))),
        usage=peek.usage,
        created_s=created_s(reply),
    )


def read_stop(finish_reason: str | None, *, refused: bool) -> chat.Stop | None:
    """Why the answer ended. OpenAI says "stop" also of a refusal, which it keeps in a field of its own."""
    if finish_reason is None:
        return None
    return "refusal" if refused else STOPS.get(finish_reason, "end")


def created_s(reply: dict[str, Any]) -> int:
    """The reply's own time in Unix seconds; 0 where it tells none."""
    created = reply.get("created")
    return int(created) if isinstance(created, int | float) and not isinstance(created, bool) else 0
