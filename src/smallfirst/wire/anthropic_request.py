"""A messages request: its typed shape.

Shapes: Anthropic's API reference, as typed in the official SDK (`anthropic.types.message_create_params`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from smallfirst.errors import BadRequest
from smallfirst.wire.decode import decode_body
from smallfirst.wire.openai_request import Count, Share

_MEDIA = ("image", "document")


class Block(msgspec.Struct):
    """A content block of any kind: the fields of the kinds that are read here, typed."""

    type: str
    text: str | None = None
    source: str | dict[str, Any] | None = None
    id: str | None = None
    name: str | None = None
    input: Any = None
    tool_use_id: str | None = None
    content: Any = None
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    cache_control: dict[str, Any] | None = None


class ClaudeMessage(msgspec.Struct):
    role: Literal["user", "assistant", "system"]
    content: str | list[Block]


class ClaudeTool(msgspec.Struct):
    """A tool of the client's, or one that the provider runs: some of the latter have no name."""

    name: str | None = None
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: dict[str, Any] | None = None


class Body(msgspec.Struct):
    """The known fields. What is not here passes through unread."""

    model: str
    messages: Annotated[list[ClaudeMessage], Meta(min_length=1)]
    max_tokens: Count
    cache_control: dict[str, Any] | None = None
    compaction: dict[str, Any] | None = None
    container: str | dict[str, Any] | None = None
    context_management: dict[str, Any] | None = None
    diagnostics: dict[str, Any] | None = None
    inference_geo: str | None = None
    mcp_servers: list[dict[str, Any]] | None = None
    metadata: dict[str, Any] | None = None
    output_config: dict[str, Any] | None = None
    output_format: dict[str, Any] | None = None
    service_tier: str | None = None
    speed: str | None = None
    stop_sequences: list[str] | None = None
    stream_: bool | None = msgspec.field(name="stream", default=None)
    system: str | list[Block] | None = None
    temperature: Share | None = None
    thinking: dict[str, Any] | None = None
    tool_choice: dict[str, Any] | None = None
    tools: list[ClaudeTool] | None = None
    top_k: Count | None = None
    top_p: Share | None = None
    user_profile_id: str | None = None
    workspace_id: str | None = None

    choices = 1
    stream_usage = True

    @property
    def stream(self) -> bool:
        return bool(self.stream_)

    @property
    def max_output_tokens(self) -> int:
        return self.max_tokens

    @property
    def tools_count(self) -> int:
        return len(self.tools or ())

    @property
    def message_count(self) -> int:
        return len(self.messages)

    @property
    def image_count(self) -> int:
        """Images and documents, also those that tools gave back."""
        return sum(
            block.type in _MEDIA or _media_given_back(block)
            for message in self.messages
            if isinstance(message.content, list)
            for block in message.content
        )


def _media_given_back(block: Block) -> int:
    """How many images and documents a tool result holds."""
    content = block.content if block.type == "tool_result" else None
    if not isinstance(content, list):
        return 0
    return sum(isinstance(inner, dict) and inner.get("type") in _MEDIA for inner in content)


_decoder = msgspec.json.Decoder(Body)


def decode(data: bytes) -> Body:
    """The typed body. Raises `BadRequest` with the path of what is wrong, as in `messages.0.role`."""
    body = decode_body(_decoder, data, "anthropic")
    if not body.model:
        raise BadRequest("model: expected the name of a model", param="model")
    return body
