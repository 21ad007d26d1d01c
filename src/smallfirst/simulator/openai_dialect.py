"""OpenAI chat completions, also as Azure deploys them: requests in, answers and events out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .api_error import ApiError
from .completion import Choice, Delta, deltas
from .dialect import Call, Reply
from .prices import Usage
from .prompt import (
    JsonObject,
    Prompt,
    Segment,
    Tool,
    compact,
    expect,
    expect_messages,
    expect_positive,
    fingerprint,
    media_tokens,
    message_tokens,
    stop_sequences,
)
from .sse import Event
from .tokenizer import tokens

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_FINISH = {"stop_sequence": "stop", "refusal": "stop"}
_PICTURE_TOKENS = 255
_FILTERS = {
    name: {"filtered": False, "severity": "safe"} for name in ("hate", "self_harm", "sexual", "violence")
}


class ChatCompletions:
    """``/v1/chat/completions``, and Azure's ``/openai/deployments/{deployment}/chat/completions``."""

    endpoint = "chat/completions"
    billed = True

    def __init__(self, name: str = "openai") -> None:
        self.name = name

    def parse(self, call: Call) -> Prompt:
        """The prompt of a chat request."""
        body = call.body
        if self.name == "azure" and not call.query.get("api-version"):
            raise ApiError(404, "Resource not found")
        messages = expect_messages(body, _ROLES)
        tools = parse_tools(body)
        json_mode, schema = parse_format(expect(body, "response_format", dict, {}))
        options = expect(body, "stream_options", dict, {})
        limit = expect_positive(body, "max_completion_tokens") or expect_positive(body, "max_tokens")
        system = [m for m in messages if m["role"] in ("system", "developer")]
        users = [m for m in messages if m["role"] == "user"]
        segments = [Segment(tokens(compact(body["tools"])))] if tools else []
        segments += [Segment(message_tokens(m["role"], _content_tokens(m))) for m in messages]
        return Prompt(
            dialect=self.name,
            endpoint=self.endpoint,
            model=call.path.get("deployment") or expect(body, "model", str, ""),
            system="\n".join(content_text(m.get("content")) for m in system),
            user=content_text(users[-1].get("content")) if users else "",
            after_tool=messages[-1]["role"] in ("tool", "function"),
            segments=(*segments, Segment(("<|start|>", "assistant", "<|sep|>"))),
            tools=tools,
            tool_choice=parse_tool_choice(body, tools),
            parallel=expect(body, "parallel_tool_calls", bool, True),
            json_mode=json_mode,
            schema=schema,
            n=expect_positive(body, "n", 16) or 1,
            stop=stop_sequences(body, "stop"),
            max_tokens=limit,
            seed=expect(body, "seed", int),
            effort=expect(body, "reasoning_effort", str),
            stream=expect(body, "stream", bool, False),
            include_usage=expect(options, "include_usage", bool, False),
            logprobs=expect(body, "logprobs", bool, False),
            top_logprobs=min(20, expect(body, "top_logprobs", int, 0)),
        )

    def whole(self, reply: Reply) -> JsonObject:
        """A ``chat.completion`` object."""
        choices = [
            self._choice(index, choice, reply) for index, choice in enumerate(reply.completion.choices)
        ]
        document = {**_head(reply, "chat.completion"), "choices": choices}
        if self.name == "azure":
            document["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": _FILTERS}]
        if not reply.fault.no_usage:
            document["usage"] = usage_block(reply.usage)
        return document

    def _choice(self, index: int, choice: Choice, reply: Reply) -> JsonObject:
        text = "".join(choice.text)
        message: JsonObject = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        if choice.refusal:
            message |= {"content": None, "refusal": text}
        if choice.tool_calls:
            message["content"] = None
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": "".join(call.arguments)},
                }
                for call in choice.tool_calls
            ]
        finish = _FINISH.get(choice.finish, choice.finish)
        logprobs = _logprobs(choice.text, reply.prompt)
        row: JsonObject = {"index": index, "message": message, "logprobs": logprobs, "finish_reason": finish}
        return {**row, "content_filter_results": _FILTERS} if self.name == "azure" else row

    def events(self, reply: Reply) -> Iterator[Event]:
        """``chat.completion.chunk`` objects, usage when it was asked for, and ``[DONE]``."""
        prompt = reply.prompt
        usage_asked = prompt.include_usage and not reply.fault.no_usage
        head = {**_head(reply, "chat.completion.chunk"), **({"usage": None} if usage_asked else {})}
        if self.name == "azure":
            filters = [{"prompt_index": 0, "content_filter_results": _FILTERS}]
            yield Event({**head, "choices": [], "prompt_filter_results": filters}, part="open")
        for index, _ in enumerate(reply.completion.choices):
            yield Event(
                {**head, "choices": [_chunk(index, {"role": "assistant", "content": "", "refusal": None})]},
                part="open",
            )
        for delta in deltas(reply.completion, reply.rng, whole_tokens=prompt.logprobs):
            refusal = reply.completion.choices[delta.choice].refusal
            row = _chunk(delta.choice, _delta(delta, refusal))
            if prompt.logprobs:
                row["logprobs"] = _logprobs(delta.pieces, prompt)
            yield Event(
                {**head, "choices": [row]}, None, "content", delta.output_tokens, delta.reasoning_tokens
            )
        for index, choice in enumerate(reply.completion.choices):
            finish = _FINISH.get(choice.finish, choice.finish)
            yield Event({**head, "choices": [_chunk(index, {}, finish)]}, part="end")
        if usage_asked:
            choices = None if reply.fault.usage_null_choices else []
            yield Event(
                {**head, "choices": choices, "usage": usage_block(reply.usage)},
                part="end",
                reports_usage=True,
            )
        yield Event("[DONE]", part="end")


