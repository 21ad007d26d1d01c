"""Streams as providers send them made whole, and whole replies as the streams that the SDKs' helpers read. Round trips are in tests/property."""

import json
from typing import Any

import pytest
from anthropic.lib.streaming._messages import accumulate_event
from anthropic.types import ParsedMessage, RawMessageStreamEvent
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter

from smallfirst.errors import UpstreamBroken
from smallfirst.wire.incoming import Incoming
from smallfirst.wire.sse import SseDecoder, SseEvent
from smallfirst.wire.whole import stream_of, whole_of

USAGE = {"prompt_tokens": 3, "completion_tokens": 2, "total_tokens": 5}
TOKEN = {"token": "hello", "logprob": -0.25, "bytes": None, "top_logprobs": []}
COMPLETION: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 7,
    "model": "gpt-x",
    "system_fingerprint": "fp_1",
    "choices": [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "hello", "refusal": None, "annotations": []},
            "logprobs": {"content": [TOKEN], "refusal": None},
            "finish_reason": "stop",
        }
    ],
    "usage": USAGE | {"prompt_tokens_details": {"cached_tokens": 2}},
    "provider": "some vendor",
}
MESSAGE: dict[str, Any] = {
    "id": "msg_1",
    "type": "message",
    "role": "assistant",
    "model": "claude-x",
    "content": [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "hello"},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.5}},
    ],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 3, "cache_read_input_tokens": 40, "cache_creation_input_tokens": 0, "output_tokens": 9},
}  # fmt: skip
CHAT = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def chat(**fields: Any) -> Incoming:
    return Incoming("chat", json.dumps(CHAT | fields).encode())


def claude() -> Incoming:
    return Incoming("messages", json.dumps(CHAT | {"max_tokens": 9}).encode())


def told(reply: dict[str, Any], dialect: Any, incoming: Incoming) -> list[SseEvent]:
    data = stream_of(json.dumps(reply).encode(), dialect, incoming, model="asked", call_id="call-1")
    return SseDecoder().feed(data)


def sent(*events: dict[str, Any] | bytes) -> list[SseEvent]:
    return [
        SseEvent(event if isinstance(event, bytes) else json.dumps(event).encode(), "", b"")
        for event in events
    ]


def whole(dialect: Any, *events: dict[str, Any] | bytes) -> Any:
    made = whole_of(sent(*events), dialect)
    return None if made is None else json.loads(made)


