"""What the gateway reads of messages that it passes on."""

import json
from typing import Any

import pytest

from smallfirst.chat import Failed, Usage
from smallfirst.errors import UpstreamBroken
from smallfirst.wire import anthropic_messages
from smallfirst.wire.anthropic_messages import StreamPeek
from smallfirst.wire.sse import SseEvent

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 30,
    "cache_read_input_tokens": 20,
    "cache_creation": {"ephemeral_5m_input_tokens": 25, "ephemeral_1h_input_tokens": 5},
    "output_tokens": 50,
    "output_tokens_details": {"thinking_tokens": 15},
    "service_tier": "standard",
}
READ = Usage(
    input_tokens=10,
    cache_read_tokens=20,
    cache_write_tokens=25,
    cache_write_1h_tokens=5,
    output_tokens=35,
    reasoning_tokens=15,
)
CONTENT = [
    {"type": "thinking", "thinking": "hm", "signature": "s"},
    {"type": "text", "text": "hel", "citations": None},
    {"type": "tool_use", "id": "t", "name": "find", "input": {}},
    {"type": "text", "text": "lo"},
]


def message(**fields: Any) -> dict[str, Any]:
    head = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": CONTENT}
    return head | {"stop_reason": "end_turn", "stop_sequence": None, "usage": USAGE} | fields


def test_a_glance_at_a_message() -> None:
    peek = anthropic_messages.peek_reply(json.dumps(message()).encode())
    assert (peek.id, peek.model, peek.stop, peek.text) == ("msg_1", "claude-x", "end_turn", "hello")
    assert (peek.tool_calls, peek.refused, peek.usage) == (1, False, READ)
    assert anthropic_messages.peek_reply(json.dumps(message(stop_reason="refusal")).encode()).refused


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, None),
        ({}, None),
        ({"input_tokens": None, "output_tokens": None}, None),
        (
            {"input_tokens": 5, "output_tokens": 2, "cache_creation": None},
            Usage(input_tokens=5, output_tokens=2),
        ),
        ({"output_tokens": 2}, Usage(output_tokens=2)),
        ({"input_tokens": 5, "output_tokens": -2}, Usage(input_tokens=5)),
        ({"input_tokens": -5}, None),
        (
            {
                "input_tokens": 1,
                "cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 3},
            },
            Usage(input_tokens=1, cache_write_tokens=2, cache_write_1h_tokens=3),
        ),
        ({"input_tokens": 1, "cache_creation_input_tokens": 4}, Usage(input_tokens=1, cache_write_tokens=4)),
        ({"output_tokens": 4, "output_tokens_details": {"thinking_tokens": 9}}, Usage(reasoning_tokens=4)),
    ],
)
def test_usage(usage: Any, read: Usage | None) -> None:
    assert anthropic_messages.read_usage(usage) == read


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>",
        json.dumps(message()).encode()[:-1],
        b"[]",
        b"{}",
        b'{"type":"error","error":{"type":"overloaded_error","message":"x"}}',
        b'{"type":"message","content":"x"}',
        b'{"content":[{"type":"text","text":"\xff"}]}',
    ],
)
def test_what_is_no_message_is_broken(data: bytes) -> None:
    for read in (anthropic_messages.peek_reply, anthropic_messages.read_reply):
        with pytest.raises(UpstreamBroken):
            read(data)


def test_renaming_at_the_top_and_in_the_first_event() -> None:
    whole = b'{"id":"m","model":"claude-x","content":[{"type":"text","text":"a \\"message\\""}],"x":1.50}'
    assert anthropic_messages.rename(whole, "asked") == whole.replace(b"claude-x", b"asked")
    start = b'{"type":"message_start","message":{"id":"m","model":"claude-x","usage":{"input_tokens":1.0}}}'
    assert anthropic_messages.rename(start, "asked") == start.replace(b"claude-x", b"asked")
    for data in (
        whole,
        start,
        b'{"type":"ping"}',
        b'{"type":"error","error":{"message":"x"}}',
        b'{"message":"x"}',
    ):
        assert anthropic_messages.rename(data, "claude-x") is data


def event(kind: str, **fields: Any) -> SseEvent:
    return SseEvent(json.dumps({"type": kind} | fields).encode(), kind, b"")


def fed(*events: SseEvent) -> StreamPeek:
    peek = StreamPeek(keep_text=True)
    for one in events:
        peek.feed(one)
    return peek


def delta(kind: str, **fields: str) -> SseEvent:
    return event("content_block_delta", index=0, delta={"type": kind} | fields)


START = event(
    "message_start", message=message(content=[], stop_reason=None, usage=USAGE | {"output_tokens": 1})
)
STREAM = [
    START,
    SseEvent(b'{"type":"ping"}', "ping", b""),
    event(
        "content_block_start", index=0, content_block={"type": "thinking", "thinking": "", "signature": ""}
    ),
    delta("thinking_delta", thinking="hm"),
    delta("signature_delta", signature="sig"),
    event("content_block_stop", index=0),
    event("content_block_start", index=1, content_block={"type": "text", "text": ""}),
    delta("text_delta", text="hel"),
    delta("text_delta", text="lo"),
    event("content_block_stop", index=1),
    event(
        "content_block_start",
        index=2,
        content_block={"type": "tool_use", "id": "t", "name": "f", "input": {}},
    ),
    delta("input_json_delta", partial_json='{"a":1}'),
    event("content_block_stop", index=2),
    event("an_event_of_next_year", delta=None),
    event(
        "message_delta", delta={"stop_reason": "tool_use", "stop_sequence": None}, usage={"output_tokens": 50}
    ),
    event("message_stop"),
]


def test_a_stream_as_it_passes() -> None:
    peek = fed(*STREAM[:-1])
    assert not peek.ended
    assert (peek.id, peek.model, peek.stop) == ("msg_1", "claude-x", "tool_use")
    assert (peek.text_parts, peek.chars, peek.tool_calls, peek.chunks) == (["hel", "lo"], 14, 1, 5)
    assert peek.usage == READ  # input from the start, output from the end
    assert fed(*STREAM).ended


def test_a_proxy_may_drop_the_names_of_events() -> None:
    peek = fed(*[SseEvent(one.data, "", b"") for one in STREAM])
    assert (peek.ended, peek.usage, peek.text_parts, peek.chars) == (True, READ, ["hel", "lo"], 14)


def test_totals_at_the_end_replace_those_of_the_start() -> None:
    end = event(
        "message_delta",
        delta={},
        usage={"input_tokens": 11, "output_tokens": 3, "cache_read_input_tokens": None},
    )
    usage = fed(START, end).usage
    assert usage is not None
    assert (usage.input_tokens, usage.cache_read_tokens, usage.completion_tokens) == (11, 20, 3)


def test_an_error_within_the_stream() -> None:
    peek = fed(START, event("error", error={"type": "overloaded_error", "message": "Overloaded"}))
    assert (peek.failed, peek.ended) == (Failed("overloaded_error", "Overloaded"), False)


@pytest.mark.parametrize("name", ["content_block_delta", "message_start", ""])
@pytest.mark.parametrize("data", [b"garbage", b"[]", b'{"delta":5}', b'{"delta":{"text":7}'])
def test_garbage_in_the_stream(name: str, data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        fed(SseEvent(data, name, b""))
