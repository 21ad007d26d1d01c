"""What may be looked up, and what may be kept."""

import json
from typing import Any

import msgspec
import pytest

from smallfirst.cache.admission import samples, why_bypassed, why_not_kept
from smallfirst.cache.control import NOTHING_SAID, Control
from smallfirst.config.schema import TaskCache
from smallfirst.releases.policy import RungPolicy
from smallfirst.wire.incoming import Incoming, Route

EXACT = TaskCache(exact=True)
TOOL = {"type": "function", "function": {"name": "f"}}


def rung(temperature: float | None = None, *, head: bool = False) -> RungPolicy:
    return RungPolicy(model="m", provider="p", upstream_id="u", temperature=temperature, head=head)


def asked(route: Route = "chat", **fields: Any) -> Incoming:
    body = {"model": "m", "temperature": 0, "messages": [{"role": "user", "content": "hi"}]} | fields
    return Incoming(route, json.dumps({name: value for name, value in body.items() if value != ()}).encode())


def why(incoming: Incoming, rule: TaskCache = EXACT, control: Control = NOTHING_SAID) -> str:
    return why_bypassed(incoming, rule, rungs=(rung(),), control=control)


def test_a_plain_call_is_looked_up() -> None:
    assert why(asked()) == ""
    assert why(asked("messages", max_tokens=9)) == ""
    assert why(asked(stream=True)) == ""


def test_a_task_without_a_cache() -> None:
    assert "no cache" in why(asked(), TaskCache())


def test_no_store_is_neither_looked_up_nor_kept_and_no_cache_is_kept() -> None:
    assert "no-store" in why(asked(), control=Control(no_store=True))
    assert why(asked(), control=Control(no_cache=True)) == ""


@pytest.mark.parametrize(
    ("asked_for", "rungs", "sampling"),
    [
        (0, [rung()], False),
        (0.0, [rung(), rung()], False),
        ((), [rung()], True),
        (None, [rung()], True),
        (0.1, [rung()], True),
        (0, [rung(0.7)], True),  # a rung's own replaces the client's
        (1, [rung(0.0)], False),
        (1, [rung(0.0), rung()], True),
        (0, [rung(0.0), rung(0.2)], True),
        (1, [rung(head=True)], False),
        (1, [rung(head=True), rung(0.0)], False),
        ((), [rung(head=True), rung()], True),
    ],
)
def test_who_samples(asked_for: Any, rungs: list[RungPolicy], sampling: bool) -> None:
    incoming = asked(temperature=asked_for)
    assert samples(incoming, rungs) is sampling
    assert bool(why_bypassed(incoming, EXACT, rungs=rungs, control=NOTHING_SAID)) is sampling
    told_so = msgspec.structs.replace(EXACT, sampled=True)
    assert why_bypassed(incoming, told_so, rungs=rungs, control=NOTHING_SAID) == ""


@pytest.mark.parametrize(
    "fields",
    [
        {"tools": [TOOL]},
        {"tools": [TOOL], "tool_choice": "none"},
        {"functions": [{"name": "f"}]},
        {"web_search_options": {"search_context_size": "low"}},
        {"web_search_options": {}},  # searches, as OpenAI's own example does
        {"mcp_servers": [{"url": "https://example.com"}]},
    ],
)
def test_tools_only_where_the_task_says_so(fields: dict[str, Any]) -> None:
    assert why(asked(**fields)) == "it offers tools"
    assert why(asked(**fields), msgspec.structs.replace(EXACT, tools=True)) == ""


def test_a_tool_that_is_not_there_is_no_tool() -> None:
    assert why(asked(tools=None)) == why(asked(tools=[])) == ""


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"n": 2}, "several choices"),
        ({"modalities": ["text", "audio"], "audio": {"voice": "x"}}, "audio"),
        ({"previous_response_id": "r"}, "remembers"),
        ({"conversation": {"id": "c"}}, "remembers"),
        ({"container": "c"}, "remembers"),
        ({"store": True}, "store"),
    ],
)
def test_what_is_bypassed(fields: dict[str, Any], reason: str) -> None:
    assert reason in why(asked(**fields))


HTTP = "https://example.com/today.png"
INLINE = "data:image/png;base64,AA=="


@pytest.mark.parametrize(
    ("content", "by_address"),
    [
        ([{"type": "image_url", "image_url": {"url": HTTP}}], True),
        ([{"type": "text", "text": "x"}, {"type": "video_url", "video_url": {"url": HTTP}}], True),
        ([{"type": "image", "source": {"type": "url", "url": HTTP}}], True),
        ([{"type": "tool_result", "content": [{"type": "image", "source": {"url": HTTP}}]}], True),
        ([{"type": "image_url", "image_url": {"url": INLINE}}], False),
        ([{"type": "text", "text": f"the url is {HTTP}"}], False),
        (f'{{"url": "{HTTP}"}}', False),
        ([{"type": "tool_use", "input": {"url": HTTP}}], False),
    ],
)
def test_what_lies_behind_an_address_may_be_another_tomorrow(content: Any, by_address: bool) -> None:
    assert ("address" in why(asked(messages=[{"role": "user", "content": content}]))) is by_address