def chunk(delta: dict[str, Any], finish: str | None = None, **fields: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    head = {"id": "c", "object": "chat.completion.chunk", "created": 7, "model": "m"}
    return head | {"choices": [choice]} | fields


def test_vllm_sr_913_a_hit_is_a_stream_that_openais_helper_reads() -> None:
    state = ChatCompletionStreamState()
    events = told(COMPLETION, "openai", chat(stream_options={"include_usage": True}))
    assert events[-1].data == b"[DONE]"
    kinds = [
        one.type
        for event in events[:-1]
        for one in state.handle_chunk(ChatCompletionChunk.model_validate_json(event.data, strict=True))
    ]
    assert "content.delta" in kinds
    assert "content.done" in kinds
    final = state.get_final_completion().model_dump(exclude_unset=True)
    message = final["choices"][0]["message"]
    assert (final["id"], final["model"], final["usage"]["prompt_tokens"]) == ("chatcmpl-1", "asked", 3)
    assert (message["role"], message["content"], final["choices"][0]["finish_reason"]) == (
        "assistant",
        "hello",
        "stop",
    )
    assert final["choices"][0]["logprobs"]["content"][0]["logprob"] == -0.25


def test_usage_is_told_only_where_it_was_asked_for() -> None:
    asked = told(COMPLETION, "openai", chat(stream_options={"include_usage": True}))
    assert json.loads(asked[-2].data)["usage"] == COMPLETION["usage"]
    assert json.loads(asked[-2].data)["choices"] == []
    assert json.loads(asked[0].data)["usage"] is None
    not_asked = told(COMPLETION, "openai", chat())
    assert len(not_asked) == len(asked) - 1
    assert all(b"usage" not in event.data for event in not_asked)


def test_what_a_vendor_adds_is_told_once() -> None:
    events = told(COMPLETION, "openai", chat())
    assert [b"some vendor" in event.data for event in events] == [True, *[False] * (len(events) - 1)]


def test_anthropics_helper_reads_a_hit() -> None:
    snapshot: ParsedMessage[Any] | None = None
    names, buffers = [], dict[int, bytes]()
    for event in told(MESSAGE, "anthropic", claude()):
        names.append(event.event)
        if event.event != "ping":
            snapshot = accumulate_event(
                event=EVENT.validate_json(event.data), current_snapshot=snapshot, json_bufs=buffers
            )
    assert names[0] == "message_start"
    assert names[-2:] == ["message_delta", "message_stop"]
    assert snapshot is not None
    final = snapshot.model_dump(exclude_unset=True)
    assert [block["type"] for block in final["content"]] == ["thinking", "text", "tool_use"]
    assert (final["content"][0]["signature"], final["content"][1]["text"]) == ("sig", "hello")
    assert final["content"][2]["input"] == {"a": 1.5}
    assert (final["stop_reason"], final["model"]) == ("end_turn", "asked")
    assert final["usage"]["cache_read_input_tokens"] == 40
    assert final["usage"]["output_tokens"] == 9


def test_a_message_begins_with_its_prompts_tokens_and_ends_with_all() -> None:
    events = told(MESSAGE, "anthropic", claude())
    begun = json.loads(events[0].data)["message"]
    assert begun["usage"] == MESSAGE["usage"] | {"output_tokens": 0}
    assert (begun["content"], begun["stop_reason"]) == ([], None)
    assert json.loads(events[-2].data)["usage"] == MESSAGE["usage"]


def test_across_dialects() -> None:
    events = told(COMPLETION, "openai", claude())
    assert [event.event for event in events] == [
        "message_start", "ping", "content_block_start", "content_block_delta", "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    begun = json.loads(events[0].data)["message"]
    assert (begun["model"], begun["usage"]["input_tokens"]) == ("asked", 1)
    assert begun["usage"]["cache_read_input_tokens"] == 2
    chunks = told(MESSAGE, "anthropic", chat(stream_options={"include_usage": True}))
    assert json.loads(chunks[-2].data)["usage"]["prompt_tokens"] == 43
    assert chunks[-1].data == b"[DONE]"


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("incoming", [chat(), claude()])
def test_what_is_no_reply_is_no_stream(dialect: Any, incoming: Incoming) -> None:
    for data in (b"", b"[]", b'{"a":', b"\xff"):
        with pytest.raises(UpstreamBroken):
            stream_of(data, dialect, incoming, model="m", call_id="c")


def test_openais_own_stream() -> None:
    made = whole(
        "openai",
        chunk(
            {"role": "assistant", "content": "", "refusal": None}, service_tier="default", obfuscation="x1"
        ),
        chunk({"content": "hel"}, obfuscation="abc"),
        chunk({"content": "lo"}, system_fingerprint="fp"),
        chunk({}, "stop"),
        chunk({}, usage=USAGE) | {"choices": []},
        b"[DONE]",
    )
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": "hello", "refusal": None},
        "logprobs": None,
        "finish_reason": "stop",
    }
    assert made == {
        "id": "c",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "service_tier": "default",
        "system_fingerprint": "fp",
        "choices": [choice],
        "usage": USAGE,
    }


def test_streams_of_those_who_imitate_openai() -> None:
    azure = {"id": "", "model": "", "object": "", "choices": [], "prompt_filter_results": [{"a": 1}]}
    llama = {"timings": {"predicted_ms": 5.5}}
    made = whole(
        "openai",
        azure,
        chunk({"role": "assistant", "reasoning_content": "h"}),
        chunk({"role": "assistant", "reasoning_content": "m"}),  # the role again
        chunk({"role": "assistant", "content": [{"type": "text", "text": "hel"}]}),  # Mistral's parts
        chunk({"content": "lo"}),
        chunk({"content": None}, "stop", usage=USAGE, **llama),
    )
    message = {
        "role": "assistant",
        "reasoning_content": "hm",
        "content": [{"type": "text", "text": "hel"}, {"type": "text", "text": "lo"}],
    }
    assert made["choices"][0]["message"] == message
    assert (made["id"], made["model"], made["object"]) == ("c", "m", "chat.completion")
    assert made["prompt_filter_results"] == [{"a": 1}]
    assert (made["timings"], made["usage"]) == ({"predicted_ms": 5.5}, USAGE)


def test_tool_calls_and_logprobs_in_pieces() -> None:
    def call(index: int, **fields: Any) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": index} | fields]})

    said = chunk({"content": "x"})
    said["choices"][0]["logprobs"] = {"content": [TOKEN], "refusal": None}
    made = whole(
        "openai",
        said,
        said,
        call(0, id="a", type="function", function={"name": "f", "arguments": ""}),
        call(1, id="b", type="function", function={"name": "g", "arguments": "{}"}),
        call(0, id="a", function={"arguments": '{"x"'}),
        call(0, function={"name": "f", "arguments": ":1}"}),
        call(
            0, id="c", type="function", function={"name": "h", "arguments": "{}"}
        ),  # a new call at an old place
        chunk({}, "tool_calls"),
    )
    calls = made["choices"][0]["message"]["tool_calls"]
    assert [(one["id"], one["function"]["name"], one["function"]["arguments"]) for one in calls] == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
        ("c", "h", "{}"),
    ]
    assert made["choices"][0]["logprobs"] == {"content": [TOKEN, TOKEN], "refusal": None}


