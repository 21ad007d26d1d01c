"""What cannot be said in the other dialect is refused by name; what does not matter is dropped; all else is translated."""

import json
from typing import Any

import pytest
from anthropic.types import message_create_params
from openai.types.chat.completion_create_params import CompletionCreateParamsNonStreaming

from smallfirst.errors import Untranslatable
from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.crossing import DROPPED, NEUTRAL, REFUSED
from smallfirst.wire.openai_write import write_request as to_openai

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CLAUDE: dict[str, Any] = CHAT | {"max_tokens": 9}


def to_anthropic(**fields: Any) -> dict[str, Any]:
    return anthropic_messages.write_request(openai_chat.read_request(json.dumps(CHAT | fields).encode()))


def from_anthropic(**fields: Any) -> dict[str, Any]:
    return to_openai(anthropic_messages.read_request(json.dumps(CLAUDE | fields).encode()))


def test_every_field_of_the_sdks_has_its_fate() -> None:
    translated = {
        "model",
        "messages",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "stream",
        "stream_options",
        "response_format",
        "user",
        "reasoning_effort",
    }
    known = set(CompletionCreateParamsNonStreaming.__annotations__) | {"stream"}
    assert known <= translated | set(DROPPED["openai"]) | set(REFUSED["openai"])
    translated = {
        "model",
        "messages",
        "max_tokens",
        "system",
        "tools",
        "tool_choice",
        "temperature",
        "top_p",
        "top_k",
        "stop_sequences",
        "stream",
    }
    known = set(message_create_params.MessageCreateParamsNonStreaming.__annotations__)
    assert known <= translated | set(DROPPED["anthropic"]) | set(REFUSED["anthropic"])
    for dialect in ("openai", "anthropic"):
        assert not set(DROPPED[dialect]) & set(REFUSED[dialect])


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"n": 2}, "n"),
        ({"logprobs": True}, "logprobs"),
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"frequency_penalty": 0.5}, "frequency_penalty"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"functions": [{"name": "f"}]}, "functions"),
        ({"web_search_options": {}}, "web_search_options"),
        ({"an_engines_own": 1}, "an_engines_own"),
        ({"temperature": 1.5}, "temperature"),
        ({"response_format": {"type": "json_object"}}, "response_format"),
        ({"response_format": {"type": "grammar"}}, "response_format"),
        ({"tools": [{"type": "custom", "custom": {"name": "sql"}}]}, "tools"),
        ({"tool_choice": {"type": "allowed_tools", "allowed_tools": {}}}, "tool_choice"),
        ({"messages": [{"role": "system", "content": "only"}]}, "messages"),
        ({"messages": [{"role": "user", "content": "x", "name": "ann"}]}, "messages[0].name"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "content": None,
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
                        ],
                    },
                    {"role": "tool", "tool_call_id": "a", "content": "1"},
                    {"role": "tool", "tool_call_id": "b", "content": "2"},
                    {
                        "role": "user",
                        "content": [{"type": "input_audio", "input_audio": {"data": "", "format": "wav"}}],
                    },
                ]
            },
            "messages[3].content",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "data:text/plain,x"}}],
                    }
                ]
            },
            "messages[0].content",
        ),
        ({"messages": [{"role": "function", "name": "f", "content": "x"}]}, "messages[0].content"),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "c"}}],
                    }
                ]
            },
            "messages[0].content",
        ),
        (
            {
                "messages": [
                    {
                        "role": "assistant",
                        "tool_calls": [
                            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "[1"}}
                        ],
                    }
                ]
            },
            "messages[0].content",
        ),
    ],
)
def test_openai_to_anthropic_refuses(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        to_anthropic(**fields)
    assert caught.value.param == param
    assert caught.value.message.startswith(f"{param}: ")
    assert (caught.value.status, caught.value.code) == (400, "untranslatable")


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"container": "c"}, "container"),
        ({"mcp_servers": [{"type": "url"}]}, "mcp_servers"),
        ({"inference_geo": "eu"}, "inference_geo"),
        ({"context_management": {"edits": [{}]}}, "context_management"),
        ({"output_config": {"task_budget": {"total": 1}}}, "output_config"),
        ({"of_next_year": 1}, "of_next_year"),
        ({"tools": [{"type": "web_search_20260318", "name": "web_search"}]}, "tools"),
        ({"tools": [{"name": "f", "input_schema": {}, "defer_loading": True}]}, "tools"),
        (
            {"messages": [{"role": "user", "content": [{"type": "document", "source": {}}]}]},
            "messages.0.content",
        ),
        (
            {
                "system": "s",
                "messages": [
                    {"role": "user", "content": "x"},
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "tool_result",
                                "tool_use_id": "t",
                                "content": [
                                    {
                                        "type": "image",
                                        "source": {"type": "url", "url": "https://example.com/a.png"},
                                    }
                                ],
                            }
                        ],
                    },
                ],
            },
            "messages.1.content",
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [{"type": "image", "source": {"type": "file", "file_id": "f"}}],
                    }
                ]
            },
            "messages.0.content",
        ),
    ],
)
def test_anthropic_to_openai_refuses(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(Untranslatable) as caught:
        from_anthropic(**fields)
    assert caught.value.param == param


@pytest.mark.parametrize("name", sorted(DROPPED["openai"]))
def test_openai_fields_that_do_not_matter(name: str) -> None:
    value = {"metadata": {}, "prediction": {}, "prompt_cache_options": {}, "seed": 1, "store": True}.get(
        name, "x"
    )
    assert to_anthropic(**{name: value}) == to_anthropic()


@pytest.mark.parametrize("name", sorted(set(DROPPED["anthropic"]) - {"thinking", "metadata"}))
def test_anthropic_fields_that_do_not_matter(name: str) -> None:
    value = {"cache_control": {"type": "ephemeral"}, "diagnostics": {}}.get(name, "x")
    assert from_anthropic(**{name: value}) == from_anthropic()


@pytest.mark.parametrize("name", sorted(NEUTRAL))
def test_values_that_mean_absence_pass(name: str) -> None:
    for value in NEUTRAL[name]:
        if name in REFUSED["openai"]:
            assert to_anthropic(**{name: value}) == to_anthropic()
        else:
            assert from_anthropic(**{name: value}) == from_anthropic()


def test_the_limit_that_anthropic_demands() -> None:
    assert to_anthropic()["max_tokens"] == 8192
    assert to_anthropic(max_tokens=5)["max_tokens"] == 5
    assert to_anthropic(max_completion_tokens=6, max_tokens=5)["max_tokens"] == 6
    assert from_anthropic()["max_completion_tokens"] == 9


@pytest.mark.parametrize(("effort", "written"), [("high", "high"), ("minimal", "low"), ("max", "max")])
def test_effort(effort: str, written: str) -> None:
    body = to_anthropic(reasoning_effort=effort)
    assert body["output_config"] == {"effort": written}
    assert "thinking" not in body


def test_no_effort_is_no_thinking() -> None:
    body = to_anthropic(reasoning_effort="none")
    assert body["thinking"] == {"type": "disabled"}
    assert "output_config" not in body


@pytest.mark.parametrize(
    ("thinking", "effort"),
    [
        ({"type": "enabled", "budget_tokens": 1024}, "low"),
        ({"type": "enabled", "budget_tokens": 8000, "display": "omitted"}, "medium"),
        ({"type": "enabled", "budget_tokens": 32000}, "high"),
        ({"type": "disabled"}, None),
        ({"type": "adaptive"}, None),
    ],
)
def test_a_budget_of_thinking_is_an_effort(thinking: dict[str, Any], effort: str | None) -> None:
    assert from_anthropic(thinking=thinking).get("reasoning_effort") == effort


def test_a_conversation_with_tools_and_pictures() -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": "And kind."},
        {"role": "user", "content": [
            {"type": "text", "text": "what?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk=", "detail": "low"}}]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}},
            {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"role": "tool", "tool_call_id": "a", "content": "1"},
        {"role": "tool", "tool_call_id": "b", "content": [{"type": "text", "text": "2"}, {"type": "text", "text": "3"}]},
        {"role": "user", "content": "so?"},
    ]  # fmt: skip
    body = to_anthropic(
        messages=messages, parallel_tool_calls=False, tools=[{"type": "function", "function": {"name": "f"}}]
    )
    assert body["system"] == [{"type": "text", "text": "Be brief."}, {"type": "text", "text": "And kind."}]
    assert body["messages"] == [
        {"role": "user", "content": [
            {"type": "text", "text": "what?"},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}}]},
        {"role": "assistant", "content": [
            {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}},
            {"type": "tool_use", "id": "b", "name": "g", "input": {}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "content": "1"},
            {"type": "tool_result", "tool_use_id": "b", "content": [
                {"type": "text", "text": "2"}, {"type": "text", "text": "3"}]},
            {"type": "text", "text": "so?"}]},
    ]  # fmt: skip
    assert body["tool_choice"] == {"type": "auto", "disable_parallel_tool_use": True}
    assert body["tools"] == [{"name": "f", "input_schema": {"type": "object", "properties": {}}}]


