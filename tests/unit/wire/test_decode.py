"""A wrong body is refused with the path of what is wrong, in the dialect's own notation."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from smallfirst import limits
from smallfirst.errors import BadRequest
from smallfirst.wire import anthropic_messages, openai_chat

CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
CLAUDE: dict[str, Any] = CHAT | {"max_tokens": 9}


def refused(decode: Callable[[bytes], object], data: bytes | dict[str, Any]) -> BadRequest:
    with pytest.raises(BadRequest) as caught:
        decode(data if isinstance(data, bytes) else json.dumps(data).encode())
    return caught.value


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role", "'user'"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "got `int`"),
        (
            {"messages": [{"role": "user", "content": [{"text": "x"}]}]},
            "messages[0].content[0].type",
            "missing",
        ),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "missing"),
        ({"messages": []}, "messages", "got an array of 0"),
        ({"messages": None}, "messages", "`array`"),
        ({"model": 5}, "model", "`str`"),
        ({"model": ""}, "model", "name of a model"),
        ({"temperature": 2.5}, "temperature", "<= 2.0, got 2.5"),
        ({"temperature": "hot"}, "temperature", "got `str`"),
        ({"top_p": -1}, "top_p", ">= 0.0, got -1"),
        ({"n": limits.MAX_CHOICES + 1}, "n", f"<= {limits.MAX_CHOICES}"),
        ({"n": 0}, "n", ">= 1"),
        ({"max_tokens": -1}, "max_tokens", ">= 0"),
        ({"max_tokens": 1.5}, "max_tokens", "`int | null`"),
        ({"stream": "yes"}, "stream", "`bool | null`"),
        ({"stop": [1]}, "stop[0]", "`str`"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools[0].function.name", "missing"),
        ({"logit_bias": {"1": "x"}}, "logit_bias", "`float`"),
        ({"frequency_penalty": 3}, "frequency_penalty", "<= 2.0"),
        ({"stream_options": {"include_usage": 1}}, "stream_options.include_usage", "`bool | null`"),
    ],
)
def test_openai_names_what_is_wrong(change: dict[str, Any], param: str, says: str) -> None:
    error = refused(openai_chat.decode, CHAT | change)
    assert error.param == param
    assert error.message.startswith(param)
    assert says in error.message
    assert error.status == 400


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"messages": [{"role": "developer", "content": "x"}]}, "messages.0.role", "'assistant'"),
        (
            {"messages": [{"role": "user", "content": [{"type": "text", "text": 1}]}]},
            "messages.0.content.0.text",
            "`str",
        ),
        ({"messages": [{"role": "user"}]}, "messages.0.content", "missing"),
        ({"temperature": 1.5}, "temperature", "<= 1.0, got 1.5"),
        ({"stop_sequences": "x"}, "stop_sequences", "`array"),
        ({"system": 5}, "system", "`str"),
    ],
)
def test_anthropic_names_what_is_wrong(change: dict[str, Any], param: str, says: str) -> None:
    error = refused(anthropic_messages.decode, CLAUDE | change)
    assert error.param == param
    assert says in error.message


def test_anthropic_demands_a_limit() -> None:
    assert refused(anthropic_messages.decode, CHAT).param == "max_tokens"


@pytest.mark.parametrize("decode", [openai_chat.decode, anthropic_messages.decode])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"text"',
        b"\xff\xfe",
        json.dumps(CLAUDE).encode()[:-1],
        json.dumps(CLAUDE | {"temperature": float("nan")}).encode(),
        json.dumps(CLAUDE | {"top_p": float("inf")}).encode(),
        json.dumps(CLAUDE).encode().replace(b'"hi"', b'"h\xff"'),
        json.dumps(CLAUDE | {"unknown": "?"}).encode().replace(b'"?"', b'"\xc3\x28"'),
    ],
)
def test_what_is_no_body(decode: Callable[[bytes], object], data: bytes) -> None:
    assert refused(decode, data).message.startswith(("the body", "temperature", "top_p"))


@pytest.mark.parametrize("decode", [openai_chat.decode, anthropic_messages.decode])
@pytest.mark.parametrize("field", ["unknown", "metadata"])
def test_nesting_is_bounded_in_known_and_unknown_fields(
    decode: Callable[[bytes], object], field: str
) -> None:
    def nested(levels: int) -> bytes:
        value = b'{"a":' * (levels - 1) + b'{"a":"[[[[ \\" [[[["}' + b"}" * (levels - 1)
        return json.dumps(CLAUDE).encode()[:-1] + b',"' + field.encode() + b'":' + value + b"}"

    decode(nested(limits.MAX_JSON_DEPTH - 1))  # the body itself is the first level
    for levels in (limits.MAX_JSON_DEPTH, 100_000):
        assert "nested too deeply" in refused(decode, nested(levels)).message


def test_many_brackets_side_by_side_are_no_depth() -> None:
    body = CHAT | {"messages": [{"role": "user", "content": [{"type": "text", "text": "]]]"}]}] * 300}
    assert openai_chat.decode(json.dumps(body).encode()).message_count == 300


def test_of_a_field_given_twice_the_last_counts_at_every_level() -> None:
    data = b'{"model":"cheap","model":"dear","messages":[{"role":"tool","role":"user","content":"x"}],"\\u006d\\u006fdel":"dearest"}'
    body = openai_chat.decode(data)
    assert (body.model, body.messages[0].role) == ("dearest", "user")
    assert openai_chat.read_request(data).model == "dearest"


def test_a_number_beyond_a_double_in_an_unknown_field_passes_but_cannot_be_translated() -> None:
    data = json.dumps(CHAT).encode()[:-1] + b',"x":1e400}'
    assert openai_chat.decode(data).model == "m"
    refused(openai_chat.read_request, data)
