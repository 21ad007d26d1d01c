"""Everything that OpenAI's SDK can send is accepted, and what the gateway needs of it is told."""

import json
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from smallfirst.wire import openai_chat
from smallfirst.wire.openai_request import Body

FUNCTION = {
    "type": "function",
    "function": {"name": "find", "description": "d", "parameters": {}, "strict": None},
}
CUSTOM = {
    "type": "custom",
    "custom": {
        "name": "sql",
        "format": {"type": "grammar", "grammar": {"definition": "x", "syntax": "lark"}},
    },
}
MESSAGES: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief.", "name": "d"},
    {
        "role": "system",
        "content": [{"type": "text", "text": "x", "prompt_cache_breakpoint": {"mode": "explicit"}}],
    },
    {"role": "user", "content": "hi", "name": "ann"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "look"},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            {"type": "file", "file": {"file_id": "file-1"}},
            {"type": "a_part_of_next_year", "x": [1]},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "refusal": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "find", "arguments": "{}"}},
            {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "select 1"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "found"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "1"}]},
    {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "refusal", "refusal": "no"}]},
    {"role": "assistant", "audio": {"id": "audio_1"}},
    {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "function", "name": "f", "content": None},
    {"role": "user", "content": "and?"},
]
EVERYTHING: dict[str, Any] = {
    "model": "gpt",
    "messages": MESSAGES,
    "audio": {"voice": "alloy", "format": "wav"},
    "frequency_penalty": -2.0,
    "function_call": {"name": "f"},
    "functions": [{"name": "f", "parameters": {}}],
    "logit_bias": {"50256": -100},
    "logprobs": True,
    "max_completion_tokens": 100,
    "max_tokens": 50,
    "metadata": {"a": "b"},
    "modalities": ["text", "audio"],
    "moderation": {"model": "omni"},
    "n": 2,
    "parallel_tool_calls": False,
    "prediction": {"type": "content", "content": [{"type": "text", "text": "x"}]},
    "presence_penalty": 2,
    "prompt_cache_key": "k",
    "prompt_cache_options": {"mode": "explicit", "ttl": "30m"},
    "prompt_cache_retention": "24h",
    "reasoning_effort": "minimal",
    "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}, "strict": True}},
    "safety_identifier": "s",
    "seed": -1,
    "service_tier": "flex",
    "stop": ["a", "b"],
    "store": True,
    "stream": False,
    "stream_options": None,
    "temperature": 2,
    "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}},
    "tools": [FUNCTION, CUSTOM],
    "top_logprobs": 20,
    "top_p": 1,
    "user": "u",
    "verbosity": "low",
    "web_search_options": {"search_context_size": "low"},
}


def decoded(**fields: Any) -> Body:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]} | fields
    return openai_chat.decode(json.dumps(body).encode())


def test_everything_is_accepted() -> None:
    body = openai_chat.decode(json.dumps(EVERYTHING).encode())
    assert body.choices == 2
    assert body.max_output_tokens == 100
    assert body.tools_count == 3
    assert body.message_count == len(MESSAGES)
    assert body.image_count == 2
    assert not body.stream
    assert not body.stream_usage


def test_no_field_of_the_sdk_is_missing() -> None:
    known = {"stream" if name == "stream_" else name for name in Body.__struct_fields__}
    assert set(CompletionCreateParamsNonStreaming.__annotations__) - known <= {"stream"}
    assert set(EVERYTHING) == known


@pytest.mark.parametrize("name", sorted(set(EVERYTHING) - {"model", "messages"}))
def test_every_optional_field_may_be_null(name: str) -> None:
    assert decoded(**{name: None}).model == "m"


def test_what_the_gateway_asks_of_a_body() -> None:
    plain = decoded()
    assert (plain.stream, plain.max_output_tokens, plain.choices, plain.tools_count) == (False, None, 1, 0)
    streamed = decoded(stream=True, stream_options={"include_usage": True}, max_tokens=7, stop="x")
    assert (streamed.stream, streamed.stream_usage, streamed.max_output_tokens) == (True, True, 7)
    assert not decoded(stream=True, stream_options={"include_obfuscation": False}).stream_usage
