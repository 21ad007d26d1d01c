"""Text completions and embeddings."""

import json
from typing import Any

import pytest

from smallfirst.chat import Usage
from smallfirst.errors import BadRequest, UpstreamBroken
from smallfirst.wire import openai_chat
from smallfirst.wire.openai_other import (
    CompletionsBody,
    decode_completions,
    decode_embeddings,
    peek_embeddings,
)
from smallfirst.wire.sse import SseEvent


def completions(**fields: Any) -> CompletionsBody:
    return decode_completions(json.dumps({"model": "m"} | fields).encode())


@pytest.mark.parametrize(
    ("prompt", "prompts"),
    [("x", 1), (None, 1), ([], 1), (["x", "y"], 2), ([1, 2, 3], 1), ([[1], [2], [3]], 3)],
)
def test_prompts_in_all_their_shapes(prompt: Any, prompts: int) -> None:
    body = completions(prompt=prompt)
    assert (body.message_count, body.choices) == (prompts, prompts)


def test_what_is_generated_is_counted_whether_or_not_it_is_shown() -> None:
    assert completions(prompt=["x", "y"], n=2, best_of=3).choices == 6
    body = completions(
        prompt="x", max_tokens=7, stream=True, stream_options={"include_usage": True}, stop=["a"], suffix="b"
    )
    assert (body.max_output_tokens, body.stream, body.stream_usage) == (7, True, True)
    assert (body.tools_count, body.image_count) == (0, 0)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"prompt": 5}, "prompt"),
        ({"best_of": 99}, "best_of"),
        ({"temperature": 3}, "temperature"),
        ({"model": "", "prompt": "x"}, "model"),
        ({}, "prompt"),
    ],
)
def test_wrong_completions(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        completions(**fields)
    assert caught.value.param == param


def test_embeddings() -> None:
    body = decode_embeddings(b'{"model":"m","input":["a",[1,2]],"dimensions":8,"encoding_format":"base64"}')
    assert (body.model, body.stream, body.max_output_tokens, body.choices, body.stream_usage) == (
        "m",
        False,
        0,
        1,
        False,
    )
    with pytest.raises(BadRequest) as caught:
        decode_embeddings(b'{"model":"m"}')
    assert caught.value.param == "input"


def test_a_glance_at_embeddings() -> None:
    peek = peek_embeddings(
        b'{"object":"list","data":[{"object":"embedding","index":0,"embedding":[0.1]}],"model":"m",'
        b'"usage":{"prompt_tokens":5,"total_tokens":5}}'
    )
    assert (peek.model, peek.usage, peek.text) == ("m", Usage(input_tokens=5), "")
    for broken in (b"", b"{}", b'{"data":[', b'{"error":{"message":"x"}}', b"\xff"):
        with pytest.raises(UpstreamBroken):
            peek_embeddings(broken)


def test_text_completions_whole_and_streamed() -> None:
    reply = {
        "id": "cmpl",
        "object": "text_completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "text": "hello"}],
    }
    reply["choices"][0] |= {"finish_reason": "length", "logprobs": None}  # type: ignore[index]
    peek = openai_chat.peek_reply(json.dumps(reply).encode())
    assert (peek.text, peek.stop, peek.usage) == ("hello", "length", None)
    stream = openai_chat.StreamPeek(keep_text=True)
    stream.feed(
        SseEvent(
            json.dumps(reply | {"choices": [{"index": 0, "text": "hel", "finish_reason": None}]}).encode(),
            "",
            b"",
        )
    )
    assert not stream.ended
    stream.feed(
        SseEvent(
            json.dumps(reply | {"choices": [{"index": 0, "text": "lo", "finish_reason": "stop"}]}).encode(),
            "",
            b"",
        )
    )
    assert (stream.ended, stream.text_parts, stream.chars) == (True, ["hel", "lo"], 5)
