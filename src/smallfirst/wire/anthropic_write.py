"""From `chat` to Anthropic's dialect: requests and whole replies. What cannot be said is in `crossing.py`."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst import chat
from smallfirst.errors import Untranslatable
from smallfirst.wire.anthropic_usage import write_usage
from smallfirst.wire.crossing import cannot_say, no_such_part, places, refuse_opaque
from smallfirst.wire.decode import NOT_JSON

DEFAULT_MAX_TOKENS = 8192
"""Anthropic demands a limit; OpenAI's clients need not give one. What its smallest current models allow."""

STOP_WORDS: dict[chat.Stop, str] = {
    "end": "end_turn",
    "length": "max_tokens",
    "stop_sequence": "stop_sequence",
    "tool_use": "tool_use",
    "refusal": "refusal",
    "pause": "pause_turn",
}
_SYSTEM = ("system", "developer")
_EFFORTS = {"minimal": "low"}  # all other words are the same, but for "none", which is no thinking


def write_request(request: chat.Request) -> dict[str, Any]:
    """A messages body. Raises `Untranslatable` naming the field that Anthropic's dialect has no word for."""
    refuse_opaque(request, "anthropic")
    if request.temperature is not None and request.temperature > 1:
        raise cannot_say("temperature", "anthropic", f"it goes up to 1, and {request.temperature} was asked")
    system, messages = _messages(request)
    output_config = {"effort": _effort(request), "format": _format(request.output)}
    optional = {
        "system": _plain_or_blocks(system) if system else None,
        "tools": [_tool(tool) for tool in request.tools] or None,
        "tool_choice": _tool_choice(request),
        "temperature": request.temperature,
        "top_p": request.top_p,
        "top_k": request.top_k,
        "stop_sequences": list(request.stop) or None,
        "metadata": {"user_id": request.user} if request.user else None,
        "stream": True if request.stream else None,
        "thinking": _thinking(request),
        "output_config": {name: value for name, value in output_config.items() if value is not None} or None,
    }
    body: dict[str, Any] = {
        "model": request.model,
        "max_tokens": DEFAULT_MAX_TOKENS if request.max_tokens is None else request.max_tokens,
        "messages": messages,
    }
    body |= {name: value for name, value in optional.items() if value is not None}
    return _with_opaque(body, request) if request.dialect == "anthropic" else body


def _with_opaque(body: dict[str, Any], request: chat.Request) -> dict[str, Any]:
    """What was only Anthropic's to say, where it was."""
    for name, value in request.opaque.items():
        if name == "tools":
            body[name] = [*body.get(name, ()), *value]
        elif name in ("metadata", "output_config"):
            body[name] = body.get(name, {}) | value
        else:
            body[name] = value
    return body


def _effort(request: chat.Request) -> str | None:
    effort = request.reasoning_effort
    return None if effort == "none" else _EFFORTS.get(effort or "", effort)


def _thinking(request: chat.Request) -> dict[str, Any] | None:
    if request.thinking_budget_tokens is not None:
        return {"type": "enabled", "budget_tokens": request.thinking_budget_tokens}
    return {"type": "disabled"} if request.reasoning_effort == "none" else None


def _format(output: chat.OutputSchema | None) -> dict[str, Any] | None:
    if output is None:
        return None
    if output.schema is None:
        raise cannot_say("response_format", "anthropic", "it has no json_object; give a json_schema")
    return {"type": "json_schema", "schema": output.schema}


