"""Calls in logs: a request and its answer side by side, a conversation that ends in its answer, or a row of named fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from smallfirst.datasets.logs import is_conversation
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.assess.reading.columns import Columns, Facts, with_facts
from smallfirst.planning.assess.reading.exchanged import answered, asked, is_reply, schema_name, tool_names

_REQUESTS = ("request", "body", "params", "kwargs", "input")
_ANSWERS = ("response", "completion", "result", "output", "reply")
_FIRST_BAD_STATUS = 400


def is_exchange(value: dict[str, Any]) -> bool:
    """Whether a request or a provider's answer lies in a row as it was sent."""
    request = _object(value, _REQUESTS)
    return bool(request and request.keys() & {"messages", "input", "prompt"}) or _is_stored(value)


def _is_stored(value: dict[str, Any]) -> bool:
    """Whether a row is what a provider has stored: question and answer in one."""
    return "choices" in value or value.get("object") in ("chat.completion", "response")


def read_row(value: dict[str, Any], columns: Columns) -> Iterator[Observed]:
    """The call of one row. Raises `BadRequest` and `ValueError` that name the field."""
    facts = Facts(columns, value)
    request = _object(value, _REQUESTS)
    if request is not None and ("messages" in request or "input" in request or "prompt" in request):
        yield with_facts(asked(request) | _known(_reply(value)), facts)
    elif _is_stored(value):
        yield with_facts(asked(value) | _known(answered(value)), facts)
    elif is_conversation(value):
        told = answered(value["messages"][-1])
        yield with_facts(asked(value | {"messages": value["messages"][:-1]}) | _known(told), facts)
    else:
        yield with_facts(_fields(facts), facts)


def _reply(value: dict[str, Any]) -> dict[str, Any]:
    for name in _ANSWERS:
        found = value.get(name)
        if isinstance(found, str) and found:
            return answered(reply_of(found))
        if isinstance(found, dict):
            status = found.get("status_code", found.get("status"))
            inner = found.get("body")
            told = answered(inner if isinstance(inner, dict | str) else found)
            bad = isinstance(status, int) and status >= _FIRST_BAD_STATUS
            return told | {"failed": True} if bad else told
    return {"answer": ""}


def _fields(facts: Facts) -> dict[str, Any]:
    """Of a row whose request and answer lie apart in fields, as tables have them."""
    given = request_of(facts.raw("messages"))
    if given is None:
        given = request_of(facts.raw("prompt"))
    if isinstance(given, dict):
        seen = asked(given)
    else:
        system = facts.raw("system")
        body = {"messages": given if isinstance(given, list) else _text(given)}
        seen = asked(body | ({"system": system} if isinstance(system, str) and system.strip() else {}))
    seen |= _known(answered(reply_of(facts.raw("answer"))))
    tools, schema = _decoded(facts.raw("tools")), _decoded(facts.raw("schema"))
    return (
        seen
        | ({"tools": tool_names(tools)} if tools else {})
        | ({"schema": schema_name(schema)} if schema else {})
    )


def _text(given: Any) -> str:
    return "" if given is None else given if isinstance(given, str) else msgspec.json.encode(given).decode()


def _known(told: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value is not None}


def _object(value: dict[str, Any], names: tuple[str, ...]) -> dict[str, Any] | None:
    """A part of a row that is an object, or JSON of one; in HTTP logs it lies one deeper, in `body`."""
    for name in names:
        found = value.get(name)
        if isinstance(found, str) and found[:1] == "{":
            found = request_of(found)
        if isinstance(found, dict):
            inner = found.get("body")
            if isinstance(inner, str):
                inner = request_of(inner)
            return inner if isinstance(inner, dict) else found
    return None


def request_of(value: Any) -> Any:
    """A text that is a request, or messages, in JSON; anything else is itself."""
    found = _decoded(value)
    if isinstance(found, dict) and found.keys() & {"messages", "input", "prompt"}:
        return found
    if isinstance(found, list) and found and all(isinstance(item, dict) and "role" in item for item in found):
        return found
    return value


def reply_of(value: Any) -> Any:
    """A text that is an API's answer in JSON; anything else is itself, for an answer may be JSON of its own."""
    found = _decoded(value)
    if isinstance(found, list) and found and isinstance(found[-1], dict) and "role" in found[-1]:
        found = found[-1]
    return (
        found if isinstance(found, dict) and (is_reply(found) or found.get("object") == "response") else value
    )


def _decoded(value: Any) -> Any:
    if not isinstance(value, str) or value.lstrip()[:1] not in ("{", "["):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value
