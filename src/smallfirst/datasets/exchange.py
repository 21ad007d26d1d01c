"""Requests and answers as the two APIs write them, read back: what was asked, as OpenAI's messages, and the text of what was answered."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from smallfirst.errors import BadRequest
from smallfirst.wire import anthropic_messages, openai_chat

_TOOLS = "the answer asks for tools"
_NO_TEXT = "the answer has no text"


class Asked(NamedTuple):
    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] | None


def read_request(body: dict[str, Any]) -> Asked:
    """What a request of either dialect asks. Raises `BadRequest` with the path of what is wrong."""
    if is_anthropic_request(body):
        request = anthropic_messages.read_request(msgspec.json.encode(_complete(body)))
        body = openai_chat.write_request(request)
    return Asked(checked(body.get("messages")), checked_tools(body.get("tools")))


def is_anthropic_request(body: dict[str, Any]) -> bool:
    """By what only Anthropic's messages have: a system prompt beside them, blocks of their kinds, tools with an `input_schema`."""
    if "system" in body or any("input_schema" in tool for tool in _dicts(body.get("tools"))):
        return True
    blocks = [block for message in _dicts(body.get("messages")) for block in _dicts(message.get("content"))]
    return any(
        block.get("type") in ("tool_use", "tool_result", "thinking", "image", "document") for block in blocks
    )


def checked(messages: Any) -> list[dict[str, Any]]:
    """The messages, if OpenAI's API would take them. Raises `BadRequest` with the path of what is wrong."""
    if not isinstance(messages, list) or not messages:
        raise BadRequest("messages: expected a list with at least one message", param="messages")
    openai_chat.decode(msgspec.json.encode({"model": "any", "messages": messages}))
    return messages


def checked_tools(tools: Any) -> list[dict[str, Any]] | None:
    """The tools, if they are a list of objects; None where there are none. Raises `BadRequest`."""
    if not tools:
        return None
    if not isinstance(tools, list) or not all(isinstance(tool, dict) for tool in tools):
        raise BadRequest("tools: expected a list of objects", param="tools")
    return tools


def read_answer(body: Any) -> tuple[str, str]:
    """The text of an answer in whichever form it was kept, and why there is none ("" where there is one).

    Forms: plain text, the text of a stream as the ledger keeps it, a chat completion, an Anthropic message, one message.
    """
    if isinstance(body, str):
        return (body, "") if body.strip() else ("", _NO_TEXT)
    if not isinstance(body, dict):
        return "", _NO_TEXT
    if isinstance(body.get("text"), str):
        return read_answer(body["text"])
    choices = body.get("choices")
    if isinstance(choices, list):
        first = choices[0] if choices and isinstance(choices[0], dict) else {}
        return read_answer(first.get("message") or {})
    if body.get("tool_calls") or body.get("function_call"):
        return "", _TOOLS
    content = body.get("content")
    if isinstance(content, list):
        if any(block.get("type") == "tool_use" for block in _dicts(content)):
            return "", _TOOLS
        return read_answer("".join(str(block.get("text") or "") for block in _dicts(content)))
    return read_answer(content)


def _complete(body: dict[str, Any]) -> dict[str, Any]:
    """Logs often leave out what the API demands but no reader needs."""
    return {"model": "any", "max_tokens": 1} | body


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
