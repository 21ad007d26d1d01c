"""Who said what, from either dialect."""

from __future__ import annotations

import json
from typing import Any

import pytest

from smallfirst.wire import anthropic_messages, openai_chat
from smallfirst.wire.turns import Conversation, Turn, read_conversation

CALL = {"id": "call_1", "type": "function", "function": {"name": "find", "arguments": "{}"}}
TOOL_USE = {"type": "tool_use", "id": "call_1", "name": "find", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "call_1", "content": "found"}
IMAGE = {"type": "image", "source": {"type": "url", "url": "https://a.example/b.png"}}


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def assistant(content: Any, **fields: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **fields}


def text(said: str) -> dict[str, Any]:
    return {"type": "text", "text": said}


def gpt(*messages: dict[str, Any], **fields: Any) -> Conversation:
    body = {"model": "m", "messages": messages} | fields
    return read_conversation(openai_chat.decode(json.dumps(body).encode()))


def claude(*messages: dict[str, Any], **fields: Any) -> Conversation:
    body = {"model": "m", "max_tokens": 9, "messages": messages} | fields
    return read_conversation(anthropic_messages.decode(json.dumps(body).encode()))


def test_system_and_developer_are_one_prompt() -> None:
    read = gpt(
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [text("Be kind."), text("Always.")]},
        user("hi"),
    )
    assert (read.system, read.turns) == ("Be brief.\nBe kind.\nAlways.", (Turn("user", "hi"),))
    for system in ("Be brief.\nBe kind.", [text("Be brief."), text("Be kind.")]):
        assert claude(user("hi"), system=system).system == "Be brief.\nBe kind."
    late = claude({"role": "system", "content": "Later."}, user("hi"), system="First.")
    assert (late.system, late.turns) == ("First.\nLater.", (Turn("user", "hi"),))
    assert claude(user("hi")).system == gpt(user("hi")).system == ""


def test_parts_are_lines_and_what_is_no_text_is_not_read() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}}
    assert gpt(user([text("a"), audio, text("b")])).turns == (Turn("user", "a\nb"),)
    assert claude(user([text("a"), IMAGE, text("b")])).turns == (Turn("user", "a\nb"),)
    thinking = {"type": "thinking", "thinking": "secret", "signature": "s"}
    assert claude(user("q"), assistant([thinking, text("so")])).turns[1] == Turn("assistant", "so")


def test_images_are_counted_also_those_that_tools_gave_back() -> None:
    url = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    assert gpt(user([text("what is it?"), url, url])).images == 2
    given_back = {"type": "tool_result", "tool_use_id": "call_1", "content": [IMAGE, text("a cat")]}
    read = claude(user([IMAGE]), assistant([TOOL_USE]), user([given_back]))
    assert read.images == 2
    assert read.turns == (Turn("user", ""), Turn("assistant", "", 1), Turn("tool", "a cat"))


def test_an_image_alone_is_a_turn_in_both_dialects() -> None:
    """Else the question before it would be taken for the present one."""
    url = {"type": "image_url", "image_url": {"url": "https://a.example/b.png"}}
    said = (user("first"), assistant("yes?"))
    assert gpt(*said, user([url])).turns == claude(*said, user([IMAGE])).turns
    assert claude(*said, user([IMAGE])).turns[-1] == Turn("user", "")


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "text"),
        ({"response_format": {"type": "text"}}, "text"),
        ({"response_format": {"type": "json_object"}}, "json"),
        ({"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}}, "schema"),
        ({"response_format": {"type": 7}}, "text"),
    ],
)
def test_what_openai_is_asked_for(fields: dict[str, Any], kind: str) -> None:
    assert gpt(user("hi"), **fields).output == kind


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "text"),
        ({"output_config": {"effort": "high"}}, "text"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {}}}}, "schema"),
        ({"output_format": {"type": "json_schema", "schema": {}}}, "schema"),
    ],
)
def test_what_anthropic_is_asked_for(fields: dict[str, Any], kind: str) -> None:
    assert claude(user("hi"), **fields).output == kind


def test_tools_offered_and_called_are_counted() -> None:
    tool = {"type": "function", "function": {"name": "find", "parameters": {}}}
    assert gpt(user("hi"), tools=[tool, tool], functions=[{"name": "f"}]).tools == 3
    assert claude(user("hi"), tools=[{"name": "find", "input_schema": {}}]).tools == 1
    read = gpt(user("q"), assistant(None, tool_calls=[CALL, CALL | {"id": "call_2"}]))
    assert read.turns[-1] == Turn("assistant", "", 2)
    old = gpt(user("q"), assistant("", function_call={"name": "f", "arguments": "{}"}))
    assert old.turns[-1] == Turn("assistant", "", 1)
    both = claude(user("q"), assistant([text("I look."), TOOL_USE, TOOL_USE | {"id": "call_2"}]))
    assert both.turns[-1] == Turn("assistant", "I look.", 2)


def test_results_are_turns_of_their_own() -> None:
    found = {"role": "tool", "tool_call_id": "call_1", "content": "found"}
    asked = assistant(None, tool_calls=[CALL])
    of_gpt = gpt(user("q"), asked, found, user("well?"))
    of_claude = claude(user("q"), assistant([TOOL_USE]), user([RESULT, text("well?")]))
    assert of_gpt.turns == of_claude.turns
    assert [turn.role for turn in of_gpt.turns] == ["user", "assistant", "tool", "user"]
    old = gpt(user("q"), {"role": "function", "name": "f", "content": "found"})
    assert old.turns[-1] == Turn("tool", "found")


@pytest.mark.parametrize("content", [None, 7, [], [7, {"type": "image"}, {"text": 8}]])
def test_a_result_without_text_is_an_empty_turn(content: Any) -> None:
    read = claude(user("q"), assistant([TOOL_USE]), user([RESULT | {"content": content}]))
    assert read.turns[-1].role == "tool"
    assert not read.turns[-1].text.strip()


LOOP = (user("q"), assistant([TOOL_USE]))


@pytest.mark.parametrize(
    ("messages", "unfinished"),
    [
        ((user("q"),), False),
        ((user("q"), assistant("a prefill")), False),
        (LOOP, True),
        ((*LOOP, user([RESULT])), True),
        ((*LOOP, user([RESULT, text("a reminder")])), True),
        ((*LOOP, user([RESULT]), assistant("found it")), False),
        ((*LOOP, user([RESULT]), assistant("found it"), user("thanks")), False),
        ((*LOOP, user([RESULT]), assistant([text("once more"), TOOL_USE])), True),
    ],
)
def test_a_tool_loop_is_unfinished_until_its_results_are_answered(
    messages: tuple[dict[str, Any], ...], unfinished: bool
) -> None:
    assert claude(*messages).unfinished_tool_loop is unfinished


def test_rounds_of_tools_are_counted_however_many() -> None:
    rounds = [assistant(None, tool_calls=[CALL]), {"role": "tool", "tool_call_id": "call_1", "content": "x"}]
    read = gpt(user("q"), *(rounds * 40))
    assert read.tool_rounds == 40
    assert read.unfinished_tool_loop
    assert not Conversation(turns=()).unfinished_tool_loop
