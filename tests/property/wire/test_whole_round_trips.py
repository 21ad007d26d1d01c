"""A whole reply told as a stream, and put together again, is the same reply, with all that nobody knows; and the official SDKs read the stream."""

import json
from typing import Any

import msgspec
from anthropic.types import RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletionChunk
from pydantic import TypeAdapter
from wire_strategies import ANTHROPIC_PART, JSON, NAME, OBJECT, TEXT, TOKENS, openai_replies, replies

from smallfirst import chat
from smallfirst.chat import Dialect
from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.incoming import Incoming
from smallfirst.wire.sse import SseDecoder, SseEvent
from smallfirst.wire.whole import stream_of, whole_of

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)
WIRE: dict[str, Any] = {"openai": openai_chat, "anthropic": anthropic_messages}
UNKNOWN = st.dictionaries(NAME.map(lambda name: f"x_{name}"), JSON, max_size=2)


def asking(dialect: Dialect, *, usage: bool = True) -> Incoming:
    body: dict[str, Any] = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "hi"}]}
    if dialect == "anthropic":
        return Incoming("messages", json.dumps(body | {"max_tokens": 9}).encode())
    if usage:
        body["stream_options"] = {"include_usage": True}
    return Incoming("chat", json.dumps(body).encode())


def told(reply: Any, dialect: Dialect, asked: Dialect, model: str = "m") -> list[SseEvent]:
    decoder = SseDecoder()
    data = stream_of(msgspec.json.encode(reply), dialect, asking(asked), model=model, call_id="call")
    events = decoder.feed(data)
    assert decoder.end() == []
    assert not decoder.torn
    return events


def again(reply: Any, dialect: Dialect, model: str) -> Any:
    whole = whole_of(told(reply, dialect, dialect, model), dialect)
    assert whole is not None
    return json.loads(whole)


LOGPROBS = st.none() | st.fixed_dictionaries(
    {
        "content": st.lists(st.fixed_dictionaries({"token": TEXT, "logprob": st.floats(-9, 0)}), max_size=3),
        "refusal": st.none(),
    }
)
CALL = st.builds(
    lambda id_, name, arguments, more: (
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}} | more
    ),
    NAME,
    NAME,
    OBJECT.map(json.dumps),
    UNKNOWN,
)


@st.composite
def choices(draw: st.DrawFn, index: int) -> dict[str, Any]:
    message = {"role": "assistant", "content": draw(st.none() | TEXT)} | draw(UNKNOWN)
    for name in ("refusal", "reasoning_content", "reasoning"):
        if draw(st.booleans()):
            message[name] = draw(st.none() | TEXT)
    if draw(st.booleans()):
        message["annotations"] = draw(st.lists(OBJECT, max_size=2))
    if draw(st.booleans()):
        # an id again would be the same call continued
        message["tool_calls"] = draw(
            st.lists(CALL, min_size=1, max_size=3, unique_by=lambda call: call["id"])
        )
    finish = draw(st.sampled_from(["stop", "length", "tool_calls"]))
    known = {"index": index, "message": message, "logprobs": draw(LOGPROBS), "finish_reason": finish}
    return known | draw(UNKNOWN)


@st.composite
def completions(draw: st.DrawFn) -> dict[str, Any]:
    head = {
        "id": draw(NAME),
        "object": "chat.completion",
        "created": draw(st.integers(1, 2**31)),
        "model": draw(NAME),
    }
    optional = {
        "service_tier": NAME,
        "system_fingerprint": st.none() | NAME,
        "usage": st.fixed_dictionaries({"prompt_tokens": TOKENS}),
    }
    for name, values in optional.items():
        if draw(st.booleans()):
            head[name] = draw(values)
    count = draw(st.integers(1, 3))
    return head | {"choices": [draw(choices(index)) for index in range(count)]} | draw(UNKNOWN)


@given(completions(), NAME)
def test_a_completion_and_its_chunks(reply: dict[str, Any], model: str) -> None:
    assert again(reply, "openai", model) == reply | {"model": model}


BLOCK = st.one_of(
    st.builds(lambda text, more: {"type": "text", "text": text} | more, st.just("") | TEXT, UNKNOWN),
    st.builds(lambda text, citations: {"type": "text", "text": text, "citations": citations}, TEXT, st.none() | st.lists(OBJECT, max_size=2)),
    st.builds(lambda text, signature: {"type": "thinking", "thinking": text, "signature": signature}, TEXT, TEXT),
    st.builds(lambda data: {"type": "redacted_thinking", "data": data}, TEXT),
    st.builds(
        lambda kind, id_, input_, more: {"type": kind, "id": id_, "name": "f", "input": input_} | more,
        st.sampled_from(["tool_use", "server_tool_use", "mcp_tool_use"]),
        NAME,
        OBJECT,
        UNKNOWN,
    ),
    st.builds(lambda more: {"type": "web_search_tool_result", "content": []} | more, UNKNOWN),
)  # fmt: skip


