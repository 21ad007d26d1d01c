"""Everything that Anthropic's SDK can send is accepted, and what the gateway needs of it is told."""

import json
from typing import Any

import pytest
from anthropic.types import message_create_params

from smallfirst.wire import anthropic_messages
from smallfirst.wire.anthropic_request import Body

MARK = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}}
BLOCKS: list[dict[str, Any]] = [
    {"type": "text", "text": "hi", "citations": None} | MARK,
    IMAGE,
    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "aGk="}},
    {"type": "image", "source": {"type": "file", "file_id": "f"}, "transformations": {}},
    {
        "type": "document",
        "source": {"type": "base64", "media_type": "application/pdf", "data": "aGk="},
        "title": None,
    },
    {"type": "search_result", "source": "s", "title": "t", "content": [{"type": "text", "text": "x"}]},
    {"type": "tool_result", "tool_use_id": "t1", "content": "found", "is_error": False},
    {"type": "tool_result", "tool_use_id": "t2", "content": [{"type": "text", "text": "x"}, IMAGE]},
    {"type": "tool_result", "tool_use_id": "t3"},
    {"type": "container_upload", "file_id": "f"},
    {"type": "a_block_of_next_year", "x": [1]},
]
SAID: list[dict[str, Any]] = [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "redacted_thinking", "data": "xyz"},
    {"type": "text", "text": "so"},
    {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": 1}, "caller": {"type": "direct"}},
    {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
    {"type": "web_search_tool_result", "tool_use_id": "s1", "content": []},
    {"type": "mcp_tool_use", "id": "m1", "name": "x", "server_name": "s", "input": {}},
]
EVERYTHING: dict[str, Any] = {
    "model": "claude",
    "max_tokens": 1000,
    "messages": [
        {"role": "user", "content": BLOCKS},
        {"role": "assistant", "content": SAID},
        {"role": "system", "content": "Now be brief."},
        {"role": "user", "content": "and?"},
    ],
    "cache_control": {"type": "ephemeral"},
    "compaction": {},
    "container": {"id": "c", "skills": []},
    "context_management": {"edits": []},
    "diagnostics": {},
    "inference_geo": "eu",
    "mcp_servers": [{"type": "url", "name": "n", "url": "https://example.com"}],
    "metadata": {"user_id": "u"},
    "output_config": {"effort": "max", "format": {"type": "json_schema", "schema": {}}},
    "output_format": {"type": "json_schema", "schema": {}},
    "service_tier": "standard_only",
    "speed": "fast",
    "stop_sequences": ["x"],
    "stream": True,
    "system": [{"type": "text", "text": "Be brief."} | MARK],
    "temperature": 1,
    "thinking": {"type": "enabled", "budget_tokens": 1024},
    "tool_choice": {"type": "tool", "name": "find", "disable_parallel_tool_use": True},
    "tools": [
        {"name": "find", "input_schema": {"type": "object"}, "strict": True, "input_examples": [{}]} | MARK,
        {"type": "web_search_20260318", "name": "web_search", "max_uses": 2},
        {"type": "browser_toolset_20260801"},
        {"type": "mcp_toolset", "mcp_server_name": "n"},
    ],
    "top_k": 40,
    "top_p": 0.5,
    "user_profile_id": "p",
    "workspace_id": "w",
}


def test_everything_is_accepted() -> None:
    body = anthropic_messages.decode(json.dumps(EVERYTHING).encode())
    assert body.max_output_tokens == 1000
    assert body.tools_count == 4
    assert body.message_count == 4
    assert body.image_count == 5  # a document counts as one, and so does what a tool gave back
    assert body.choices == 1
    assert body.stream
    assert body.stream_usage


def test_no_field_of_the_sdk_is_missing() -> None:
    known = {"stream" if name == "stream_" else name for name in Body.__struct_fields__}
    assert set(message_create_params.MessageCreateParamsNonStreaming.__annotations__) - {"stream"} <= known
    assert set(EVERYTHING) == known


@pytest.mark.parametrize("name", sorted(set(EVERYTHING) - {"model", "messages", "max_tokens"}))
def test_every_optional_field_may_be_null(name: str) -> None:
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}], name: None}
    assert anthropic_messages.decode(json.dumps(body).encode()).model == "m"
