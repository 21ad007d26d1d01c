"""Requests keep their meaning within a dialect, and across for all that both can say."""

import json
from itertools import pairwise
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from wire_strategies import TEXT, common_openai_requests

from smallfirst import chat
from smallfirst.wire import anthropic_messages, openai_chat

OPENAI_ONLY = st.fixed_dictionaries(
    {},
    optional={
        "seed": st.integers(0, 99),
        "logit_bias": st.just({"50256": -100}),
        "logprobs": st.just(True),
        "n": st.integers(2, 4),
        "metadata": st.just({"a": "b"}),
        "service_tier": st.just("flex"),
        "prediction": st.just({"type": "content", "content": "x"}),
        "web_search_options": st.just({}),
        "top_k": st.integers(-1, 40),
        "an_engines_own": st.just({"x": [1.5]}),
    },
)
OPENAI_PARTS = st.sampled_from(
    [
        {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "text", "text": "hi"},
    ]
)
MARK = st.sampled_from(
    [{}, {"cache_control": {"type": "ephemeral"}}, {"cache_control": {"type": "ephemeral", "ttl": "1h"}}]
)
BLOCK = st.builds(
    lambda block, mark: block | mark,
    st.sampled_from(
        [
            {"type": "text", "text": "hi"},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/cat.png"}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
            {"type": "image", "source": {"type": "file", "file_id": "file_1"}},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "x"},
                "title": "t",
            },
            {"type": "tool_use", "id": "toolu_1", "name": "find", "input": {"q": [1, None, "é"]}},
            {"type": "tool_result", "tool_use_id": "toolu_1", "content": "found", "is_error": True},
            {"type": "tool_result", "tool_use_id": "toolu_1"},
            {
                "type": "tool_result",
                "tool_use_id": "toolu_1",
                "content": [
                    {"type": "text", "text": "a"},
                    {"type": "search_result", "source": "s", "title": "t", "content": []},
                ],
            },
            {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {}},
        ]
    ),
    MARK,
)
THINKING = st.sampled_from(
    [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "thinking", "thinking": "", "signature": "sig"},
        {"type": "redacted_thinking", "data": "xyz"},
    ]
)


@st.composite
def anthropic_requests(draw: st.DrawFn) -> dict[str, Any]:
    """Requests with all that only Anthropic can say. Strings where the writer writes strings, blocks where it writes blocks."""
    body: dict[str, Any] = {
        "model": "claude",
        "max_tokens": draw(st.integers(1, 10**5)),
        "messages": [
            {"role": "user", "content": draw(TEXT | st.lists(BLOCK, min_size=2, max_size=3))},
            {"role": "assistant", "content": [draw(THINKING), {"type": "text", "text": "so"}]},
            {"role": "user", "content": draw(st.lists(BLOCK, min_size=2, max_size=3))},
        ],
    }
    two_texts = [
        {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        {"type": "text", "text": "b"},
    ]
    tool = {"name": "find", "input_schema": {"type": "object"}, "description": "d", "strict": True}
    schema = {"format": {"type": "json_schema", "schema": {"type": "object"}}}
    optional: dict[str, list[Any]] = {
        "system": ["Be brief.", two_texts],
        "temperature": [0, 0.5],
        "top_p": [0.9],
        "top_k": [40],
        "stop_sequences": [["x"]],
        "stream": [True],
        "metadata": [{"user_id": "u"}, {"user_id": "u", "new": 1}],
        "thinking": [
            {"type": "enabled", "budget_tokens": 2048},
            {"type": "enabled", "budget_tokens": 2048, "display": "omitted"},
            {"type": "adaptive"},
            {"type": "disabled"},
        ],
        "output_config": [
            {"effort": "high"},
            schema,
            schema | {"effort": "low", "task_budget": {"total": 9}},
        ],
        "tools": [
            [tool | {"cache_control": {"type": "ephemeral"}}],
            [tool, {"type": "web_search_20260318", "name": "web_search"}],
        ],
        "tool_choice": [
            {"type": "any"},
            {"type": "tool", "name": "find", "disable_parallel_tool_use": True},
            {"type": "none"},
        ],
        "service_tier": ["auto"],
        "container": ["c", {"skills": []}],
        "mcp_servers": [[{"type": "url", "name": "n", "url": "https://example.com"}]],
    }
    for name, values in optional.items():
        if draw(st.booleans()):
            body[name] = draw(st.sampled_from(values))
    return body


def through(wire: Any, body: dict[str, Any]) -> dict[str, Any]:
    return wire.write_request(wire.read_request(msgspec.json.encode(body)))


@given(common_openai_requests(), OPENAI_ONLY, st.lists(OPENAI_PARTS, min_size=2, max_size=3))
def test_openai_requests_are_written_as_they_were_read(
    body: dict[str, Any], more: dict[str, Any], parts: list[dict[str, Any]]
) -> None:
    body = body | more
    body["messages"] = [*body["messages"], {"role": "user", "content": parts}]
    assert through(openai_chat, body) == body


@given(anthropic_requests())
def test_anthropic_requests_are_written_as_they_were_read(body: dict[str, Any]) -> None:
    assert through(anthropic_messages, body) == body


@given(common_openai_requests())
def test_what_both_can_say_comes_back_from_anthropics_dialect(body: dict[str, Any]) -> None:
    asked = openai_chat.read_request(msgspec.json.encode(body))
    told = anthropic_messages.read_request(msgspec.json.encode(anthropic_messages.write_request(asked)))
    assert openai_chat.write_request(msgspec.structs.replace(told, opaque={})) == body


@given(common_openai_requests())
def test_what_is_written_is_valid_json_that_its_own_dialect_accepts(body: dict[str, Any]) -> None:
    asked = openai_chat.read_request(msgspec.json.encode(body))
    written = anthropic_messages.write_request(asked)
    assert json.loads(msgspec.json.encode(written)) == written
    read = anthropic_messages.decode(msgspec.json.encode(written))
    assert read.message_count == len(written["messages"])
    roles = [message["role"] for message in written["messages"]]
    assert all(one != other for one, other in pairwise(roles))


@given(anthropic_requests(), common_openai_requests())
def test_reading_never_fails_for_what_decodes(claude: dict[str, Any], gpt: dict[str, Any]) -> None:
    assert isinstance(anthropic_messages.read_request(msgspec.json.encode(claude)), chat.Request)
    assert isinstance(openai_chat.read_request(msgspec.json.encode(gpt)), chat.Request)