@st.composite
def messages(draw: st.DrawFn) -> dict[str, Any]:
    usage = {name: draw(TOKENS) for name in ("input_tokens", "cache_read_input_tokens", "output_tokens")}
    optional = {
        "cache_creation": st.none() | st.fixed_dictionaries({"ephemeral_5m_input_tokens": TOKENS}),
        "service_tier": NAME,
        "output_tokens_details": st.fixed_dictionaries({"thinking_tokens": TOKENS}),
        "server_tool_use": st.none() | OBJECT,
    }
    for name, values in optional.items():
        if draw(st.booleans()):
            usage[name] = draw(values)
    stop = draw(st.sampled_from(["end_turn", "max_tokens", "stop_sequence", "tool_use"]))
    known = {
        "id": draw(NAME),
        "type": "message",
        "role": "assistant",
        "model": draw(NAME),
        "content": draw(st.lists(BLOCK, max_size=4)),
        "stop_reason": stop,
        "stop_sequence": draw(st.none() | TEXT),
        "usage": usage,
    }
    container = {"container": draw(st.none() | OBJECT)} if draw(st.booleans()) else {}
    return known | container | draw(UNKNOWN)


@given(messages(), NAME)
def test_a_message_and_its_events(reply: dict[str, Any], model: str) -> None:
    assert again(reply, "anthropic", model) == reply | {"model": model}


def meaning(reply: chat.Reply, asked: Dialect) -> chat.Reply:
    """As the dialect that was asked in can say it."""
    wire = WIRE[asked]
    written = wire.read_reply(msgspec.json.encode(wire.write_reply(reply, model="m")))
    return msgspec.structs.replace(written, created_s=0)


@given(openai_replies())
def test_an_answer_of_openais_told_to_a_client_of_anthropics(reply: chat.Reply) -> None:
    events = told(openai_chat.write_reply(reply, model="m"), "openai", "anthropic")
    whole = whole_of(events, "anthropic")
    assert whole is not None
    stored = openai_chat.read_reply(msgspec.json.encode(openai_chat.write_reply(reply, model="m")))
    assert anthropic_messages.read_reply(whole) == meaning(stored, "anthropic")
    begun = json.loads(events[0].data)["message"]["usage"]
    assert stored.usage is not None
    assert begun["cache_read_input_tokens"] == stored.usage.cache_read_tokens
    assert begun["output_tokens"] == 0


@given(replies(ANTHROPIC_PART))
def test_an_answer_of_anthropics_told_to_a_client_of_openais(reply: chat.Reply) -> None:
    events = told(anthropic_messages.write_reply(reply, model="m"), "anthropic", "openai")
    whole = whole_of(events, "openai")
    assert whole is not None
    stored = anthropic_messages.read_reply(
        msgspec.json.encode(anthropic_messages.write_reply(reply, model="m"))
    )
    assert msgspec.structs.replace(openai_chat.read_reply(whole), created_s=0) == meaning(stored, "openai")


@given(openai_replies())
def test_openais_sdk_reads_each_chunk(reply: chat.Reply) -> None:
    events = told(openai_chat.write_reply(reply, model="m"), "openai", "openai")
    assert events[-1].data == b"[DONE]"
    for event in events[:-1]:
        ChatCompletionChunk.model_validate_json(event.data, strict=True)


@given(replies(ANTHROPIC_PART))
def test_anthropics_sdk_reads_each_event(reply: chat.Reply) -> None:
    events = told(anthropic_messages.write_reply(reply, model="m"), "anthropic", "anthropic")
    for event in events:
        if event.event != "ping":
            assert EVENT.validate_json(event.data, strict=True).type == event.event


@given(completions(), st.data())
def test_a_stream_that_is_cut_anywhere_before_its_end_is_no_whole(
    reply: dict[str, Any], data: st.DataObject
) -> None:
    events = told(reply, "openai", "openai")
    last = max(at for at, event in enumerate(events) if b'"finish_reason":"' in event.data)
    assert whole_of(events[: data.draw(st.integers(0, last))], "openai") is None


@given(messages(), st.data())
def test_a_message_that_is_cut_anywhere_before_its_end_is_no_whole(
    reply: dict[str, Any], data: st.DataObject
) -> None:
    events = told(reply, "anthropic", "anthropic")
    assert whole_of(events[: data.draw(st.integers(0, len(events) - 1))], "anthropic") is None
