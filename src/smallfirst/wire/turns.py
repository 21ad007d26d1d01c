"""A request as whoever decides about it reads it: what was said by whom, without the transport and in no dialect.

Read from the body that was decoded already: nothing is parsed a second time. Images, thinking and tool arguments are counted, not read.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import msgspec

from smallfirst.wire import anthropic_request, openai_request
from smallfirst.wire.decode import obj, word


class Turn(msgspec.Struct, frozen=True):
    """One message. `tool` is what a tool gave back; `calls` counts the tools that an assistant's message asks for."""

    role: Literal["user", "assistant", "tool"]
    text: str
    calls: int = 0


class Conversation(msgspec.Struct, frozen=True, kw_only=True):
    """A request's system prompt, its turns in order, and what it asks for."""

    turns: tuple[Turn, ...]
    system: str = ""
    tools: int = 0  # offered
    images: int = 0
    output: Literal["text", "json", "schema"] = "text"

    @property
    def unfinished_tool_loop(self) -> bool:
        """Whether tools have been asked for whose results the model has not answered yet."""
        last = next((turn for turn in reversed(self.turns) if turn.role != "user"), None)
        return last is not None and (last.role == "tool" or last.calls > 0)

    @property
    def tool_rounds(self) -> int:
        """How often an assistant has asked for tools so far."""
        return sum(turn.calls > 0 for turn in self.turns)


def read_conversation(body: openai_request.Body | anthropic_request.Body) -> Conversation:
    """The conversation of a chat or messages body."""
    return _openai(body) if isinstance(body, openai_request.Body) else _anthropic(body)


def _openai(body: openai_request.Body) -> Conversation:
    system: list[str] = []
    turns: list[Turn] = []
    for message in body.messages:
        text = _openai_text(message.content)
        if message.role in ("system", "developer"):
            system.append(text)
        elif message.role in ("tool", "function"):
            turns.append(Turn("tool", text))
        else:
            calls = len(message.tool_calls or ()) + (message.function_call is not None)
            turns.append(Turn("assistant" if message.role == "assistant" else "user", text, calls))
    kind = word(obj(body.response_format).get("type"))
    return Conversation(
        turns=tuple(turns),
        system="\n".join(system),
        tools=body.tools_count,
        images=body.image_count,
        output="schema" if kind == "json_schema" else "json" if kind == "json_object" else "text",
    )


def _openai_text(content: str | list[openai_request.ContentPart] | None) -> str:
    if isinstance(content, list):
        return "\n".join(part.text for part in content if part.text)
    return content or ""


def _anthropic(body: anthropic_request.Body) -> Conversation:
    system = [_anthropic_text(body.system)]
    turns: list[Turn] = []
    for message in body.messages:
        if message.role == "system":
            system.append(_anthropic_text(message.content))
            continue
        blocks = message.content if isinstance(message.content, list) else []
        turns += [Turn("tool", _given_back(block.content)) for block in blocks if block.type == "tool_result"]
        text = _anthropic_text(message.content)
        calls = _calls(blocks)
        if text or not blocks or any(block.type != "tool_result" for block in blocks):
            turns.append(Turn(message.role, text, calls))
    format_ = obj(body.output_format) or obj(obj(body.output_config).get("format"))
    return Conversation(
        turns=tuple(turns),
        system="\n".join(text for text in system if text),
        tools=body.tools_count,
        images=body.image_count,
        output="schema" if format_ else "text",
    )


def _anthropic_text(content: str | list[anthropic_request.Block] | None) -> str:
    if isinstance(content, list):
        return "\n".join(block.text for block in content if block.type == "text" and block.text)
    return content or ""


def _calls(blocks: Sequence[anthropic_request.Block]) -> int:
    """How many tools are asked for: the client's, and those of the provider's own that have not given back yet (`pause_turn`)."""
    kinds = [block.type for block in blocks]
    own = sum(kind.endswith("_tool_use") for kind in kinds)
    given = sum(kind.endswith("_tool_result") for kind in kinds)
    return kinds.count("tool_use") + max(0, own - given)


def _given_back(content: Any) -> str:
    """The text of a tool result: a string, or blocks."""
    if isinstance(content, list):
        texts = (word(obj(inner).get("text")) for inner in content)
        return "\n".join(text for text in texts if text)
    return word(content)
