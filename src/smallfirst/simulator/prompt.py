"""What a request asks of the simulated model, whatever the dialect that it came in."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .api_error import ApiError

JsonObject = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the prompt in its order; ``cache_ttl`` ("5m", "1h") marks a cache breakpoint at its end."""

    tokens: Sequence[str]
    cache_ttl: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request, parsed; frozen before anything is generated."""

    dialect: str  # openai | azure | anthropic
    endpoint: str
    model: str = ""
    identity: int = 0  # a number for the model and every token of the prompt
    system: str = ""
    user: str = ""  # the text of the last user message
    after_tool: bool = False  # the last message is the result of a tool
    segments: tuple[Segment, ...] = ()
    inputs: tuple[str, ...] = ()  # embeddings: one vector each
    dimensions: int = 256
    base64: bool = False
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"  # auto | none | required | =NAME
    parallel: bool = True
    json_mode: bool = False
    schema: Mapping[str, Any] | None = None
    n: int = 1
    stop: tuple[str, ...] = ()
    max_tokens: int | None = None
    seed: int | None = None  # another one is another sample
    effort: str | None = None
    thinking: bool = False
    stream: bool = False
    include_usage: bool = False
    logprobs: bool = False
    top_logprobs: int = 0
    extra: JsonObject = field(default_factory=dict[str, Any])  # what only the endpoint's own renderer needs

    @property
    def prompt_tokens(self) -> int:
        """How many tokens the prompt has."""
        return sum(len(segment.tokens) for segment in self.segments)


def fingerprint(*parts: object) -> int:
    """A stable 64-bit number for ``parts``: the seed of everything that must come out the same next time."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest(), "big")


def compact(value: object) -> str:
    """``value`` as JSON without spaces."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def media_tokens(part: object, size: int) -> list[str]:
    """``size`` stand-in tokens for a picture, sound or file, the same for the same content."""
    return [f"<{fingerprint(compact(part))}>"] * size


def message_tokens(role: str, body: Sequence[str]) -> list[str]:
    """The tokens of one message: three of overhead, then its body."""
    return ["<|start|>", role, "<|sep|>", *body]


def expect(body: Mapping[str, Any], name: str, kinds: type | tuple[type, ...], default: Any = None) -> Any:
    """``body[name]`` if it is of ``kinds``, ``default`` if absent or null; otherwise a 400 that names it."""
    value = body.get(name)
    if value is None:
        return default
    allowed = kinds if isinstance(kinds, tuple) else (kinds,)
    if not isinstance(value, allowed) or (isinstance(value, bool) and bool not in allowed):
        wanted = " or ".join(kind.__name__ for kind in allowed)
        raise ApiError(400, f"Invalid type for '{name}': expected {wanted}.", param=name, code="invalid_type")
    return value


def expect_positive(body: Mapping[str, Any], name: str, limit: int | None = None) -> int | None:
    """``body[name]`` as a whole number of at least 1 (and at most ``limit``), ``None`` if absent."""
    value = expect(body, name, int)
    if value is not None and (value < 1 or (limit is not None and value > limit)):
        bound = f" and at most {limit}" if limit else ""
        message = f"Invalid value for '{name}': expected at least 1{bound}."
        raise ApiError(400, message, param=name, code="integer_out_of_range")
    return value


def expect_messages(body: Mapping[str, Any], roles: Sequence[str]) -> list[JsonObject]:
    """The messages, not none, each with a role among ``roles``; otherwise a 400 that says which is wrong."""
    messages = expect(body, "messages", list)
    if not messages:
        raise ApiError(
            400,
            "Missing required parameter: 'messages'.",
            param="messages",
            code="missing_required_parameter",
        )
    for index, message in enumerate(messages):
        if not isinstance(message, dict) or message.get("role") not in roles:
            where = f"messages[{index}].role"
            wanted = ", ".join(roles)
            raise ApiError(
                400,
                f"Invalid value for '{where}': expected one of {wanted}.",
                param=where,
                code="invalid_value",
            )
    return messages


def stop_sequences(body: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """The stop sequences under ``name``: one string or a list of them."""
    value = expect(body, name, (str, list), [])
    stops = [value] if isinstance(value, str) else value
    if not all(isinstance(stop, str) for stop in stops):
        raise ApiError(400, f"Invalid type for '{name}': expected strings.", param=name)
    return tuple(stop for stop in stops if stop)


def unit_id(prefix: str, *parts: object) -> str:
    """A readable identifier that begins with ``prefix`` and is the same for the same ``parts``."""
    digest = hashlib.blake2b(repr(parts).encode("utf-8", "replace"), digest_size=12).digest()
    return prefix + base64.b32encode(digest).decode().rstrip("=").lower()