@pytest.mark.parametrize(
    "events",
    [
        [],
        [b"[DONE]"],
        [chunk({"content": "x"}), b"[DONE]"],  # no finish reason
        [chunk({"content": "x"}), {"error": {"message": "busy"}}],
        [chunk({"content": "x"}, "stop"), {"object": "error", "message": "busy"}],
        [b"{", chunk({}, "stop")],
        [chunk({"content": "x"}), chunk({"content": 7}, "stop")],
        [
            chunk({"content": "x"}, "stop")
            | {"choices": [{"index": "0", "delta": {}, "finish_reason": "stop"}]}
        ],
    ],
)
def test_what_is_no_whole_completion(events: list[Any]) -> None:
    assert whole("openai", *events) is None


def block(index: int, begins: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": begins},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


BEGINS = {
    "type": "message_start",
    "message": {"id": "m", "type": "message", "role": "assistant", "model": "claude", "content": [], "stop_reason": None,
                "usage": {"input_tokens": 9, "cache_creation": {"ephemeral_5m_input_tokens": 4}, "output_tokens": 1}},
}  # fmt: skip
ENDS = [
    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None}, "usage": {"output_tokens": 4, "input_tokens": None}},
    {"type": "message_stop"},
]  # fmt: skip


def test_anthropics_own_stream() -> None:
    thinking = {"type": "thinking", "thinking": "", "signature": ""}
    made = whole(
        "anthropic",
        BEGINS,
        {"type": "ping"},
        *block(0, thinking, {"type": "thinking_delta", "thinking": "h"}, {"type": "thinking_delta", "thinking": "m"},
               {"type": "signature_delta", "signature": "sig"}),
        *block(1, {"type": "text", "text": ""}, {"type": "citations_delta", "citation": {"cited_text": "a"}},
               {"type": "text_delta", "text": "hel"}, {"type": "text_delta", "text": "lo"}),
        *block(2, {"type": "tool_use", "id": "t", "name": "f", "input": {}}, {"type": "input_json_delta", "partial_json": ""},
               {"type": "input_json_delta", "partial_json": '{"a":'}, {"type": "input_json_delta", "partial_json": "1.50}"}),
        *block(3, {"type": "redacted_thinking", "data": "xx"}),
        *ENDS,
    )  # fmt: skip
    assert made["content"] == [
        {"type": "thinking", "thinking": "hm", "signature": "sig"},
        {"type": "text", "text": "hello", "citations": [{"cited_text": "a"}]},
        {"type": "tool_use", "id": "t", "name": "f", "input": {"a": 1.5}},
        {"type": "redacted_thinking", "data": "xx"},
    ]
    usage = {"input_tokens": 9, "cache_creation": {"ephemeral_5m_input_tokens": 4}, "output_tokens": 4}
    assert made["usage"] == usage
    assert (made["stop_reason"], made["stop_sequence"], made["id"]) == ("end_turn", None, "m")


TEXT = block(0, {"type": "text", "text": ""}, {"type": "text_delta", "text": "x"})


@pytest.mark.parametrize(
    "events",
    [
        [],
        [BEGINS, *TEXT],
        [BEGINS, *TEXT, ENDS[0]],
        [*TEXT, *ENDS],
        [BEGINS, *TEXT, {"type": "error", "error": {"type": "overloaded_error", "message": "busy"}}, *ENDS],
        [BEGINS, *TEXT, {"type": "yet_to_be_invented"}, *ENDS],
        [BEGINS, *block(0, {"type": "text", "text": ""}, {"type": "yet_to_be_invented"}), *ENDS],
        [BEGINS, TEXT[1], *ENDS],  # a delta of a block that has not begun
        [BEGINS, *block(0, {"type": "tool_use", "input": {}}, {"type": "input_json_delta", "partial_json": '{"a"'}), *ENDS],
        [BEGINS, *block(0, {"type": "tool_use", "input": {}}, {"type": "input_json_delta", "partial_json": "[]"}), *ENDS],
        [BEGINS, b"{", *ENDS],
    ],
)  # fmt: skip
def test_what_is_no_whole_message(events: list[Any]) -> None:
    assert whole("anthropic", *events) is None
