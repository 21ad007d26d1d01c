"""The rest of the OpenAI surface: completions, responses, embeddings and the list of models."""

from __future__ import annotations

import base64
import math
import re
import sys
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence

from .api_error import ApiError
from .completion import deltas
from .dialect import Call, Reply
from .openai_dialect import (
    content_text,
    content_tokens,
    parse_format,
    parse_tool_choice,
    parse_tools,
    usage_block,
)
from .prices import Price, Usage
from .prompt import (
    JsonObject,
    Prompt,
    Segment,
    compact,
    expect,
    expect_positive,
    message_tokens,
    stop_sequences,
)
from .sse import Event
from .tokenizer import tokens

_DIMENSIONS_MAX = 3072
_INPUTS_MAX = 2048
_RELEASED_S = 1_767_225_600


class _Unstreamed:
    """An endpoint that answers whole or not at all."""

    name = "openai"

    def events(self, reply: Reply) -> Iterator[Event]:
        """Nothing: ``parse`` has refused to stream."""
        return iter(())

    def _no_stream(self, body: Mapping[str, object]) -> None:
        if body.get("stream"):
            raise ApiError(
                400, "The simulator does not stream this endpoint.", param="stream", code="unsupported_value"
            )


class Completions:
    """``/v1/completions`` for one prompt, whole or streamed."""

    name = "openai"
    endpoint = "completions"
    billed = True

    def parse(self, call: Call) -> Prompt:
        """The prompt of a text completion; more than one prompt at once is refused."""
        body = call.body
        text = expect(body, "prompt", (str, list), "")
        if isinstance(text, list):
            if len(text) != 1 or not isinstance(text[0], str):
                raise ApiError(400, "The simulator takes one text prompt at a time.", param="prompt")
            text = text[0]
        return Prompt(
            dialect=self.name,
            endpoint=self.endpoint,
            model=expect(body, "model", str, ""),
            system=text,
            user=text,
            segments=(Segment(tokens(text)),),
            n=expect_positive(body, "n", 16) or 1,
            stop=stop_sequences(body, "stop"),
            max_tokens=expect_positive(body, "max_tokens") or 16,
            stream=expect(body, "stream", bool, False),
            include_usage=expect(expect(body, "stream_options", dict, {}), "include_usage", bool, False),
        )

    def whole(self, reply: Reply) -> JsonObject:
        """A ``text_completion`` object."""
        rows = [
            self._row(i, "".join(c.text), _finish(c.finish)) for i, c in enumerate(reply.completion.choices)
        ]
        usage = {} if reply.fault.no_usage else {"usage": usage_block(reply.usage)}
        return {**self._head(reply), "choices": rows, **usage}

    def events(self, reply: Reply) -> Iterator[Event]:
        """``text_completion`` chunks, usage when it was asked for, and ``[DONE]``."""
        head = self._head(reply)
        for delta in deltas(reply.completion, reply.rng):
            row = self._row(delta.choice, delta.text, None)
            yield Event(
                {**head, "choices": [row]}, None, "content", delta.output_tokens, delta.reasoning_tokens
            )
        for index, choice in enumerate(reply.completion.choices):
            yield Event({**head, "choices": [self._row(index, "", _finish(choice.finish))]}, part="end")
        if reply.prompt.include_usage and not reply.fault.no_usage:
            choices = None if reply.fault.usage_null_choices else []
            yield Event(
                {**head, "choices": choices, "usage": usage_block(reply.usage)},
                part="end",
                reports_usage=True,
            )
        yield Event("[DONE]", part="end")

    def _head(self, reply: Reply) -> JsonObject:
        return {
            "id": f"cmpl-{reply.request_id}",
            "object": "text_completion",
            "created": reply.created_s,
            "model": reply.prompt.model,
            "system_fingerprint": "simulated",
        }

    def _row(self, index: int, text: str, finish: str | None) -> JsonObject:
        return {"index": index, "text": text, "logprobs": None, "finish_reason": finish}