def test_what_means_nothing_is_not_bypassed() -> None:
    fields = {"n": 1, "modalities": ["text"], "store": False, "previous_response_id": None, "audio": None}
    assert why(asked(**fields)) == ""
    assert why(asked(store=True), msgspec.structs.replace(EXACT, ignore=("store",))) == ""


def test_other_routes() -> None:
    data = json.dumps({"model": "m", "prompt": "hi", "temperature": 0}).encode()
    assert "completions" in why(Incoming("completions", data))
    assert "embeddings" in why(Incoming("embeddings", b'{"model":"m","input":"hi"}'))


# What is kept.


def completion(message: dict[str, Any] | None = None, finish: str | None = "stop", **fields: Any) -> bytes:
    told = {"role": "assistant", "content": "billing"} | (message or {})
    choice = {"index": 0, "message": told, "finish_reason": finish}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice]} | fields).encode()


def message(*blocks: dict[str, Any], stop: str | None = "end_turn") -> bytes:
    content = blocks or ({"type": "text", "text": "billing"},)
    return json.dumps({"id": "m", "type": "message", "content": content, "stop_reason": stop}).encode()


def kept(answer: bytes, dialect: Any = "openai", **of: Any) -> str:
    return why_not_kept(answer, dialect, most_bytes=10_000, **of)


def test_a_whole_answer_is_kept() -> None:
    assert kept(completion()) == ""
    assert kept(completion({"reasoning_content": "hm", "refusal": None, "annotations": []})) == ""
    thinking = {"type": "thinking", "thinking": "hm", "signature": "s"}
    assert kept(message(thinking, {"type": "text", "text": "billing"}), "anthropic") == ""
    assert kept(message(stop="stop_sequence"), "anthropic") == ""


@pytest.mark.parametrize("finish", ["length", "tool_calls", "function_call", "error", "unknown", "", None])
def test_lightrag_3446_an_answer_that_did_not_end_by_itself_is_not_kept(finish: str | None) -> None:
    assert "did not end by itself" in kept(completion(finish=finish))


@pytest.mark.parametrize("stop", ["max_tokens", "pause_turn", "model_context_window_exceeded", "odd", None])
def test_a_message_that_did_not_end_by_itself_is_not_kept(stop: str | None) -> None:
    assert "did not end by itself" in kept(message(stop=stop), "anthropic")


def test_refusals_are_not_kept() -> None:
    assert "refusal" in kept(completion({"content": None, "refusal": "I cannot."}))
    assert "refusal" in kept(completion(finish="content_filter"))
    assert "refusal" in kept(message(stop="refusal"), "anthropic")


def test_tool_calls_are_never_kept_whatever_the_answer_ended_with() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert "tool" in kept(completion({"tool_calls": [call]}))
    assert "tool" in kept(completion({"function_call": {"name": "f", "arguments": "{}"}}))
    text = {"type": "text", "text": "billing"}
    assert "tool" in kept(
        message({"type": "tool_use", "id": "t", "name": "f", "input": {}}, text), "anthropic"
    )
    server = {"type": "server_tool_use", "id": "t", "name": "web_search", "input": {}}
    assert "server_tool_use" in kept(message(server, text), "anthropic")
    assert "mcp_tool_use" in kept(message({"type": "mcp_tool_use", "id": "t"}, text), "anthropic")


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>",
        b"[]",
        completion()[:-2],
        b'{"error":{"message":"busy"}}',
        b'{"object":"error","message":"busy"}',
        b'{"choices":[]}',
        b'{"type":"error","error":{"type":"overloaded_error"}}',
    ],
)
def test_errors_with_status_200_are_not_kept(answer: bytes) -> None:
    assert "no whole reply" in kept(answer)
    assert "no whole reply" in kept(answer, "anthropic")


def test_an_error_beside_an_answer() -> None:
    assert "error" in kept(completion(error={"message": "cut"}))


@pytest.mark.parametrize("content", ["", " \n", None])
def test_an_answer_that_says_nothing_is_not_kept(content: str | None) -> None:
    assert "says nothing" in kept(completion({"content": content}))
    assert "says nothing" in kept(message({"type": "text", "text": content or ""}), "anthropic")


def test_only_what_keeps_the_contract_and_is_inside_the_bound() -> None:
    assert "contract" in kept(completion(), unmet="no label")
    assert "outside" in kept(completion(), outside_bound=True)
    assert "max_entry_bytes" in why_not_kept(completion(), "openai", most_bytes=50)


def test_several_choices_and_audio() -> None:
    choices = json.loads(completion())["choices"] * 2
    assert "several" in kept(completion(choices=choices))
    assert "audio" in kept(completion({"audio": {"id": "a", "data": ""}}))
