"""Streams read from real shapes, and what is owed where a provider leaves something out. Round trips are in tests/property."""

import json
from typing import Any

import pytest

from smallfirst import chat
from smallfirst.errors import UpstreamBroken
from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.reassembly import reply_from_stream, stream_from_reply
from smallfirst.wire.sse import SseDecoder, SseEvent

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}


def chunk(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return {
        "id": "c",
        "object": "chat.completion.chunk",
        "created": 7,
        "model": "m",
        "choices": [choice],
    } | fields


def read(wire: Any, *told: dict[str, Any] | bytes) -> list[chat.StreamEvent]:
    reader = wire.StreamReader()
    data = [one if isinstance(one, bytes) else json.dumps(one).encode() for one in told]
    return [event for one in data for event in reader.feed(SseEvent(one, "", b""))]


def test_openai_thinking_text_and_interleaved_tools() -> None:
    def call(index: int, **fields: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": index} | fields]})

    told = read(
        openai_chat,
        {"id": "", "model": "", "choices": [], "prompt_filter_results": []},  # Azure's first chunk
        chunk({"role": "assistant", "content": ""}),
        chunk({"reasoning_content": "hm"}),
        chunk({"content": "hel"}),
        chunk({"content": "lo"}),
        call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
        call(1, id="b", type="function", function={"name": "g", "arguments": ""}),
        call(0, function={"arguments": '{"x"'}),
        call(0, function={"arguments": ":1}"}),
        chunk({}, "tool_calls"),
        chunk({}, usage=USAGE) | {"choices": []},
        b"[DONE]",
    )
    assert told[0] == chat.Started("c", "m", None, 7)
    assert told[-1] == chat.Ended("tool_use", chat.Usage(input_tokens=3, output_tokens=2))
    assert sum(isinstance(event, chat.PartStarted) for event in told) == 4
    assert sum(isinstance(event, chat.PartEnded) for event in told) == 4
    assert reply_from_stream(told).parts == (
        chat.Thinking("hm"),
        chat.Text("hello"),
        chat.ToolUse("a", "f", '{"x":1}'),
        chat.ToolUse("b", "g", "{}"),  # without arguments: an empty object
    )


def test_tool_calls_that_all_have_the_index_0() -> None:
    calls = [{"index": 0, "id": id_, "function": {"name": "f", "arguments": "{}"}} for id_ in ("a", "b")]
    told = read(
        openai_chat, *[chunk({"tool_calls": [call]}) for call in calls], chunk({}, "tool_calls"), b"[DONE]"
    )
    assert reply_from_stream(told).parts == (chat.ToolUse("a", "f", "{}"), chat.ToolUse("b", "f", "{}"))


def test_an_answer_that_ends_without_done() -> None:
    reader = openai_chat.StreamReader()
    for one in (chunk({"content": "x"}), chunk({}, "length")):
        assert not any(
            isinstance(event, chat.Ended)
            for event in reader.feed(SseEvent(json.dumps(one).encode(), "", b""))
        )
    assert reader.end() == [chat.Ended("length", None)]
    assert reader.end() == []


def test_done_without_a_finish_reason_is_no_end() -> None:
    assert not any(
        isinstance(event, chat.Ended) for event in read(openai_chat, chunk({"content": "x"}), b"[DONE]")
    )


def test_a_refusal_has_its_own_text() -> None:
    told = read(openai_chat, chunk({"refusal": "I cannot."}), chunk({}, "stop"), b"[DONE]")
    reply = reply_from_stream(told)
    assert (reply.parts, reply.stop) == ((chat.Refusal("I cannot."),), "refusal")


def test_errors_in_streams_are_read_and_written() -> None:
    failed = read(openai_chat, {"error": {"type": "server_error", "message": "busy"}})
    assert failed == [chat.Failed("server_error", "busy")]
    written = anthropic_messages.StreamWriter("m", include_usage=True, id="i").feed(failed[0])
    (event,) = SseDecoder().feed(written)
    assert json.loads(event.data) == {"type": "error", "error": {"type": "api_error", "message": "busy"}}
    failed = read(
        anthropic_messages, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}
    )
    (event,) = SseDecoder().feed(openai_chat.StreamWriter("m", include_usage=False, id="i").feed(failed[0]))
    assert json.loads(event.data)["error"]["type"] == "server_error"


@pytest.mark.parametrize("wire", [openai_chat, anthropic_messages])
def test_garbage(wire: Any) -> None:
    for data in (b"x", b"[]", b'{"a":', b"\xff"):
        with pytest.raises(UpstreamBroken):
            read(wire, data)


def test_anthropic_events_as_the_api_sends_them() -> None:
    told = read(
        anthropic_messages,
        {
            "type": "message_start",
            "message": {
                "id": "m1",
                "model": "claude",
                "content": [],
                "usage": {"input_tokens": 9, "output_tokens": 1},
            },
        },
        {
            "type": "content_block_start",
            "index": 0,
            "content_block": {"type": "thinking", "thinking": "", "signature": ""},
        },
        {"type": "ping"},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "thinking_delta", "thinking": "hm"}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "sig"}},
        {"type": "content_block_stop", "index": 0},
        {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "hi"}},
        {"type": "content_block_delta", "index": 1, "delta": {"type": "citations_delta", "citation": {}}},
        {"type": "content_block_stop", "index": 1},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}},
        },
        {
            "type": "content_block_delta",
            "index": 2,
            "delta": {"type": "input_json_delta", "partial_json": ""},
        },
        {"type": "content_block_stop", "index": 2},
        {
            "type": "content_block_start",
            "index": 3,
            "content_block": {"type": "tool_use", "id": "u", "name": "g", "input": {"a": 1}},
        },
        {"type": "content_block_stop", "index": 3},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "stop_sequence", "stop_sequence": "x"},
            "usage": {"output_tokens": 4},
        },
        {"type": "message_stop"},
    )
    assert reply_from_stream(told) == chat.Reply(
        id="m1",
        model="claude",
        parts=(
            chat.Thinking("hm", "sig"),
            chat.Text("hi"),
            chat.ToolUse("t", "f", "{}"),
            chat.ToolUse("u", "g", '{"a":1}'),
        ),
        stop="stop_sequence",
        usage=chat.Usage(input_tokens=9, output_tokens=4),
        stop_sequence="x",
    )


