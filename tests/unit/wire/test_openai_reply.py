"""What the gateway reads of completions that it passes on: OpenAI's own, and those of servers that imitate it."""

import json
from typing import Any

import pytest

from smallfirst.chat import Failed, Usage
from smallfirst.errors import UpstreamBroken
from smallfirst.wire import openai_chat
from smallfirst.wire.openai_chat import StreamPeek
from smallfirst.wire.sse import SseEvent

USAGE = {
    "prompt_tokens": 100,
    "completion_tokens": 50,
    "total_tokens": 150,
    "prompt_tokens_details": {"cached_tokens": 60, "cache_write_tokens": 10, "audio_tokens": 5},
    "completion_tokens_details": {"reasoning_tokens": 30, "audio_tokens": 4, "accepted_prediction_tokens": 0},
}


def completion(message: dict[str, Any], finish: str = "stop", **fields: Any) -> bytes:
    choice = {
        "index": 0,
        "message": {"role": "assistant"} | message,
        "logprobs": None,
        "finish_reason": finish,
    }
    head = {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-x",
        "choices": [choice],
    }
    return json.dumps(head | fields).encode()


def test_a_glance_at_a_completion() -> None:
    peek = openai_chat.peek_reply(
        completion({"content": "hello", "refusal": None, "annotations": []}, usage=USAGE)
    )
    assert (peek.id, peek.model, peek.stop, peek.text) == ("chatcmpl-1", "gpt-x", "stop", "hello")
    assert (peek.tool_calls, peek.refused) == (0, False)
    assert peek.usage == Usage(
        input_tokens=25,
        cache_read_tokens=60,
        cache_write_tokens=10,
        input_audio_tokens=5,
        output_tokens=16,
        reasoning_tokens=30,
        output_audio_tokens=4,
    )


def test_tool_calls_refusals_and_filters() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    peek = openai_chat.peek_reply(completion({"content": None, "tool_calls": [call, call]}, "tool_calls"))
    assert (peek.text, peek.tool_calls, peek.stop) == ("", 2, "tool_calls")
    assert (
        openai_chat.peek_reply(
            completion({"content": None, "function_call": {"name": "f", "arguments": ""}})
        ).tool_calls
        == 1
    )
    assert openai_chat.peek_reply(completion({"content": None, "refusal": "I cannot."})).refused
    assert openai_chat.peek_reply(completion({"content": "x"}, "content_filter")).refused


@pytest.mark.parametrize(
    ("usage", "read"),
    [
        (None, None),
        ({}, None),
        ({"prompt_tokens": None}, None),
        ({"prompt_tokens": -1}, None),
        ({"prompt_tokens": 5}, Usage(input_tokens=5)),
        (
            {"prompt_tokens": 5, "completion_tokens": 2, "prompt_tokens_details": None},
            Usage(input_tokens=5, output_tokens=2),
        ),
        ({"prompt_tokens": 5.0, "completion_tokens": 2.0}, Usage(input_tokens=5, output_tokens=2)),
        ({"prompt_tokens": 5, "completion_tokens": -2}, Usage(input_tokens=5)),
        ({"prompt_tokens": 5, "prompt_cache_hit_tokens": 4}, Usage(input_tokens=1, cache_read_tokens=4)),
        (
            {"prompt_tokens": 5, "prompt_cache_hit_tokens": 4, "prompt_tokens_details": {"cached_tokens": 3}},
            Usage(input_tokens=2, cache_read_tokens=3),
        ),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 9}}, Usage(cache_read_tokens=5)),
        ({"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": "many"}}, Usage(input_tokens=5)),
        ("a lot", None),
    ],
)
def test_usage_of_all_kinds_of_servers(usage: Any, read: Usage | None) -> None:
    assert openai_chat.peek_reply(completion({"content": "x"}, usage=usage)).usage == read
    assert openai_chat.read_usage(usage) == read


def test_content_in_parts() -> None:
    content = [
        {"type": "thinking", "thinking": []},
        {"type": "text", "text": "hel"},
        {"type": "text", "text": "lo"},
    ]
    assert openai_chat.peek_reply(completion({"content": content})).text == "hello"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<html>502</html>",
        completion({"content": "x"})[:-1],
        b"[]",
        b"{}",
        b'{"choices":[]}',
        b'{"choices":[{"index":0,"finish_reason":"stop"}]}',
        b'{"choices":[{"message":{"content":7}}]}',
        b'{"error":{"message":"no","type":"server_error"}}',
        b'{"object":"error","message":"no"}',
        b'{"choices":[{"message":{"content":"\xff"}}]}',
    ],
)
def test_what_is_no_completion_is_broken(data: bytes) -> None:
    for read in (openai_chat.peek_reply, openai_chat.read_reply):
        with pytest.raises(UpstreamBroken):
            read(data)