class Responses(_Unstreamed):
    """``/v1/responses``, not streamed and without stored state."""

    endpoint = "responses"
    billed = True

    def parse(self, call: Call) -> Prompt:
        """The prompt of a response request."""
        body = call.body
        self._no_stream(body)
        items = expect(body, "input", (str, list), [])
        items = [{"role": "user", "content": items}] if isinstance(items, str) else items
        if not items or not all(isinstance(item, dict) for item in items):
            raise ApiError(
                400, "Missing required parameter: 'input'.", param="input", code="missing_required_parameter"
            )
        tools = parse_tools(body)
        json_mode, schema = parse_format(expect(expect(body, "text", dict, {}), "format", dict, {}))
        instructions = expect(body, "instructions", str, "")
        system = [item for item in items if item.get("role") in ("system", "developer")]
        users = [item for item in items if item.get("role") == "user"]
        segments = [Segment(tokens(compact(body["tools"])))] if tools else []
        segments += [Segment(message_tokens("developer", tokens(instructions)))] if instructions else []
        segments += [
            Segment(message_tokens(str(item.get("role", "tool")), _item_tokens(item))) for item in items
        ]
        return Prompt(
            dialect=self.name,
            endpoint=self.endpoint,
            model=expect(body, "model", str, ""),
            system="\n".join([instructions, *(content_text(item.get("content")) for item in system)]),
            user=content_text(users[-1].get("content")) if users else "",
            after_tool=items[-1].get("type") == "function_call_output",
            segments=tuple(segments),
            tools=tools,
            tool_choice=parse_tool_choice(body, tools),
            parallel=expect(body, "parallel_tool_calls", bool, True),
            json_mode=json_mode,
            schema=schema,
            max_tokens=expect_positive(body, "max_output_tokens"),
            effort=expect(expect(body, "reasoning", dict, {}), "effort", str),
            extra={"instructions": instructions or None, "tools": body.get("tools") or []},
        )

    def whole(self, reply: Reply) -> JsonObject:
        """A ``response`` object."""
        choice = reply.completion.choices[0]
        text = "".join(choice.text)
        part = {"type": "refusal", "refusal": text} if choice.refusal else _output_text(text)
        message = {
            "id": f"msg-{reply.request_id}",
            "type": "message",
            "role": "assistant",
            "status": "completed",
        }
        output: list[JsonObject] = [] if choice.tool_calls else [{**message, "content": [part]}]
        for call in choice.tool_calls:
            row = {"id": f"fc-{call.id}", "type": "function_call", "call_id": call.id, "status": "completed"}
            output.append({**row, "name": call.name, "arguments": "".join(call.arguments)})
        cut = choice.finish == "length"
        return {
            "id": f"resp-{reply.request_id}",
            "object": "response",
            "created_at": reply.created_s,
            "model": reply.prompt.model,
            "system_fingerprint": "simulated",
            "status": "incomplete" if cut else "completed",
            "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
            "error": None,
            "instructions": reply.prompt.extra["instructions"],
            "metadata": {},
            "output": output,
            "parallel_tool_calls": reply.prompt.parallel,
            "temperature": 1.0,
            "top_p": 1.0,
            "tool_choice": "auto",
            "tools": reply.prompt.extra["tools"],
            **({} if reply.fault.no_usage else {"usage": _responses_usage(reply.usage)}),
        }


class Embeddings(_Unstreamed):
    """``/v1/embeddings``: the same text always has the same unit vector, and like texts have like ones."""

    endpoint = "embeddings"
    billed = True

    def parse(self, call: Call) -> Prompt:
        """The texts to embed."""
        body = call.body
        given = expect(body, "input", (str, list), [])
        texts = [given] if isinstance(given, str) else given
        if not texts or len(texts) > _INPUTS_MAX or not all(isinstance(text, str) and text for text in texts):
            raise ApiError(400, "'$.input' is invalid: expected texts that are not empty.", param="input")
        return Prompt(
            dialect=self.name,
            endpoint=self.endpoint,
            model=expect(body, "model", str, ""),
            user=texts[-1],
            segments=tuple(Segment(tokens(text)) for text in texts),
            inputs=tuple(texts),
            dimensions=expect_positive(body, "dimensions", _DIMENSIONS_MAX) or 256,
            base64=body.get("encoding_format") == "base64",
        )

    def whole(self, reply: Reply) -> JsonObject:
        """A list of ``embedding`` objects."""
        prompt = reply.prompt
        vectors = [embedding(text, prompt.dimensions) for text in prompt.inputs]
        encoded = [_base64(vector) for vector in vectors] if prompt.base64 else vectors
        rows = [
            {"object": "embedding", "index": index, "embedding": row} for index, row in enumerate(encoded)
        ]
        counted = {"prompt_tokens": reply.usage.prompt_tokens, "total_tokens": reply.usage.prompt_tokens}
        usage = {} if reply.fault.no_usage else {"usage": counted}
        return {
            "object": "list",
            "model": prompt.model,
            "system_fingerprint": "simulated",
            "data": rows,
            **usage,
        }


