"""Where routing must hold still: inside tool loops, where a prompt cache is worth more, and for calls unlike those that were learned from."""

from __future__ import annotations

import itertools
import json
import time
import uuid
from typing import Any

import anthropic
import openai
import pytest
from support.routed import EASY_CALL, HARD_CALL, UNLIKE_CALL
from support.routing_gateway import KEYS, RoutedGateway, explained, said
from support.simulator import SimulatorProcess

from smallfirst.routing.conversations import CACHED, IN_A_LOOP, NOT_SEEN

TOOL = {"type": "function", "function": {"name": "lookup", "parameters": {"type": "object"}}}
CLAUDE_TOOL = {"name": "lookup", "input_schema": {"type": "object"}}
PICTURE = {
    "type": "image_url",
    "image_url": {
        "url": "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    },
}
GERMAN = "Bitte schicken Sie mir die Rechnung vom Juli, und wo kann ich die Quittung für den Monat finden?"


class Conversation:
    """One conversation of an OpenAI client with a task: what was said so far, and how to go on."""

    def __init__(self, client: openai.OpenAI, task: str, *, name: str = "") -> None:
        self.client, self.task, self.name = client, task, name
        self.messages: list[dict[str, Any]] = [{"role": "system", "content": f"You help. {uuid.uuid4()}"}]

    def say(self, text: str, **more: Any) -> Any:
        self.messages.append({"role": "user", "content": text})
        return self.step(**more)

    def give_back(self, result: str, **more: Any) -> Any:
        for call in self.messages[-1]["tool_calls"]:
            self.messages.append({"role": "tool", "tool_call_id": call["id"], "content": result})
        return self.step(**more)

    def step(self, **more: Any) -> Any:
        headers = {"x-smallfirst-explain": "1"} | (
            {"x-smallfirst-conversation": self.name} if self.name else {}
        )
        raw = self.client.chat.completions.with_raw_response.create(
            model=f"task/{self.task}", messages=self.messages, extra_headers=headers, **more
        )
        self.messages.append(raw.parse().choices[0].message.model_dump(exclude_none=True))
        return raw


def rung(raw: Any) -> str:
    return raw.headers["x-smallfirst-rung"]


def called(**more: Any) -> dict[str, Any]:
    """The model must call a tool."""
    return {"tools": [TOOL], "tool_choice": "required", **more}


# Inside a tool loop.


def test_a_small_model_finishes_the_loop_that_it_began(asker: openai.OpenAI, routed: RoutedGateway) -> None:
    talk = Conversation(asker, "reply")
    assert rung(talk.say(EASY_CALL, **called())) == "0"
    for _ in range(3):  # from the third step on an agent's call would go to the frontier
        raw = talk.give_back("nothing", **called())
        assert rung(raw) == "0"
        assert explained(raw)["place"] == IN_A_LOOP
    assert explained(raw)["judgement"]["unknown"] == "an agent's step 4"
    call = routed.recorded(raw.headers["x-smallfirst-call"])
    assert routed.cli("explain", "--call", call.id)["same"]
    assert rung(talk.give_back("done", tools=[TOOL], tool_choice="none")) == "0"
    raw = talk.say(HARD_CALL)  # the loop is over
    assert rung(raw) == "1"
    assert "place" not in explained(raw)


@pytest.mark.parametrize("task", ["reply", "loose"])
def test_the_frontier_finishes_the_loop_that_it_began(
    asker: openai.OpenAI, upstream: SimulatorProcess, task: str
) -> None:
    talk = Conversation(asker, task)
    assert rung(talk.say(HARD_CALL, **called())) == "1"
    talk.messages += [
        {"role": "tool", "tool_call_id": call["id"], "content": "42"}
        for call in talk.messages[-1]["tool_calls"]
    ]
    raw = talk.say(EASY_CALL)  # the router would let this one begin small
    assert rung(raw) == "1"
    assert explained(raw)["steps"][0]["skipped"] == IN_A_LOOP
    sent = json.loads(upstream.requests(detail=True)["requests"][-1]["body"])
    assert sent["messages"] == talk.messages[:-1]  # tool ids and all


def test_a_loop_stays_where_it_is_outside_its_sample(
    asker: openai.OpenAI, upstream: SimulatorProcess
) -> None:
    deadline, why = time.monotonic() + 15, []
    for number in itertools.count():
        talk = Conversation(asker, "sampled")
        raw = talk.say(f"{EASY_CALL} {number}", **called())
        if rung(raw) == "0":  # inside the sample, which the loop's later requests need not be
            assert [rung(talk.give_back(f"{step}", **called())) for step in range(6)] == ["0"] * 6
            return
        why.append(explained(raw))
        assert time.monotonic() < deadline, why[-3:]


def test_a_loop_that_nobody_remembers_goes_to_the_frontier(asker: openai.OpenAI) -> None:
    talk = Conversation(asker, "reply")
    call = {"id": "call_elsewhere", "type": "function", "function": {"name": "lookup", "arguments": "{}"}}
    asked = said(f"{EASY_CALL} In May?")
    talk.messages += [*asked, {"role": "assistant", "content": None, "tool_calls": [call]}]
    raw = talk.give_back("42", tools=[TOOL])
    assert rung(raw) == "1"
    assert explained(raw)["steps"][0]["skipped"] == NOT_SEEN


@pytest.mark.parametrize(("text", "model"), [(EASY_CALL, "haiku"), (HARD_CALL, "claude")])
def test_thinking_and_its_signature_reach_the_same_model_byte_for_byte(
    claude_asker: anthropic.Anthropic, upstream: SimulatorProcess, text: str, model: str
) -> None:
    messages: list[dict[str, Any]] = said(f"lookup: {text}")
    options = {
        "model": "task/think",
        "max_tokens": 3000,
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "tools": [CLAUDE_TOOL],
    }
    for _ in range(3):
        raw = claude_asker.messages.with_raw_response.create(messages=messages, **options)
        assert raw.headers["x-smallfirst-model"] == model
        content = [block.model_dump(exclude_none=True) for block in raw.parse().content]
        uses = [block for block in content if block["type"] == "tool_use"]
        sent = json.loads(upstream.requests(detail=True)["requests"][-1]["body"])
        assert sent["messages"] == messages
        if not uses:
            break
        assert any(block["type"] == "thinking" and block["signature"] for block in content)
        given = [{"type": "tool_result", "tool_use_id": use["id"], "content": "42"} for use in uses]
        messages = [*messages, {"role": "assistant", "content": content}, {"role": "user", "content": given}]
    assert len(messages) > 1


# Between loops.


def test_a_conversation_stays_where_its_prompt_cache_is_worth_more(asker: openai.OpenAI) -> None:
    talk = Conversation(asker, "dear")
    assert rung(talk.say(HARD_CALL)) == "1"
    raw = talk.say(EASY_CALL)
    assert rung(raw) == "1"
    assert explained(raw)["place"] == explained(raw)["steps"][0]["skipped"] == CACHED


@pytest.mark.parametrize("task", ["reply", "loose"])
def test_it_moves_where_that_saves_more_or_where_it_need_not_stay(asker: openai.OpenAI, task: str) -> None:
    talk = Conversation(asker, task)
    assert rung(talk.say(HARD_CALL)) == "1"
    assert rung(talk.say(EASY_CALL)) == "0"
    assert rung(talk.say(HARD_CALL)) == "1"


def test_a_name_says_which_conversation_it_is(asker: openai.OpenAI) -> None:
    name = uuid.uuid4().hex
    assert rung(Conversation(asker, "dear", name=name).say(HARD_CALL)) == "1"
    # Its history was rewritten since, as applications do that summarise: only the name tells.
    again, other = Conversation(asker, "dear", name=name), Conversation(asker, "dear", name=uuid.uuid4().hex)
    for talk, expected in ((again, "1"), (other, "0")):
        talk.messages += [{"role": "user", "content": "Hello."}, {"role": "assistant", "content": "Hello!"}]
        assert rung(talk.say(EASY_CALL)) == expected


def test_tenants_never_share_a_place(asker: openai.OpenAI, routed: RoutedGateway) -> None:
    name = uuid.uuid4().hex
    mine = Conversation(asker, "dear", name=name)
    assert rung(mine.say(HARD_CALL)) == "1"
    with openai.OpenAI(base_url=f"{routed.url}/v1", api_key=KEYS["rival"], max_retries=0) as rival:
        for named in (name, ""):
            theirs = Conversation(rival, "dear", name=named)
            theirs.messages = list(mine.messages)
            assert rung(theirs.say(EASY_CALL)) == "0"
    assert rung(mine.say(EASY_CALL)) == "1"


def test_conversations_that_begin_with_the_same_words_are_told_apart(asker: openai.OpenAI) -> None:
    small, large = Conversation(asker, "dear"), Conversation(asker, "dear")
    large.messages = list(small.messages)
    for talk in (small, large):
        assert rung(talk.say(EASY_CALL)) == "0"
    assert rung(large.say(HARD_CALL)) == "1"
    assert rung(small.say(f"Thanks. {EASY_CALL}")) == "0"
    assert rung(large.say(EASY_CALL)) == "1"
    assert rung(small.say(EASY_CALL)) == "0"


# Calls that no figures speak for.


@pytest.mark.parametrize(
    ("content", "more", "why"),
    [
        (EASY_CALL, {"tools": [TOOL] * 6}, "6 tools are offered"),
        ([{"type": "text", "text": EASY_CALL}, PICTURE], {}, "has images"),
        (EASY_CALL + " Thanks!" * 4000, {}, "32,068 characters, longer than what was learned from"),
        (EASY_CALL + " Thanks!" * 32_000, {}, "256,068 characters, longer than what was learned from"),
        (GERMAN, {}, "language 'de' was not learned from"),
        (UNLIKE_CALL, {}, "unlike anything seen (cosine "),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_what_was_not_learned_from_goes_to_the_frontier(
    asker: openai.OpenAI, routed: RoutedGateway, content: Any, more: dict[str, Any], why: str, stream: bool
) -> None:
    raw = asker.chat.completions.with_raw_response.create(
        model="task/reply",
        messages=[{"role": "user", "content": content}],
        stream=stream,
        max_tokens=5,
        **more,
    )
    if stream:
        list(raw.parse())
    call = routed.recorded(raw.headers["x-smallfirst-call"])
    assert call.rung == 1
    assert call.decision["judgement"]["unknown"].startswith(why)
    assert call.decision["skipped"]["0"].startswith(why)


def test_an_agents_third_step_goes_to_the_frontier(asker: openai.OpenAI) -> None:
    talk = Conversation(asker, "reply")
    for _ in range(2):
        talk.say(EASY_CALL, **called())
        talk.give_back("42", tools=[TOOL], tool_choice="none")
    raw = talk.say(EASY_CALL)
    assert rung(raw) == "1"
    assert explained(raw)["judgement"]["unknown"] == "an agent's step 3"


@pytest.mark.parametrize(
    ("task", "more", "why"),
    [
        ("brief", {"max_tokens": 1990}, "tokens, more than its context of 2000"),
        ("toolless", {"tools": [TOOL]}, "tools are offered, the model has none"),
    ],
)
def test_a_rung_that_cannot_do_it_is_skipped(
    asker: openai.OpenAI, task: str, more: dict[str, Any], why: str
) -> None:
    able = asker.chat.completions.with_raw_response.create(model=f"task/{task}", messages=said(EASY_CALL))
    assert rung(able) == "0"
    raw = Conversation(asker, task).say(EASY_CALL, **more)
    assert rung(raw) == "1"
    assert why in explained(raw)["steps"][0]["skipped"]


@pytest.mark.parametrize(("question", "expected"), [(EASY_CALL, "0"), (HARD_CALL, "1")])
def test_only_the_marked_question_decides(asker: openai.OpenAI, question: str, expected: str) -> None:
    about = {"0": HARD_CALL, "1": EASY_CALL}[expected]
    text = f"Use these passages. {about * 5}\nQUESTION: {question} END\nAnswer in one line. {about}"
    raw = Conversation(asker, "passages").say(text)
    assert rung(raw) == expected