def test_renaming_touches_nothing_else() -> None:
    data = b'{"id":"c","model":"gpt-x","choices":[{"message":{"model":"gpt-x"}}],"x":1.50}'
    assert openai_chat.rename(data, "asked") == data.replace(b'"gpt-x","choices', b'"asked","choices')
    assert openai_chat.rename(data, "gpt-x") is data


def fed(*chunks: dict[str, Any] | bytes, keep_text: bool = True) -> StreamPeek:
    peek = StreamPeek(keep_text=keep_text)
    for chunk in chunks:
        peek.feed(SseEvent(chunk if isinstance(chunk, bytes) else json.dumps(chunk).encode(), "", b""))
    return peek


def chunk(delta: dict[str, Any], finish: str | None = None, index: int = 0, **fields: Any) -> dict[str, Any]:
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-x",
        "choices": [choice],
    } | fields


def test_a_stream_as_it_passes() -> None:
    begin = [chunk({"role": "assistant", "content": ""}), chunk({"content": "hel"}), chunk({"content": "lo"})]
    peek = fed(*begin)
    assert (peek.ended, peek.stop, peek.usage, peek.text_parts, peek.chars) == (
        False,
        None,
        None,
        ["hel", "lo"],
        5,
    )
    for choices in ([], None):
        peek = fed(*begin, chunk({}, "stop"), chunk({}, usage=USAGE) | {"choices": choices}, b"[DONE]")
        assert (peek.ended, peek.stop, peek.id, peek.model) == (True, "stop", "chatcmpl-1", "gpt-x")
        assert peek.usage is not None
        assert peek.usage.prompt_tokens == 100
    assert fed(*begin, keep_text=False).text_parts == []


def test_done_alone_is_not_the_end() -> None:
    assert not fed(chunk({"content": "x"}), b"[DONE]").ended
    assert not fed(b"[DONE]").ended


def test_every_choice_must_end() -> None:
    two = [chunk({"content": "a"}), chunk({"content": "bb"}, index=1)]
    peek = fed(*two, chunk({}, "length", index=1))
    assert not peek.ended
    peek = fed(*two, chunk({}, "length", index=1), chunk({}, "stop"))
    assert (peek.ended, peek.stop, peek.text_parts, peek.chars) == (True, "stop", ["a"], 3)


def test_all_that_is_generated_counts() -> None:
    call = {"index": 0, "id": "c", "type": "function", "function": {"name": "find", "arguments": ""}}
    peek = fed(
        chunk({"reasoning_content": "hm"}),
        chunk({"reasoning": "hm", "content": None}),
        chunk({"tool_calls": [call]}),
        chunk(
            {
                "tool_calls": [
                    {"index": 0, "function": {"arguments": '{"a":1}'}},
                    {"index": 1, "function": {"name": "go"}},
                ]
            }
        ),
        chunk({"function_call": {"name": "x", "arguments": "{}"}}, index=1),
        chunk({"refusal": "no"}),
    )
    assert peek.chars == 2 + 2 + 4 + 7 + 2 + 3 + 2
    assert peek.tool_calls == 3
    assert peek.text_parts == []


@pytest.mark.parametrize(
    ("data", "failed"),
    [
        ({"error": {"message": "too busy", "type": "server_error"}}, Failed("server_error", "too busy")),
        ({"error": {"message": "no", "code": 500}}, Failed("500", "no")),
        ({"error": "no"}, Failed("error", "no")),
        ({"object": "error", "message": "no"}, Failed("error", "no")),
    ],
)
def test_an_error_within_the_stream(data: dict[str, Any], failed: Failed) -> None:
    assert fed(chunk({"content": "x"}), data).failed == failed


@pytest.mark.parametrize("data", [b"garbage", b"[]", b'{"choices":[{"delta":{"content":7}}]}', b"\xff"])
def test_garbage_in_the_stream(data: bytes) -> None:
    with pytest.raises(UpstreamBroken):
        fed(data)
