"""Errors as the two dialects write them, with the headers that their SDKs obey.

Both SDKs retry twice by themselves unless `x-should-retry: false` says that it is of no use: whoever has spent the retries must say so.
Shapes: OpenAI's API reference, "Error codes"; `anthropic.types.shared.ErrorType`.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.chat import Dialect
from smallfirst.errors import BudgetExceeded, CallError, RateLimited, UpstreamRefused
from smallfirst.wire import sse
from smallfirst.wire.decode import NOT_JSON, obj

_OVERLOADED: dict[Dialect, int] = {"openai": 503, "anthropic": 529}
_ANTHROPIC_TYPES = frozenset(
    (
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "timeout_error",
        "api_error",
        "overloaded_error",
        "conflict_error",
    )
)
_TYPE_BY_STATUS = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    422: "invalid_request_error",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}
_OPENAI_TYPES = {
    "api_error": "server_error",
    "authentication_error": "invalid_request_error",
    "billing_error": "insufficient_quota",
    "not_found_error": "invalid_request_error",
    "overloaded_error": "server_error",
    "request_too_large": "invalid_request_error",
    "timeout_error": "server_error",
}
_TYPES_FROM_OPENAI = {"server_error": "api_error", "insufficient_quota": "billing_error"}
_MAX_MESSAGE_CHARS = 2000
_MAX_EXCERPT_BYTES = 200


def render(
    error: CallError, *, dialect: Dialect, request_id: str
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body. An upstream's own refusal passes as it was said where it was said in the client's dialect."""
    if isinstance(error, UpstreamRefused) and _is_of(dialect, error.body):
        status, body = error.status, error.body
    else:
        kind = _kind(error)
        status = _OVERLOADED[dialect] if kind == "overloaded_error" else error.status
        body = msgspec.json.encode(_object(error, dialect, request_id))
    id_ = request_id.encode("ascii", "replace")
    headers = [
        (b"content-type", b"application/json"),
        (b"x-should-retry", b"true" if error.retry else b"false"),
        (b"x-request-id", id_),
        (b"request-id", id_),
    ]
    if error.retry_after_s is not None:
        headers.append((b"retry-after-ms", b"%d" % math.ceil(error.retry_after_s * 1000)))
        headers.append((b"retry-after", b"%d" % math.ceil(error.retry_after_s)))
    return status, headers, body


def render_in_stream(error: CallError, dialect: Dialect) -> bytes:
    """The error as the event that ends a stream."""
    data = msgspec.json.encode(_object(error, dialect, None))
    return sse.encode(data, "error" if dialect == "anthropic" else None)


def upstream_message(body: bytes, dialect: Dialect) -> str:
    """What an error body says, on one line and bounded; a short excerpt where it is no error of any dialect. Never raises."""
    del dialect  # both keep it in the same place, and so do their imitators
    try:
        told = obj(msgspec.json.decode(body[: limits.MAX_ERROR_BODY_BYTES]))
    except NOT_JSON:
        return _one_line(body[:_MAX_EXCERPT_BYTES].decode("utf-8", "replace"))
    inner = told.get("error")
    message = inner if isinstance(inner, str) else obj(inner).get("message")
    message = message or told.get("message") or told.get("detail") or ""
    return _one_line(message if isinstance(message, str) else str(message))


def anthropic_type(kind: str) -> str:
    """An error's type in Anthropic's words."""
    kind = _TYPES_FROM_OPENAI.get(kind, kind)
    return kind if kind in _ANTHROPIC_TYPES else "api_error"


def openai_type(kind: str) -> str:
    """An error's type in OpenAI's words."""
    return _OPENAI_TYPES.get(kind, kind)


def _one_line(text: str) -> str:
    """No line breaks, no control characters: it may be logged."""
    words = " ".join(text[: 2 * _MAX_MESSAGE_CHARS].split())
    return "".join([char for char in words if char.isprintable()])[:_MAX_MESSAGE_CHARS]


def _is_of(dialect: Dialect, body: bytes) -> bool:
    try:
        told = obj(msgspec.json.decode(body))
    except NOT_JSON:
        return False
    is_anthropics = told.get("type") == "error"
    return bool(obj(told.get("error"))) and is_anthropics == (dialect == "anthropic")


def _kind(error: CallError) -> str:
    """The type in the words of the tree, which are Anthropic's."""
    if not isinstance(error, UpstreamRefused):
        return error.type
    return _TYPE_BY_STATUS.get(error.status, "api_error" if error.status >= 500 else "invalid_request_error")


def _object(error: CallError, dialect: Dialect, request_id: str | None) -> dict[str, Any]:
    kind = _kind(error)
    message = error.message[:_MAX_MESSAGE_CHARS]
    if dialect == "anthropic":
        told: dict[str, Any] = {"type": "error", "error": {"type": anthropic_type(kind), "message": message}}
        return told | ({"request_id": request_id} if request_id else {})
    type_ = _openai_type(error, kind)
    return {"error": {"message": message, "type": type_, "param": error.param, "code": error.code}}


def _openai_type(error: CallError, kind: str) -> str:
    if isinstance(error, BudgetExceeded):
        return "insufficient_quota"
    if isinstance(error, RateLimited):  # OpenAI names what ran out: requests or tokens
        return "tokens" if "tokens" in error.counted else "requests"
    return openai_type(kind)