def usage_block(usage: Usage) -> JsonObject:
    """Usage as OpenAI counts it: cached tokens inside the prompt's, reasoning inside the completion's."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.generated_tokens,
        "total_tokens": usage.prompt_tokens + usage.generated_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cache_read_tokens, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def content_text(content: object) -> str:
    """All text of a message's content: a string, or the text parts of a list."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    if not isinstance(content, list):
        raise ApiError(
            400, "Invalid type for 'content': expected a string or a list of parts.", param="messages"
        )
    return "\n".join(
        str(part.get("text", "")) for part in content if isinstance(part, dict) and "text" in part
    )


def content_tokens(content: object) -> list[str]:
    """The tokens of a message's content; a picture, sound or file counts a fixed number."""
    found = tokens(content_text(content))
    for part in content if isinstance(content, list) else ():
        if not isinstance(part, dict) or not isinstance(part.get("type"), str):
            raise ApiError(400, "Invalid content part: expected an object with a type.", param="messages")
        if "text" not in part:
            found += media_tokens(part, _PICTURE_TOKENS)
    return found


def _content_tokens(message: Mapping[str, Any]) -> list[str]:
    called = message.get("tool_calls")
    return content_tokens(message.get("content")) + (tokens(compact(called)) if called else [])


def parse_tools(body: Mapping[str, Any]) -> tuple[Tool, ...]:
    """The function tools of a request, in the nested (chat) or flat (responses) shape."""
    found: list[Tool] = []
    for index, row in enumerate(expect(body, "tools", list, [])):
        function = row.get("function", row) if isinstance(row, dict) else None
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            where = f"tools[{index}].function"
            raise ApiError(400, f"Missing required parameter: '{where}.name'.", param=where)
        found.append(Tool(function["name"], function.get("parameters") or {}))
    return tuple(found)


def parse_tool_choice(body: Mapping[str, Any], tools: Sequence[Tool]) -> str:
    """The tool choice in the prompt's own words: auto, none, required or =NAME."""
    choice = expect(body, "tool_choice", (str, dict), "auto")
    if isinstance(choice, dict):
        function = choice.get("function", choice)
        name = function.get("name") if isinstance(function, dict) else None
        if name not in [tool.name for tool in tools]:
            raise ApiError(400, f"Tool choice '{name}' not found in 'tools' parameter.", param="tool_choice")
        return f"={name}"
    if choice not in ("auto", "none", "required"):
        raise ApiError(400, "Invalid value for 'tool_choice'.", param="tool_choice", code="invalid_value")
    return choice


def parse_format(shape: Mapping[str, Any]) -> tuple[bool, Mapping[str, Any] | None]:
    """Whether a response format asks for JSON, and by which schema."""
    kind = shape.get("type", "text")
    if kind == "json_schema":
        described = shape.get("json_schema", shape)
        schema = described.get("schema") if isinstance(described, dict) else None
        if not isinstance(schema, dict):
            where = "response_format.json_schema.schema"
            raise ApiError(400, f"Missing required parameter: '{where}'.", param=where)
        return True, schema
    if kind not in ("text", "json_object"):
        raise ApiError(
            400, "Invalid value for 'response_format.type'.", param="response_format", code="invalid_value"
        )
    return kind == "json_object", None


def _head(reply: Reply, kind: str) -> JsonObject:
    return {
        "id": f"chatcmpl-{reply.request_id}",
        "object": kind,
        "created": reply.created_s,
        "model": reply.prompt.model,
        "service_tier": "default",
        "system_fingerprint": "simulated",
    }


def _chunk(index: int, delta: JsonObject, finish: str | None = None) -> JsonObject:
    return {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}


def _delta(delta: Delta, refusal: bool) -> JsonObject:
    if delta.call is None:
        return {"refusal" if refusal else "content": delta.text}
    function: JsonObject = {"arguments": delta.text}
    row: JsonObject = {"index": delta.call_index}
    if delta.kind == "tool":
        function = {"name": delta.call.name, "arguments": ""}
        row |= {"id": delta.call.id, "type": "function"}
    return {"tool_calls": [{**row, "function": function}]}


def _logprobs(pieces: Sequence[str], prompt: Prompt) -> JsonObject | None:
    """Log-probabilities of ``pieces``, drawn from their text; ``None`` when not asked for."""
    if not prompt.logprobs:
        return None
    rows: list[JsonObject] = []
    for piece in pieces:
        chance = (fingerprint("logprob", piece) % 10_000) / 10_000
        best = _logprob(piece, -1.2 * chance**3)
        others = [
            _logprob(f" alt{rank}", best["logprob"] - 1.5 * rank) for rank in range(1, prompt.top_logprobs)
        ]
        rows.append({**best, "top_logprobs": [best, *others] if prompt.top_logprobs else []})
    return {"content": rows, "refusal": None}


def _logprob(token: str, value: float) -> JsonObject:
    return {"token": token, "logprob": round(value, 6), "bytes": list(token.encode("utf-8", "replace"))}
