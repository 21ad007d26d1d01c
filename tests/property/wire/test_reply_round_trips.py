"""Replies and streams keep their meaning, within a dialect and across, and are what the official SDKs expect."""

from typing import Any

import msgspec
from anthropic.types import Message, RawMessageStreamEvent
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from pydantic import TypeAdapter
from wire_strategies import ANTHROPIC_PART, openai_replies, replies

from smallfirst import chat
from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.reassembly import reply_from_stream, stream_from_reply
from smallfirst.wire.sse import SseDecoder, SseEvent

EVENT: TypeAdapter[Any] = TypeAdapter(RawMessageStreamEvent)


def whole(wire: Any, reply: chat.Reply) -> chat.Reply:
    """Written and read again."""
    return wire.read_reply(msgspec.json.encode(wire.write_reply(reply, model=reply.model)))


def sent(wire: Any, told: list[chat.StreamEvent], model: str) -> list[SseEvent]:
    writer = wire.StreamWriter(model, include_usage=True, id="call")
    decoder = SseDecoder()
    events = decoder.feed(b"".join([writer.feed(event) for event in told]))
    assert decoder.end() == []
    assert not decoder.torn
    return events


def streamed(wire: Any, reply: chat.Reply) -> chat.Reply:
    """Told as a stream, written, read again and put together."""
    reader = wire.StreamReader()
    events = sent(wire, stream_from_reply(reply), reply.model)
    return reply_from_stream([told for event in events for told in reader.feed(event)])


def normal(reply: chat.Reply) -> chat.Reply:
    """Without what one of the dialects does not tell: classes of audio and of cache writes, time, and the sequence that stopped it."""
    usage = reply.usage and anthropic_messages.read_usage(anthropic_messages.write_usage(reply.usage))
    usage = usage and openai_chat.read_usage(openai_chat.write_usage(usage))
    return msgspec.structs.replace(reply, usage=usage, created_s=0)


@given(openai_replies())
def test_openai_replies_whole_and_streamed(reply: chat.Reply) -> None:
    assert normal(whole(openai_chat, reply)) == normal(reply)
    assert normal(streamed(openai_chat, reply)) == normal(reply)
    assert whole(openai_chat, reply).created_s == streamed(openai_chat, reply).created_s == reply.created_s


@given(replies(ANTHROPIC_PART))
def test_anthropic_replies_whole_and_streamed(reply: chat.Reply) -> None:
    assert normal(whole(anthropic_messages, reply)) == normal(reply)
    assert normal(streamed(anthropic_messages, reply)) == normal(reply)


@given(openai_replies())
def test_a_reply_crosses_and_comes_back(reply: chat.Reply) -> None:
    for way in (whole, streamed):
        assert normal(way(openai_chat, way(anthropic_messages, reply))) == normal(reply)


@given(replies(ANTHROPIC_PART))
def test_a_stream_crosses_like_the_whole_reply(reply: chat.Reply) -> None:
    told = openai_chat.write_reply(streamed(openai_chat, reply), model="m")
    assert told == openai_chat.write_reply(reply, model="m")


@given(replies(ANTHROPIC_PART))
def test_openais_sdk_accepts_what_is_written(reply: chat.Reply) -> None:
    ChatCompletion.model_validate(openai_chat.write_reply(reply, model="m"), strict=True)
    events = sent(openai_chat, stream_from_reply(reply), "m")
    assert events[-1].data == b"[DONE]"
    chunks = [ChatCompletionChunk.model_validate_json(event.data, strict=True) for event in events[:-1]]
    assert {(chunk.id, chunk.model) for chunk in chunks} == {(reply.id, "m")}
    assert chunks[-1].usage is not None
    assert chunks[-1].choices == []


@given(replies(ANTHROPIC_PART))
def test_anthropics_sdk_accepts_what_is_written(reply: chat.Reply) -> None:
    Message.model_validate(anthropic_messages.write_reply(reply, model="m"), strict=True)
    events = [
        event for event in sent(anthropic_messages, stream_from_reply(reply), "m") if event.event != "ping"
    ]
    read = [EVENT.validate_json(event.data, strict=True) for event in events]
    assert [one.type for one in read] == [event.event for event in events]
    begun = [one.index for one in read if one.type == "content_block_start"]
    assert begun == list(range(len(begun)))


@given(replies(ANTHROPIC_PART))
def test_a_glance_at_a_stream_sees_what_a_glance_at_the_whole_sees(reply: chat.Reply) -> None:
    for wire in (openai_chat, anthropic_messages):
        glance = wire.peek_reply(msgspec.json.encode(wire.write_reply(reply, model="m")))
        peek = wire.StreamPeek(keep_text=True)
        for event in sent(wire, stream_from_reply(reply), "m"):
            peek.feed(event)
        assert peek.ended
        assert peek.failed is None
        assert (peek.id, peek.model, peek.stop) == (glance.id, glance.model, glance.stop)
        assert "".join(peek.text_parts) == glance.text == reply.text
        assert peek.tool_calls == glance.tool_calls
        assert peek.usage is not None
        assert glance.usage is not None
        assert peek.usage.prompt_tokens == glance.usage.prompt_tokens
        assert peek.usage.completion_tokens == glance.usage.completion_tokens


@given(replies(), st.randoms(use_true_random=False))
def test_tool_calls_told_in_turns_arrive_whole(reply: chat.Reply, random: Any) -> None:
    """OpenAI may interleave its tool calls; Anthropic's blocks must stand one after the other."""
    lanes = [
        [event for event in stream_from_reply(reply) if getattr(event, "index", None) == index]
        for index in range(len(reply.parts))
    ]
    told: list[chat.StreamEvent] = [chat.Started("id", "m")]
    begun = 0
    while any(lanes):
        ready = [lane for lane in lanes[: begun + 1] if lane]
        lane = random.choice(ready)
        event = lane.pop(0)
        begun += isinstance(event, chat.PartStarted)
        told.append(event)
    told.append(chat.Ended(reply.stop, reply.usage))
    reader = anthropic_messages.StreamReader()
    events = sent(anthropic_messages, told, "m")
    assert reply_from_stream([one for event in events for one in reader.feed(event)]).parts == reply.parts
