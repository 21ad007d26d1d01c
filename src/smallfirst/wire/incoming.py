"""A client's request: its bytes, what of them the gateway reads, and the same request as another model needs to be asked.

Within one dialect nothing is rebuilt: the fields that must differ are replaced in the client's own JSON, all others pass byte for byte, known
or not. Across dialects the request goes through `chat.Request`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any, Literal

import msgspec

from smallfirst import chat, limits
from smallfirst.chat import Dialect
from smallfirst.errors import Untranslatable
from smallfirst.wire import anthropic_messages, openai_chat, openai_other, raw
from smallfirst.wire.turns import Conversation, read_conversation

Route = Literal["chat", "messages", "completions", "embeddings"]

_DECODERS = {
    "chat": openai_chat.decode,
    "messages": anthropic_messages.decode,
    "completions": openai_other.decode_completions,
    "embeddings": openai_other.decode_embeddings,
}

# What an engine that the user owns is sent. Everything else a client may invent (`lora`, `cache_salt`, …) stays outside.
_OWNED_ENGINE_FIELDS = frozenset(
    (  # noqa: SIM905 (read as a sentence)
        "model messages prompt input stream stream_options max_tokens max_completion_tokens temperature top_p top_k min_p n stop seed "
        "frequency_penalty presence_penalty logit_bias logprobs top_logprobs response_format tools tool_choice parallel_tool_calls "
        "user echo suffix best_of encoding_format dimensions reasoning_effort"
    ).split()
)
_SYSTEM_ROLES = ("system", "developer")


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """How a request differs when it is put to one model: everything that is None stays as the client sent it."""

    model: str
    stream: bool | None = None
    include_usage: bool = False  # ask for the usage chunk, whether or not the client did
    instructions: str | None = None  # replaces the system prompt
    shots: tuple[
        tuple[str, str], ...
    ] = ()  # what users said and what was right: turns before the first of the conversation
    max_tokens: int | None = None
    temperature: float | None = None
    fields: dict[str, Any] = {}  # set besides, in the target's dialect
    owned_engine: bool = False


class _Role(msgspec.Struct):
    role: str


class Incoming:
    """One request, decoded once. Raises `BadRequest` naming the path of what is wrong."""

    def __init__(self, route: Route, data: bytes) -> None:
        self.route: Route = route
        self.dialect: Dialect = "anthropic" if route == "messages" else "openai"
        self.data = data
        self.body = _DECODERS[route](data)
        self.model: str = self.body.model
        self.stream: bool = self.body.stream

    @cached_property
    def fields(self) -> raw.Fields:
        """The top-level fields, their values undecoded."""
        return raw.read_fields(self.data)

    @cached_property
    def request(self) -> chat.Request:
        """The request without its dialect. Only chat and messages have one."""
        if self.route == "chat":
            return openai_chat.read_request(self.data)
        if self.route == "messages":
            return anthropic_messages.read_request(self.data)
        raise Untranslatable(f"/{self.route} has no counterpart in another dialect")

    @cached_property
    def conversation(self) -> Conversation:
        """What was said so far, as whoever decides about the call reads it; empty for routes that have no turns."""
        if self.route in ("chat", "messages"):
            return read_conversation(self.body)
        return Conversation(turns=())

    @cached_property
    def has_system(self) -> bool:
        """Whether the client sent a system prompt of its own."""
        if self.route == "messages":
            return "system" in self.fields
        if self.route != "chat":
            return False
        return any(message.role in _SYSTEM_ROLES for message in self._openai_roles())

    @property
    def wants_logprobs(self) -> bool:
        """Whether the client itself has asked for its tokens' log-probabilities."""
        return bool(getattr(self.body, "logprobs", None))

    @property
    def prompt_tokens_at_most(self) -> int:
        """An upper bound: a byte-level tokenizer never makes more tokens than bytes; an inline image counts by its own bound."""
        images = self.body.image_count
        size = len(self.data)
        if images:
            size = sum(_bytes_without_images(message) for message in self.request.messages)
        extra = (
            images * limits.RESERVED_TOKENS_PER_IMAGE
            + self.body.message_count * limits.RESERVED_TOKENS_PER_MESSAGE
        )
        return size + extra

    def data_for(self, dialect: Dialect, changes: Changes) -> bytes:
        """The request's body as a model of `dialect` is to be asked it. Raises `Untranslatable`."""
        if dialect == self.dialect:
            return self._patched(changes)
        return self._translated(dialect, changes)

    def _patched(self, changes: Changes) -> bytes:
        if self._says_already(changes):
            return self.data
        fields = dict(self.fields)
        if changes.owned_engine:
            fields = {name: value for name, value in fields.items() if name in _OWNED_ENGINE_FIELDS}
        fields["model"] = _raw(changes.model)
        if changes.stream is not None:
            fields["stream"] = _raw(changes.stream)
        if changes.include_usage and self.dialect == "openai" and not self.body.stream_usage:
            sent = bytes(fields.get("stream_options", b"null"))
            options = {} if sent == b"null" else raw.read_fields(sent)
            options["include_usage"] = _raw(True)
            fields["stream_options"] = _raw(options)
        if changes.stream is False:
            fields.pop("stream_options", None)
        if changes.instructions is not None:
            self._instruct(fields, changes.instructions)
        if changes.shots:
            _show(fields, changes.shots)
        if changes.max_tokens is not None and self.body.max_output_tokens is None:
            fields["max_tokens"] = _raw(changes.max_tokens)
        if changes.temperature is not None:
            fields["temperature"] = _raw(changes.temperature)
        for name, value in changes.fields.items():
            fields[name] = _raw(value)
        return raw.write_fields(fields)

    def _says_already(self, changes: Changes) -> bool:
        """Whether the client's own bytes are exactly what is wanted: the common case of a call that is passed on."""
        return (
            changes.model == self.model
            and (changes.stream is None or changes.stream == self.stream)
            and not (
                changes.include_usage
                and self.stream
                and self.dialect == "openai"
                and not self.body.stream_usage
            )
            and not changes.owned_engine
            and changes.instructions is None
            and not changes.shots
            and (changes.max_tokens is None or self.body.max_output_tokens is not None)
            and changes.temperature is None
            and not changes.fields
        )

    def _instruct(self, fields: raw.Fields, instructions: str) -> None:
        if self.route == "messages":
            mark = self._system_mark()
            block = {"type": "text", "text": instructions, "cache_control": mark}
            fields["system"] = _raw(instructions if mark is None else [block])
            return
        messages = msgspec.json.decode(bytes(fields["messages"]), type=list[msgspec.Raw])
        kept = [
            message
            for message, role in zip(messages, self._openai_roles(), strict=True)
            if role.role not in _SYSTEM_ROLES
        ]
        fields["messages"] = _raw([{"role": "system", "content": instructions}, *kept])

    def _system_mark(self) -> dict[str, Any] | None:
        """Where the client's system prompt ends in a cache mark, that mark: other instructions in its place are as good to cache."""
        system = self.body.system
        return system[-1].cache_control if isinstance(system, list) and system else None

    def _openai_roles(self) -> list[_Role]:
        return msgspec.json.decode(bytes(self.fields["messages"]), type=list[_Role])

    def _translated(self, dialect: Dialect, changes: Changes) -> bytes:
        request = self.request
        messages = request.messages
        if changes.instructions is not None:
            replaced = [message for message in messages if message.role in _SYSTEM_ROLES]
            last = replaced[-1].parts[-1] if replaced and replaced[-1].parts else None
            mark = last.cache if isinstance(last, chat.Text) else None
            system = chat.Message("system", (chat.Text(changes.instructions, mark),))
            messages = (system, *(message for message in messages if message.role not in _SYSTEM_ROLES))
        if changes.shots:
            messages = _shown(messages, changes.shots)
        request = msgspec.structs.replace(
            request,
            model=changes.model,
            messages=messages,
            stream=request.stream if changes.stream is None else changes.stream,
            stream_usage=changes.include_usage or request.stream_usage,
            max_tokens=request.max_tokens if request.max_tokens is not None else changes.max_tokens,
            temperature=request.temperature if changes.temperature is None else changes.temperature,
        )
        write = anthropic_messages.write_request if dialect == "anthropic" else openai_chat.write_request
        body = write(request) | changes.fields
        if changes.owned_engine:
            body = {
                name: value
                for name, value in body.items()
                if name in _OWNED_ENGINE_FIELDS or name in changes.fields
            }
        return msgspec.json.encode(body)