def _messages(request: chat.Request) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The blocks of the system prompt, and the turns.

    OpenAI's system and developer messages all go to the system prompt, wherever they stood, and its turns of one role that follow each
    other become one: so Anthropic reads them anyway.
    """
    theirs = request.dialect == "openai"
    system: list[dict[str, Any]] = []
    turns: list[dict[str, Any]] = []
    for index, (message, place) in enumerate(zip(request.messages, places(request), strict=True)):
        where = place if place == "system" else f"{place}.content"
        if message.name is not None:
            raise cannot_say(f"{place}.name", "anthropic", "its speakers have no names")
        blocks = _blocks(message.parts, where)
        if message.role in _SYSTEM and (theirs or index == 0):
            system += blocks
        elif theirs and turns and turns[-1]["role"] == message.role:
            turns[-1]["content"] += blocks
        elif blocks or not theirs:
            turns.append({"role": message.role, "content": blocks})
    if not turns:
        raise cannot_say("messages", "anthropic", "it needs a message beside the system prompt")
    for turn in turns:
        turn["content"] = _plain_or_blocks(turn["content"])
    return system, turns


def _blocks(parts: tuple[chat.Part, ...], where: str) -> list[dict[str, Any]]:
    """Blocks without empty texts and without thinking that nobody signed: Anthropic refuses both."""
    return [
        _block(part, where)
        for part in parts
        if not (isinstance(part, chat.Text | chat.Refusal) and not part.text) and not is_unsigned(part)
    ]


def is_unsigned(part: chat.Part) -> bool:
    """Whether it is another model's thinking: Anthropic's is signed or redacted, and takes no other back."""
    return isinstance(part, chat.Thinking) and part.signature is None and part.redacted is None


def _plain_or_blocks(blocks: list[dict[str, Any]]) -> str | list[dict[str, Any]]:
    """A lone text without marks as a string."""
    return blocks[0]["text"] if len(blocks) == 1 and blocks[0].keys() == {"type", "text"} else blocks


def _block(part: chat.Part, where: str) -> dict[str, Any]:
    block = _unmarked(part, where)
    cache = None if isinstance(part, chat.Thinking | chat.Refusal | chat.Opaque) else part.cache
    return block if cache is None else block | {"cache_control": _cache_control(cache)}


def _cache_control(mark: chat.CacheMark) -> dict[str, Any]:
    return {"type": "ephemeral"} | ({"ttl": mark.ttl} if mark.ttl else {})


def _unmarked(part: chat.Part, where: str) -> dict[str, Any]:
    match part:
        case chat.Text() | chat.Refusal():
            return {"type": "text", "text": part.text}
        case chat.Image():
            return {"type": "image", "source": _source(part, where)}
        case chat.ToolUse():
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": _input(part, where)}
        case chat.ToolResult():
            return _result(part, where)
        case chat.Thinking(redacted=None):
            return {"type": "thinking", "thinking": part.text, "signature": part.signature or ""}
        case chat.Thinking():
            return {"type": "redacted_thinking", "data": part.redacted}
        case chat.Opaque(dialect="anthropic"):
            return part.value
        case _:
            raise no_such_part(where, part, "anthropic")


def _source(image: chat.Image, where: str) -> dict[str, Any]:
    if image.url is None:
        return {"type": "base64", "media_type": image.media_type, "data": image.data}
    if image.url.startswith("data:"):
        raise cannot_say(where, "anthropic", "an inline image must be base64")
    return {"type": "url", "url": image.url}


def _result(result: chat.ToolResult, where: str) -> dict[str, Any]:
    written: dict[str, Any] = {"type": "tool_result", "tool_use_id": result.tool_use_id}
    blocks = _blocks(result.parts, where)
    if blocks:
        written["content"] = _plain_or_blocks(blocks)
    if result.is_error:
        written["is_error"] = True
    return written


def _input(call: chat.ToolUse, where: str) -> dict[str, Any]:
    """A tool call's JSON text as the object that Anthropic keeps."""
    try:
        value = msgspec.json.decode(call.arguments or "{}")
    except (*NOT_JSON, UnicodeEncodeError):
        value = None
    if not isinstance(value, dict):
        raise Untranslatable(
            f"{where}: the arguments of the tool call {call.id!r} are no JSON object", param=where
        )
    return value


def _tool(tool: chat.Tool) -> dict[str, Any]:
    written: dict[str, Any] = {"name": tool.name, "input_schema": tool.schema}
    if tool.description is not None:
        written["description"] = tool.description
    if tool.strict is not None:
        written["strict"] = tool.strict
    if tool.cache is not None:
        written["cache_control"] = _cache_control(tool.cache)
    return written


def _tool_choice(request: chat.Request) -> dict[str, Any] | None:
    choice, parallel = request.tool_choice, request.parallel_tool_calls
    if choice is None:
        if parallel is not False or not request.tools:
            return None
        choice = chat.ToolChoice("auto")
    written: dict[str, Any] = {"type": choice.mode}
    if choice.mode == "tool":
        written["name"] = choice.name
    if parallel is not None and choice.mode != "none":
        written["disable_parallel_tool_use"] = not parallel
    return written


def write_reply(reply: chat.Reply, *, model: str) -> dict[str, Any]:
    """A message. Thinking that nobody signed is left out: Anthropic would refuse it in the next request."""
    return {
        "id": reply.id or "msg",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [_reply_block(part) for part in reply.parts if not is_unsigned(part)],
        "stop_reason": STOP_WORDS[reply.stop or "end"],
        "stop_sequence": reply.stop_sequence,
        "usage": write_usage(reply.usage or chat.Usage()),
    }


def _reply_block(part: chat.Part) -> dict[str, Any]:
    if isinstance(part, chat.ToolUse):
        try:
            return _unmarked(part, "content")
        except Untranslatable:  # what the model wrote is no JSON object: shown, not lost
            unparsed = {"_unparsed": part.arguments}
            return {"type": "tool_use", "id": part.id, "name": part.name, "input": unparsed}
    return _unmarked(part, "content")