def names(data: bytes) -> list[str]:
    return [event.event for event in SseDecoder().feed(data)]


def test_anthropics_blocks_stand_one_after_the_other() -> None:
    writer = anthropic_messages.StreamWriter("m", include_usage=True, id="i")
    assert names(writer.feed(chat.Started("", "x"))) == ["message_start", "ping"]
    assert names(writer.feed(chat.PartStarted(0, chat.ToolUse("a", "f", "")))) == ["content_block_start"]
    assert writer.feed(chat.PartStarted(1, chat.ToolUse("b", "g", ""))) == b""
    assert writer.feed(chat.PartDelta(1, "{}")) == b""
    assert names(writer.feed(chat.PartDelta(0, "{}"))) == ["content_block_delta"]
    turn = ["content_block_stop", "content_block_start", "content_block_delta"]
    assert names(writer.feed(chat.PartEnded(0))) == turn
    assert names(writer.feed(chat.PartDelta(1, " "))) == ["content_block_delta"]
    # its provider forgets to end it
    assert names(writer.feed(chat.Ended("tool_use", None))) == [
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]


def test_thinking_without_a_signature_is_left_out_and_takes_no_number() -> None:
    writer = anthropic_messages.StreamWriter("m", include_usage=True, id="i")
    reply = chat.Reply(id="", model="", parts=(chat.Thinking("hm"), chat.Text("4")), stop="end", usage=None)
    events = SseDecoder().feed(b"".join([writer.feed(event) for event in stream_from_reply(reply)]))
    blocks = [json.loads(event.data) for event in events if event.event.startswith("content_block")]
    assert [block["index"] for block in blocks] == [0, 0, 0]
    assert blocks[0]["content_block"]["type"] == "text"
    assert json.loads(events[0].data)["message"]["id"] == "i"


def test_usage_goes_only_to_who_asked_and_unknown_is_not_zero() -> None:
    def written(include_usage: bool, usage: chat.Usage | None) -> list[bytes]:
        writer = openai_chat.StreamWriter("m", include_usage=include_usage, id="i")
        told = [chat.Started("", ""), chat.Ended("end", usage)]
        return [event.data for event in SseDecoder().feed(b"".join([writer.feed(event) for event in told]))]

    assert all(b'"usage"' not in data for data in written(False, chat.Usage(input_tokens=1)))
    first, _, last, done = written(True, chat.Usage(input_tokens=1))
    assert json.loads(first)["usage"] is None
    assert json.loads(first)["id"] == "i"
    assert json.loads(last)["usage"]["prompt_tokens"] == 1
    assert done == b"[DONE]"
    assert len(written(True, None)) == 3


def test_a_stream_that_breaks_off_is_no_reply() -> None:
    with pytest.raises(UpstreamBroken):
        reply_from_stream([chat.Started("i", "m"), chat.PartStarted(0, chat.Text(""))])
    with pytest.raises(UpstreamBroken, match="busy"):
        reply_from_stream([chat.Started("i", "m"), chat.Failed("x", "busy")])