class Models(_Unstreamed):
    """``/v1/models`` in OpenAI's shape, or in Anthropic's for a call with its version header."""

    endpoint = "models"
    billed = False

    def __init__(self, prices: Mapping[str, Price]) -> None:
        self._models = list(prices)

    def parse(self, call: Call) -> Prompt:
        """Which model is asked for, if one is."""
        wanted = call.path.get("model")
        dialect = "anthropic" if "anthropic-version" in call.headers else "openai"
        if wanted is not None and wanted not in self._models:
            raise ApiError(
                404, f"The model '{wanted}' does not exist.", code="model_not_found", param="model"
            )
        return Prompt(dialect=dialect, endpoint=self.endpoint, extra={"model": wanted})

    def whole(self, reply: Reply) -> JsonObject:
        """One model or the list of all."""
        rows = [self._row(model, reply.prompt.dialect) for model in self._models]
        wanted = reply.prompt.extra["model"]
        if wanted is not None:
            return next(row for row in rows if row["id"] == wanted)
        if reply.prompt.dialect == "anthropic":
            return {"data": rows, "has_more": False, "first_id": self._models[0], "last_id": self._models[-1]}
        return {"object": "list", "data": rows}

    def _row(self, model: str, dialect: str) -> JsonObject:
        if dialect == "anthropic":
            return {"type": "model", "id": model, "display_name": model, "created_at": "2026-01-01T00:00:00Z"}
        return {"id": model, "object": "model", "created": _RELEASED_S, "owned_by": "simulated"}


def embedding(text: str, dimensions: int) -> list[float]:
    """The unit vector of ``text``: hashed words and letter triples with signs."""
    vector = [0.0] * dimensions
    folded = text.casefold()
    for feature, weight in _features(folded):
        digest = zlib.crc32(feature.encode("utf-8", "replace"))
        vector[digest % dimensions] += weight if digest & 0x8000_0000 else -weight
    norm = math.sqrt(sum(value * value for value in vector))
    if norm == 0.0:
        vector[0] = norm = 1.0
    return [value / norm for value in vector]


def _features(folded: str) -> Iterator[tuple[str, float]]:
    for word in re.findall(r"\w+", folded) or [folded]:
        yield f"w:{word}", 1.0
        padded = f" {word} "
        for start in range(len(padded) - 2):
            yield f"g:{padded[start : start + 3]}", 0.3


def _base64(vector: Sequence[float]) -> str:
    packed = array("f", vector)
    if sys.byteorder == "big":
        packed.byteswap()
    return base64.b64encode(packed.tobytes()).decode()


def _finish(finish: str) -> str:
    return "stop" if finish in ("stop_sequence", "refusal") else finish


def _output_text(text: str) -> JsonObject:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _item_tokens(item: Mapping[str, object]) -> list[str]:
    if "content" in item:
        return content_tokens(item["content"])
    return tokens(compact({name: part for name, part in item.items() if name != "id"}))


def _responses_usage(usage: Usage) -> JsonObject:
    return {
        "input_tokens": usage.prompt_tokens,
        "input_tokens_details": {"cached_tokens": usage.cache_read_tokens, "cache_write_tokens": 0},
        "output_tokens": usage.generated_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.prompt_tokens + usage.generated_tokens,
    }
