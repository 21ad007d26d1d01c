"""Typed decoding of request bodies: what is wrong is told with its path in the words of the dialect."""

from __future__ import annotations

import re
from typing import Any, TypeVar

import msgspec

from smallfirst import limits
from smallfirst.chat import Dialect
from smallfirst.errors import BadRequest, UpstreamBroken
from smallfirst.wire.depth import deeper_than

T = TypeVar("T")

NOT_JSON = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""What msgspec raises for bytes that are not the JSON that was asked for."""

_MISSING = re.compile(r"Object missing required field `(.+)`")
_ROLES: dict[Dialect, str] = {
    "openai": "'system', 'developer', 'user', 'assistant', 'tool' or 'function'",
    "anthropic": "'user', 'assistant' or 'system'",
}
_MAX_SHOWN_CHARS = 40
_fields = msgspec.json.Decoder(dict[str, Any])


def decode_body(decoder: msgspec.json.Decoder[T], data: bytes, dialect: Dialect = "openai") -> T:
    """The typed body. Raises `BadRequest`: its `param` is the path of the wrong field, as in `messages[0].role` (OpenAI) or
    `messages.0.role` (Anthropic), its message what was expected there and what was found.

    Where a field is given twice the last one counts, as with nearly every JSON parser, so that no other is smuggled past.
    """
    try:
        body = decoder.decode(data)
        if not data.isascii():
            data.decode()  # the decoder skips unknown fields without looking into their strings
    except msgspec.ValidationError as error:
        raise _wrong(str(error), data, dialect) from None
    except UnicodeDecodeError:
        raise BadRequest("the body is not valid UTF-8") from None
    except msgspec.DecodeError as error:
        raise BadRequest(f"the body is not valid JSON: {error}") from None
    except RecursionError:
        raise _too_deep() from None
    if deeper_than(data, limits.MAX_JSON_DEPTH):
        raise _too_deep()
    return body


def decode_fields(data: bytes) -> dict[str, Any]:
    """A whole request body, untyped. Raises `BadRequest`, also for what typed decoding skips: numbers beyond a double."""
    try:
        return _fields.decode(data)
    except NOT_JSON as error:
        raise BadRequest(f"the body cannot be read as a whole: {error}") from None


def decode_reply(data: bytes) -> dict[str, Any]:
    """An upstream's JSON object, untyped. Raises `UpstreamBroken`."""
    try:
        return _fields.decode(data)
    except NOT_JSON as error:
        raise UpstreamBroken(f"the upstream sent something that is no JSON object ({error})") from None


def obj(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one: for reading what a provider may leave out or null."""
    return value if isinstance(value, dict) else {}


def objects(value: Any) -> list[dict[str, Any]]:
    """The objects of a list; none where it is no list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def word(value: Any) -> str:
    """The value if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def count(value: Any) -> int:
    """A number of tokens: 0 for what is absent, null, negative, not finite or not a number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return 0
    return int(value)


def _too_deep() -> BadRequest:
    return BadRequest(f"the body is nested too deeply: at most {limits.MAX_JSON_DEPTH} levels are read")


def _wrong(message: str, data: bytes, dialect: Dialect) -> BadRequest:
    what, _, path = message.partition(" - at `")
    param = path.removesuffix("`").removeprefix("$").removeprefix(".").replace("[...]", "")
    missing = _MISSING.fullmatch(what)
    if missing:
        param = f"{param}.{missing[1]}" if param else missing[1]
        what = "required, but missing"
    elif what.startswith("Invalid enum value"):  # roles are the only closed set
        what = f"Expected {_ROLES[dialect]}, got {what.removeprefix('Invalid enum value ')}"
    elif ", got " not in what:
        what += _found(data, param)
    if dialect == "anthropic":
        param = param.replace("[", ".").replace("]", "")
    if not param:
        return BadRequest(f"the body: {what}")
    return BadRequest(f"{param}: {what}", param=param)


def _found(data: bytes, param: str) -> str:
    """`, got …`: what stands at the path, if it is short and can be said."""
    try:
        value = msgspec.json.decode(data)
        for step in re.findall(r"[^.\[\]]+", param):
            value = value[int(step)] if isinstance(value, list) else value[step]
    except (*NOT_JSON, KeyError, IndexError, TypeError, ValueError):
        return ""
    if isinstance(value, list):
        return f", got an array of {len(value)}"
    shown = "" if isinstance(value, dict | str) else msgspec.json.encode(value).decode()
    return f", got {shown}" if 0 < len(shown) <= _MAX_SHOWN_CHARS else ""