def test_the_history_of_a_thinking_model() -> None:
    body = from_anthropic(
        system=[{"type": "text", "text": "s", "cache_control": {"type": "ephemeral"}}],
        metadata={"user_id": "u"},
        messages=[
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1}}]},
            {"role": "user", "content": [
                {"type": "text", "text": "and"},
                {"type": "tool_result", "tool_use_id": "t", "content": "broke", "is_error": True}]},
            {"role": "assistant", "content": [{"type": "redacted_thinking", "data": "x"}]},
        ],
    )  # fmt: skip
    assert body["user"] == "u"
    assert body["messages"] == [
        {"role": "system", "content": "s"},
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "t", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}]},
        {"role": "tool", "tool_call_id": "t", "content": "Error: broke"},
        {"role": "user", "content": "and"},
        {"role": "assistant", "content": ""},
    ]  # fmt: skip


def test_thinking_that_nobody_signed_is_not_shown_to_anthropics_clients() -> None:
    message = {"role": "assistant", "content": "4", "reasoning_content": "2+2"}
    reply = {"id": "c", "model": "m", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
    written = anthropic_messages.write_reply(
        openai_chat.read_reply(json.dumps(reply).encode()), model="asked"
    )
    assert written["content"] == [{"type": "text", "text": "4"}]
    assert written["model"] == "asked"
