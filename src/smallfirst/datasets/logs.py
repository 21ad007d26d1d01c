"""Logs of calls, an object a line: `{"request", "response"}` of either API, and conversations that end in the answer (fine-tuning files)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smallfirst.datasets.exchange import (
    Asked,
    checked,
    checked_tools,
    is_anthropic_request,
    read_answer,
    read_request,
)
from smallfirst.datasets.lines import Line, read_lines
from smallfirst.datasets.mapping import Mapping, field, moment_ms, slices_of, text_of
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import BadRequest

_REQUESTS = ("request", "body", "params", "input")
_ANSWERS = ("response", "completion", "result", "output")


def is_log(value: dict[str, Any]) -> bool:
    """Whether a line has a request and its answer side by side."""
    return _part(value, _REQUESTS) is not None and _part(value, _ANSWERS) is not None


def is_conversation(value: dict[str, Any]) -> bool:
    """Whether a line is a conversation whose last message is the answer, with no label beside it."""
    messages = value.get("messages")
    last = messages[-1] if isinstance(messages, list) and messages else None
    given = any(name in value for name in ("label", "fields", "references"))
    return not given and isinstance(last, dict) and last.get("role") == "assistant"


def read_log(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Row]:
    """The calls of a log that were answered with text."""
    for line in read_lines(path, tally):
        request, reply = _part(line.value, _REQUESTS), _part(line.value, _ANSWERS)
        if request is None or reply is None:
            tally.bad(line.where, "expected `request` and `response`, each an object")
            continue
        text, why = read_answer(reply)
        if why:
            tally.skip("requests that failed" if "error" in reply else why)
            continue
        anthropic = reply.get("type") == "message" or is_anthropic_request(request)
        try:
            asked = read_request(request)
            at_ms = _moment(line.value, reply, mapping)
        except (BadRequest, ValueError) as error:
            tally.bad(line.where, f"request: {error}")
            continue
        model = text_of(reply.get("model")) or text_of(request.get("model")) or "unknown"
        provider = mapping.provider or ("anthropic" if anthropic else "openai")
        yield _row(line, asked, text, mapping, at_ms=at_ms, model=model, provider=provider)


def read_conversations(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Row]:
    """Conversations whose last message is the right answer. Whose word that is the file does not say: it counts as given."""
    for line in read_lines(path, tally):
        messages = line.value.get("messages")
        if not isinstance(messages, list) or len(messages) < 2 or not is_conversation(line.value):
            tally.bad(line.where, "messages: expected a conversation whose last message is the assistant's")
            continue
        text, why = read_answer(messages[-1])
        if why:
            tally.skip(why)
            continue
        try:
            asked = Asked(checked(messages[:-1]), checked_tools(line.value.get("tools")))
        except BadRequest as error:
            tally.bad(line.where, str(error))
            continue
        yield _row(line, asked, text, mapping, at_ms=0, model="", provider=mapping.provider)


def _row(
    line: Line, asked: Asked, text: str, mapping: Mapping, *, at_ms: int, model: str, provider: str
) -> Row:
    group = text_of(field(line.value, mapping.group)) if mapping.group else ""
    return Row(
        messages=asked.messages,
        tools=asked.tools,
        answer=text,
        where=line.where,
        source=line.path.name,
        line=line.number,
        id=text_of(field(line.value, mapping.id or "id")),
        keys=(f"group:{group}",) if group else (),
        at_ms=at_ms,
        slices=slices_of(line.value, mapping.slices),
        reference_by=f"model:{model}" if model else "gold",
        provider=provider,
    )


def _part(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any] | None:
    """A request or an answer; in HTTP logs it lies one deeper, in `body`."""
    for name in names:
        found = value.get(name)
        if isinstance(found, dict):
            inner = found.get("body")
            return inner if isinstance(inner, dict) else found
    return None


def _moment(value: dict[str, Any], reply: dict[str, Any], mapping: Mapping) -> int:
    given = field(value, mapping.at) if mapping.at else value.get("at", value.get("timestamp"))
    return moment_ms(given if given is not None else reply.get("created"))
