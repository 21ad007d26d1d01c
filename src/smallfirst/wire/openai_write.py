"""From `chat` to OpenAI's dialect: requests and whole replies. What cannot be said is in `crossing.py`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from smallfirst import chat
from smallfirst.wire.crossing import no_such_part, places, refuse_opaque
from smallfirst.wire.openai_usage import write_usage

STOP_WORDS: dict[chat.Stop, str] = {
    "end": "stop",
    "stop_sequence": "stop",
    "length": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
    "pause": "stop",
}
_EFFORTS = ((1024, "low"), (8192, "medium"))  # thinking budgets up to so many tokens; above: high


def write_request(request: chat.Request) -> dict[str, Any]:
    """A chat completions body. Raises `Untranslatable` naming the field that OpenAI's dialect has no word for."""
    refuse_opaque(request, "openai")
    body: dict[str, Any] = {"model": request.model, "messages": _messages(request)}
    optional = {
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request.tool_choice),
        "parallel_tool_calls": request.parallel_tool_calls if request.tools else None,
        # `max_tokens` is deprecated: OpenAI's reasoning models refuse it, and every engine knows its successor
        "max_completion_tokens": request.max_tokens,
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,  # engines know it; OpenAI itself refuses it by name
        "stop": list(request.stop) or None,
        "user": request.user,
        "reasoning_effort": request.reasoning_effort or _effort(request.thinking_budget_tokens),
        "response_format": _response_format(request.output),
        "stream": True if request.stream else None,
        "stream_options": {"include_usage": True} if request.stream and request.stream_usage else None,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    if request.dialect == "openai":
        opaque = dict(request.opaque)
        others = opaque.pop("tools", None)
        if others:
            body["tools"] = [*body.get("tools", ()), *others]
        body |= opaque
    return body


def _effort(budget_tokens: int | None) -> str | None:
    if budget_tokens is None:
        return None
    return next((effort for most, effort in _EFFORTS if budget_tokens <= most), "high")


def _messages(request: chat.Request) -> list[dict[str, Any]]:
    """One message's tool results come first, each as a message of its own: they answer the turn before."""
    written: list[dict[str, Any]] = []
    for message, place in zip(request.messages, places(request), strict=True):
        results = [part for part in message.parts if isinstance(part, chat.ToolResult)]
        rest = [part for part in message.parts if not isinstance(part, chat.ToolResult | chat.Thinking)]
        written += [_tool_message(result, place) for result in results]
        if rest or not results:
            written.append(_message(message, rest, place))
    return written


def _message(message: chat.Message, parts: Sequence[chat.Part], place: str) -> dict[str, Any]:
    beside = [part.value for part in parts if isinstance(part, chat.Opaque) and _stands_beside_content(part)]
    if beside and "role" in beside[0]:  # a whole message of a deprecated kind
        return beside[0]
    calls = [tool_call(part) for part in parts if isinstance(part, chat.ToolUse)]
    for value in beside:
        calls += value.get("tool_calls", ())
    refusal = "".join([part.text for part in parts if isinstance(part, chat.Refusal)])
    inside = [part for part in parts if not isinstance(part, chat.ToolUse | chat.Refusal)]
    inside = [part for part in inside if not _stands_beside_content(part)]
    content = _content(inside, place if place == "system" else f"{place}.content")
    if content is None and not (calls or refusal or beside):
        content = ""  # a turn that was nothing but thinking
    written: dict[str, Any] = {"role": message.role, "content": content}
    optional = {"name": message.name, "refusal": refusal or None, "tool_calls": calls or None}
    written |= {name: value for name, value in optional.items() if value is not None}
    for value in beside:
        written |= {name: inner for name, inner in value.items() if name != "tool_calls"}
    return written


def _stands_beside_content(part: chat.Part) -> bool:
    """Whether it is a field of the message, not one of its parts: those have a type."""
    return isinstance(part, chat.Opaque) and part.dialect == "openai" and "type" not in part.value


def tool_call(call: chat.ToolUse) -> dict[str, Any]:
    """A tool call as it stands in a message."""
    return {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}


def _tool_message(result: chat.ToolResult, place: str) -> dict[str, Any]:
    """OpenAI's results are text alone, and have no mark for an error: the text says it."""
    where = f"{place}.content"
    for part in result.parts:
        if isinstance(part, chat.Image):
            raise no_such_part(where, part, "openai")
    parts = list(result.parts)
    if result.is_error:
        first = parts[0] if parts else None
        told = first.text if isinstance(first, chat.Text) else ""
        parts[: isinstance(first, chat.Text)] = [chat.Text(f"Error: {told}")]
    content = _content(parts, where)
    return {"role": "tool", "tool_call_id": result.tool_use_id, "content": "" if content is None else content}


def _content(parts: Sequence[chat.Part], where: str) -> str | list[dict[str, Any]] | None:
    if not parts:
        return None
    if len(parts) == 1 and isinstance(parts[0], chat.Text):
        return parts[0].text
    return [_part(part, where) for part in parts]


def _part(part: chat.Part, where: str) -> dict[str, Any]:
    if isinstance(part, chat.Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, chat.Image):
        url = part.url if part.url is not None else f"data:{part.media_type};base64,{part.data}"
        detail = {} if part.detail is None else {"detail": part.detail}
        return {"type": "image_url", "image_url": {"url": url} | detail}
    if isinstance(part, chat.Opaque) and part.dialect == "openai":
        return part.value
    raise no_such_part(where, part, "openai")


def _tool(tool: chat.Tool) -> dict[str, Any]:
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}


def _tool_choice(choice: chat.ToolChoice | None) -> str | dict[str, Any] | None:
    if choice is None:
        return None
    if choice.mode == "tool":
        return {"type": "function", "function": {"name": choice.name}}
    return "required" if choice.mode == "any" else choice.mode


def _response_format(output: chat.OutputSchema | None) -> dict[str, Any] | None:
    if output is None:
        return None
    if output.schema is None:
        return {"type": "json_object"}
    told: dict[str, Any] = {"name": output.name, "schema": output.schema}
    if output.strict is not None:
        told["strict"] = output.strict
    return {"type": "json_schema", "json_schema": told}


def write_reply(reply: chat.Reply, *, model: str) -> dict[str, Any]:
    """A chat completion. Thinking is left out: OpenAI's dialect does not show it."""
    refusal = "".join([part.text for part in reply.parts if isinstance(part, chat.Refusal)])
    calls = [tool_call(part) for part in reply.parts if isinstance(part, chat.ToolUse)]
    message: dict[str, Any] = {
        "role": "assistant",
        "content": reply.text if reply.text or not (calls or refusal) else None,
        "refusal": refusal or None,
    }
    if calls:
        message["tool_calls"] = calls
    finish = finish_reason(reply.stop, refused=bool(refusal))
    usage = {} if reply.usage is None else {"usage": write_usage(reply.usage)}  # unknown is not zero
    return {
        "id": reply.id or "chatcmpl",
        "object": "chat.completion",
        "created": reply.created_s or int(time.time()),
        "model": model,
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": finish}],
    } | usage


def finish_reason(stop: chat.Stop | None, *, refused: bool) -> str:
    """OpenAI's word for why the answer ended. Of a refusal that has its own text it says "stop"."""
    if stop == "refusal" and refused:
        return "stop"
    return STOP_WORDS[stop or "end"]
