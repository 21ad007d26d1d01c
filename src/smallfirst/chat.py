"""A conversation, whichever dialect it was said in.

These are the words that OpenAI's chat completions and Anthropic's messages have in common, and what each has alone but the other can be
told. `wire/` reads and writes them; a call whose client and provider speak the same dialect never goes through them: its bytes pass
as they are. What only one dialect can say is kept as `Opaque` and refused (`Untranslatable`) when it would have to be said in the other.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Dialect = Literal["openai", "anthropic"]
Origin = Literal["client", "eval", "shadow", "spot-check", "explore", "replay"]


class Usage(msgspec.Struct, frozen=True):
    """Tokens of one attempt, in disjoint classes: their sum is all that was read and written.

    OpenAI's `prompt_tokens` include cached ones and its `completion_tokens` include reasoning; Anthropic's `input_tokens` exclude both
    cache classes. `wire/` takes them apart, so that nobody else has to know.
    """

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0  # kept for five minutes, or for as long as the provider's standard write
    cache_write_1h_tokens: int = 0
    input_audio_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    output_audio_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """Everything that was read."""
        return (
            self.input_tokens
            + self.cache_read_tokens
            + self.cache_write_tokens
            + self.cache_write_1h_tokens
            + self.input_audio_tokens
        )

    @property
    def completion_tokens(self) -> int:
        """Everything that was written."""
        return self.output_tokens + self.reasoning_tokens + self.output_audio_tokens


# Parts of a message.


class CacheMark(msgspec.Struct, frozen=True):
    """Anthropic's `cache_control`: the prefix up to here may be cached. `ttl` is "5m" or "1h"."""

    ttl: str | None = None


class Text(msgspec.Struct, frozen=True, tag="text"):
    text: str
    cache: CacheMark | None = None


class Image(msgspec.Struct, frozen=True, tag="image"):
    """By `url`, or inline: `media_type` and `data` (base64)."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    detail: str | None = None
    cache: CacheMark | None = None


class ToolUse(msgspec.Struct, frozen=True, tag="tool_use"):
    """The model asks for a tool; `arguments` is JSON text, kept as it was written."""

    id: str
    name: str
    arguments: str
    cache: CacheMark | None = None


class ToolResult(msgspec.Struct, frozen=True, tag="tool_result"):
    tool_use_id: str
    parts: tuple[Part, ...]
    is_error: bool = False
    cache: CacheMark | None = None


class Thinking(msgspec.Struct, frozen=True, tag="thinking"):
    """Reasoning shown by the model; `signature` must survive a round trip untouched."""

    text: str
    signature: str | None = None
    redacted: str | None = None


class Refusal(msgspec.Struct, frozen=True, tag="refusal"):
    text: str


class Opaque(msgspec.Struct, frozen=True, tag="opaque"):
    """A part that only `dialect` knows (audio, documents, server tools): passed on within it, refused across."""

    dialect: Dialect
    value: dict[str, Any]


Part = Text | Image | ToolUse | ToolResult | Thinking | Refusal | Opaque
Role = Literal["system", "developer", "user", "assistant"]


class Message(msgspec.Struct, frozen=True):
    """One turn. Tool results stand in a `user` message, as in Anthropic's dialect; OpenAI's `tool` messages are read into that."""

    role: Role
    parts: tuple[Part, ...]
    name: str | None = None


class Tool(msgspec.Struct, frozen=True):
    """A function the model may ask for; `schema` is the JSON Schema of its arguments."""

    name: str
    schema: dict[str, Any]
    description: str | None = None
    strict: bool | None = None
    cache: CacheMark | None = None


class ToolChoice(msgspec.Struct, frozen=True):
    """`mode` "tool" demands the tool `name`; "any" demands some tool."""

    mode: Literal["auto", "any", "none", "tool"]
    name: str | None = None


class OutputSchema(msgspec.Struct, frozen=True):
    """Structured output: `schema` is None for "any JSON object"."""

    schema: dict[str, Any] | None = None
    name: str = "output"
    strict: bool | None = None


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a client asks for, without its transport. `opaque` holds top-level fields that only the client's own dialect can say."""

    dialect: Dialect
    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    stream: bool = False
    stream_usage: bool = False
    output: OutputSchema | None = None
    user: str | None = None
    reasoning_effort: str | None = None
    thinking_budget_tokens: int | None = None
    opaque: dict[str, Any] = {}


# What comes back.

Stop = Literal["end", "length", "stop_sequence", "tool_use", "refusal", "pause"]


class Reply(msgspec.Struct, frozen=True, kw_only=True):
    """A whole answer. `stop_sequence` is the text that ended it, where the provider says so."""

    id: str
    model: str
    parts: tuple[Part, ...]
    stop: Stop | None
    usage: Usage | None
    stop_sequence: str | None = None
    created_s: int = 0

    @property
    def text(self) -> str:
        """The visible text, without thinking and tool calls."""
        return "".join(part.text for part in self.parts if isinstance(part, Text))


# A streamed answer, event by event. `index` numbers the parts of the reply from 0 in the order in which they begin.


class Started(msgspec.Struct, frozen=True, tag="started"):
    id: str
    model: str
    usage: Usage | None = None
    created_s: int = 0


class PartStarted(msgspec.Struct, frozen=True, tag="part_started"):
    """A part begins: an empty `Text`, `Thinking` or `Refusal`, or a `ToolUse` whose arguments follow."""

    index: int
    part: Part


class PartDelta(msgspec.Struct, frozen=True, tag="part_delta"):
    """More of part `index`: text, thinking, or a fragment of a tool call's JSON. `signature` comes once, at the end of thinking."""

    index: int
    text: str = ""
    signature: str | None = None


class PartEnded(msgspec.Struct, frozen=True, tag="part_ended"):
    index: int


class Ended(msgspec.Struct, frozen=True, tag="ended"):
    """The last event of an answer that is whole."""

    stop: Stop | None
    usage: Usage | None
    stop_sequence: str | None = None


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The upstream reported an error inside the stream."""

    kind: str
    message: str


StreamEvent = Started | PartStarted | PartDelta | PartEnded | Ended | Failed
