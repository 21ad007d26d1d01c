"""A chat completions request: its typed shape, and what the gateway needs of it before it is asked of anyone.

Shapes: OpenAI's API reference, as typed in the official SDK (`openai.types.chat.completion_create_params`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from smallfirst import limits
from smallfirst.errors import BadRequest
from smallfirst.wire.decode import decode_body

Temperature = Annotated[float, Meta(ge=0, le=2)]
Penalty = Annotated[float, Meta(ge=-2, le=2)]
Share = Annotated[float, Meta(ge=0, le=1)]
Count = Annotated[int, Meta(ge=0)]
Choices = Annotated[int, Meta(ge=1, le=limits.MAX_CHOICES)]


class _Url(msgspec.Struct):
    url: str
    detail: str | None = None


class ContentPart(msgspec.Struct):
    """A part of any kind, also of kinds yet to come: the fields that are known, typed."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: _Url | None = None
    input_audio: dict[str, Any] | None = None
    file: dict[str, Any] | None = None


class _CalledFunction(msgspec.Struct):
    name: str
    arguments: str


class CalledTool(msgspec.Struct):
    id: str
    type: str = "function"
    function: _CalledFunction | None = None
    custom: dict[str, Any] | None = None


class ChatMessage(msgspec.Struct):
    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[CalledTool] | None = None
    tool_call_id: str | None = None
    refusal: str | None = None
    audio: dict[str, Any] | None = None
    function_call: dict[str, Any] | None = None


class _Function(msgspec.Struct):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class OfferedTool(msgspec.Struct):
    type: str
    function: _Function | None = None
    custom: dict[str, Any] | None = None


class _StreamOptions(msgspec.Struct):
    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Body(msgspec.Struct):
    """The known fields. What is not here passes through unread."""

    model: str
    messages: Annotated[list[ChatMessage], Meta(min_length=1)]
    audio: dict[str, Any] | None = None
    frequency_penalty: Penalty | None = None
    function_call: str | dict[str, Any] | None = None
    functions: list[dict[str, Any]] | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    metadata: dict[str, Any] | None = None
    modalities: list[str] | None = None
    moderation: dict[str, Any] | None = None
    n: Choices | None = None
    parallel_tool_calls: bool | None = None
    prediction: dict[str, Any] | None = None
    presence_penalty: Penalty | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: dict[str, Any] | None = None
    prompt_cache_retention: str | None = None
    reasoning_effort: str | None = None
    response_format: dict[str, Any] | None = None
    safety_identifier: str | None = None
    seed: int | None = None
    service_tier: str | None = None
    stop: str | list[str] | None = None
    store: bool | None = None
    stream_: bool | None = msgspec.field(name="stream", default=None)
    stream_options: _StreamOptions | None = None
    temperature: Temperature | None = None
    tool_choice: str | dict[str, Any] | None = None
    tools: list[OfferedTool] | None = None
    top_logprobs: Count | None = None
    top_p: Share | None = None
    user: str | None = None
    verbosity: str | None = None
    web_search_options: dict[str, Any] | None = None

    @property
    def stream(self) -> bool:
        return bool(self.stream_)

    @property
    def max_output_tokens(self) -> int | None:
        """For one choice, thinking included; None where the client leaves it to the model."""
        return self.max_completion_tokens if self.max_completion_tokens is not None else self.max_tokens

    @property
    def choices(self) -> int:
        return self.n or 1

    @property
    def tools_count(self) -> int:
        return len(self.tools or ()) + len(self.functions or ())

    @property
    def message_count(self) -> int:
        return len(self.messages)

    @property
    def image_count(self) -> int:
        return sum(
            1
            for message in self.messages
            if isinstance(message.content, list)
            for part in message.content
            if part.image_url is not None
        )

    @property
    def stream_usage(self) -> bool:
        """Whether the client has asked for the usage chunk."""
        return self.stream_options is not None and bool(self.stream_options.include_usage)


_decoder = msgspec.json.Decoder(Body)


def decode(data: bytes) -> Body:
    """The typed body. Raises `BadRequest` with the path of what is wrong."""
    body = decode_body(_decoder, data)
    if not body.model:
        raise BadRequest("model: expected the name of a model", param="model")
    return body