def _show(fields: raw.Fields, shots: Sequence[tuple[str, str]]) -> None:
    """Puts examples after the system prompt and before the conversation. The same in both dialects."""
    data = bytes(fields["messages"])
    messages: list[Any] = msgspec.json.decode(data, type=list[msgspec.Raw])
    begin = _begin(message.role for message in msgspec.json.decode(data, type=list[_Role]))
    told = [
        {"role": role, "content": text}
        for shot in shots
        for role, text in zip(("user", "assistant"), shot, strict=True)
    ]
    fields["messages"] = _raw([*messages[:begin], *told, *messages[begin:]])


def _shown(messages: Sequence[chat.Message], shots: Sequence[tuple[str, str]]) -> tuple[chat.Message, ...]:
    """The same without a dialect."""
    begin = _begin(message.role for message in messages)
    told: list[chat.Message] = []
    for said, right in shots:
        told.append(chat.Message("user", (chat.Text(said),)))
        told.append(chat.Message("assistant", (chat.Text(right),)))
    return (*messages[:begin], *told, *messages[begin:])


def _begin(roles: Iterable[str]) -> int:
    """Where the conversation begins: after the system prompt that stands before it."""
    return sum(1 for _ in itertools.takewhile(lambda role: role in _SYSTEM_ROLES, roles))


def _raw(value: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(value))


def _bytes_without_images(message: chat.Message) -> int:
    def size(part: chat.Part) -> int:
        if isinstance(part, chat.Image):
            return 0
        if isinstance(part, chat.ToolResult):
            return sum(size(inner) for inner in part.parts)
        return len(msgspec.json.encode(part))

    return sum(size(part) for part in message.parts)
