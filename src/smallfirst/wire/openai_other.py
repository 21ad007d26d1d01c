"""The two smaller OpenAI routes: text completions and embeddings."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from smallfirst.errors import BadRequest, UpstreamBroken
from smallfirst.wire.decode import NOT_JSON, decode_body
from smallfirst.wire.openai_request import Choices, Count, Penalty, Share, Temperature
from smallfirst.wire.openai_usage import read_usage
from smallfirst.wire.peek import Peek


class CompletionsBody(msgspec.Struct):
    """The known fields of a `/v1/completions` request."""

    model: str
    prompt: (
        str | list[str | int | list[int]] | None
    )  # required, but may be null: the model begins a text of its own
    best_of: Choices | None = None
    echo: bool | None = None
    frequency_penalty: Penalty | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: Count | None = None
    max_tokens: Count | None = None
    n: Choices | None = None
    presence_penalty: Penalty | None = None
    seed: int | None = None
    stop: str | list[str] | None = None
    stream_: bool | None = msgspec.field(name="stream", default=None)
    stream_options: dict[str, Any] | None = None
    suffix: str | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    user: str | None = None

    tools_count = 0
    image_count = 0

    @property
    def stream(self) -> bool:
        return bool(self.stream_)

    @property
    def max_output_tokens(self) -> int | None:
        return self.max_tokens

    @property
    def message_count(self) -> int:
        """How many prompts are put at once: a list of token ids is one prompt."""
        prompt = self.prompt
        if not isinstance(prompt, list) or not prompt or isinstance(prompt[0], int):
            return 1
        return len(prompt)

    @property
    def choices(self) -> int:
        """How many texts are generated: each prompt has its own."""
        return max(self.n or 1, self.best_of or 1) * self.message_count

    @property
    def stream_usage(self) -> bool:
        return bool((self.stream_options or {}).get("include_usage"))


class EmbeddingsBody(msgspec.Struct):
    """The known fields of a `/v1/embeddings` request."""

    model: str
    input: str | list[str | int | list[int]]
    dimensions: Count | None = None
    encoding_format: str | None = None
    user: str | None = None

    stream = False
    max_output_tokens = 0
    choices = 1
    tools_count = 0
    message_count = 1
    image_count = 0
    stream_usage = False


class _Embeddings(msgspec.Struct):
    data: list[msgspec.Raw]
    model: str | None = None
    usage: Any = None


_B = TypeVar("_B", CompletionsBody, EmbeddingsBody)
_completions = msgspec.json.Decoder(CompletionsBody)
_embeddings = msgspec.json.Decoder(EmbeddingsBody)
_reply = msgspec.json.Decoder(_Embeddings)


def decode_completions(data: bytes) -> CompletionsBody:
    """The typed body. Raises `BadRequest`."""
    return _named(decode_body(_completions, data))


def decode_embeddings(data: bytes) -> EmbeddingsBody:
    """The typed body. Raises `BadRequest`."""
    return _named(decode_body(_embeddings, data))


def _named(body: _B) -> _B:
    if not body.model:
        raise BadRequest("model: expected the name of a model", param="model")
    return body


def peek_embeddings(data: bytes) -> Peek:
    """Model and usage of an embeddings reply. Raises `UpstreamBroken` where it is none."""
    try:
        reply = _reply.decode(data)
    except NOT_JSON as error:
        raise UpstreamBroken(f"the answer holds no embeddings ({error})") from None
    return Peek(model=reply.model or "", usage=read_usage(reply.usage), stop="stop")
