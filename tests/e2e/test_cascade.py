"""The second decision, after a small model has answered: what is not sure enough climbs, is billed, and its client never sees it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import anthropic
import openai
import pytest
from support.routed import EASY_CALL
from support.routing_gateway import FRONTIER, OWN, SMALL, RoutedGateway, said
from support.simulator import SimulatorProcess

SURE, UNSURE, BETWEEN = "no", "maybe", "Hello"  # .998, .323 and .783 by the simulator's own log-probabilities
TOOL = {"type": "function", "function": {"name": "lookup_invoice", "parameters": {"type": "object"}}}

Told = tuple[str, Any]
"""An answer's text, and the headers that it came with."""


def answers(
    upstream: SimulatorProcess, *, own: str, small: str = "", frontier: str = "The frontier."
) -> None:
    upstream.fault(match=OWN, answer=own)
    upstream.fault(match=SMALL, answer=small)
    upstream.fault(match=FRONTIER, answer=frontier)


@pytest.fixture(params=["openai", "openai stream", "anthropic", "anthropic stream"])
def say(
    request: pytest.FixtureRequest, asker: openai.OpenAI, claude_asker: anthropic.Anthropic
) -> Callable[[str, str], Told]:
    """Asks a task as each kind of client does."""

    def openai_whole(task: str, text: str) -> Told:
        raw = asker.chat.completions.with_raw_response.create(model=f"task/{task}", messages=said(text))
        choice = raw.parse().choices[0]
        assert choice.logprobs is None
        return choice.message.content or "", raw.headers

    def openai_stream(task: str, text: str) -> Told:
        raw = asker.chat.completions.with_raw_response.create(
            model=f"task/{task}", messages=said(text), stream=True
        )
        choices = [choice for chunk in raw.parse() for choice in chunk.choices]
        assert {choice.logprobs for choice in choices} == {None}
        return "".join(choice.delta.content or "" for choice in choices), raw.headers

    def claude_whole(task: str, text: str) -> Told:
        raw = claude_asker.messages.with_raw_response.create(
            model=f"task/{task}", max_tokens=50, messages=said(text)
        )
        return raw.parse().content[0].text, raw.headers

    def claude_stream(task: str, text: str) -> Told:
        with claude_asker.messages.stream(model=f"task/{task}", max_tokens=50, messages=said(text)) as stream:
            return stream.get_final_text(), stream.response.headers

    ways = {
        "openai": openai_whole,
        "openai stream": openai_stream,
        "anthropic": claude_whole,
        "anthropic stream": claude_stream,
    }
    return ways[request.param]


def attempts(routed: RoutedGateway, headers: Any) -> list[tuple[str, str, str]]:
    call = routed.recorded(headers["x-smallfirst-call"])
    assert call.cost_nusd == sum(attempt.cost_nusd or 0 for attempt in call.attempts)
    return [(attempt.model, attempt.kind, attempt.status) for attempt in call.attempts]


def test_a_sure_answer_is_released(
    say: Callable[[str, str], Told], routed: RoutedGateway, upstream: SimulatorProcess
) -> None:
    answers(upstream, own=SURE)
    text, headers = say("mail", EASY_CALL)
    assert (text, headers["x-smallfirst-rung"]) == (SURE, "0")
    assert attempts(routed, headers) == [("own", "first", "ok")]


def test_an_unsure_answer_climbs_and_is_billed(
    say: Callable[[str, str], Told], routed: RoutedGateway, upstream: SimulatorProcess
) -> None:
    answers(upstream, own=UNSURE)
    text, headers = say("mail", EASY_CALL)
    assert (text, headers["x-smallfirst-rung"]) == ("The frontier.", "1")
    assert "x-smallfirst-check" not in headers
    assert attempts(routed, headers) == [("own", "first", "doubted"), ("frontier", "climb", "ok")]
    call = routed.recorded(headers["x-smallfirst-call"])
    doubted = call.attempts[0]
    assert (doubted.cost_nusd or 0) > 0
    assert doubted.reason.startswith("adequate with probability 0.")
    assert doubted.reason.endswith(", less than 0.500")


def test_another_rung_that_says_the_same_is_a_reason_to_believe_it(
    say: Callable[[str, str], Told], routed: RoutedGateway, upstream: SimulatorProcess
) -> None:
    answers(upstream, own=BETWEEN, small=BETWEEN, frontier=SURE)
    text, headers = say("pick", EASY_CALL)
    assert (text, headers["x-smallfirst-rung"]) == (BETWEEN, "1")
    assert attempts(routed, headers) == [("own", "first", "doubted"), ("own-second", "climb", "ok")]
    upstream.reset()
    answers(upstream, own=UNSURE, small=BETWEEN, frontier=SURE)
    text, headers = say("pick", EASY_CALL)
    assert (text, headers["x-smallfirst-rung"]) == (SURE, "2")
    assert [status for _, _, status in attempts(routed, headers)] == ["doubted", "doubted", "ok"]


@pytest.mark.parametrize(("text", "rung"), [("Please refund my payment last month", "0"), ("asdf qwer", "1")])
def test_a_heads_own_confidence_decides(
    say: Callable[[str, str], Told], routed: RoutedGateway, upstream: SimulatorProcess, text: str, rung: str
) -> None:
    upstream.fault(match=FRONTIER, answer="bug")
    label, headers = say("sort", text)
    assert headers["x-smallfirst-rung"] == rung
    assert label == ("billing" if rung == "0" else "bug")


@pytest.mark.parametrize("stream", [False, True])
def test_who_asks_for_log_probabilities_gets_them(
    asker: openai.OpenAI, upstream: SimulatorProcess, stream: bool
) -> None:
    answers(upstream, own=SURE)
    answer = asker.chat.completions.create(
        model="task/mail", messages=said(EASY_CALL), logprobs=True, top_logprobs=2, stream=stream
    )
    chunks = list(answer) if stream else [answer]
    told = [choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs]
    assert [token.token for one in told for token in one.content] == [SURE]
    assert math.exp(told[0].content[0].logprob) > 0.99
    assert len(told[0].content[0].top_logprobs) == 2


def test_models_that_are_not_ones_own_are_not_asked_for_them(
    asker: openai.OpenAI, upstream: SimulatorProcess
) -> None:
    answers(upstream, own=SURE, small="Here it is.")
    asker.chat.completions.create(model="task/mail", messages=said(EASY_CALL))
    asker.chat.completions.create(model="task/reply", messages=said(EASY_CALL))
    own, hosted = (json.loads(one["body"]) for one in upstream.requests(detail=True)["requests"])
    assert own["logprobs"] is True
    assert "logprobs" not in hosted


@pytest.mark.parametrize("stream", [False, True])
def test_a_call_of_a_tool_is_a_step_on_the_way_and_not_judged(
    asker: openai.OpenAI, routed: RoutedGateway, upstream: SimulatorProcess, stream: bool
) -> None:
    raw = asker.chat.completions.with_raw_response.create(
        model="task/mail",
        messages=said("Please lookup the invoice of July."),
        tools=[TOOL],
        tool_choice="required",
        stream=stream,
    )
    answer = raw.parse()
    if stream:
        assert any(choice.delta.tool_calls for chunk in answer for choice in chunk.choices)
    else:
        assert answer.choices[0].message.tool_calls[0].function.name == "lookup_invoice"
    assert attempts(routed, raw.headers) == [("own", "first", "ok")]


@pytest.mark.parametrize(("task", "held"), [("mail", True), ("reply", False)])
def test_text_is_held_back_only_where_it_is_judged(
    asker: openai.OpenAI, upstream: SimulatorProcess, task: str, held: bool
) -> None:
    upstream.fault(slow_ms=40)
    stream = asker.chat.completions.create(model=f"task/{task}", messages=said(EASY_CALL), stream=True)
    next(iter(stream))
    assert upstream.requests()["in_flight"] == (0 if held else 1)
    stream.close()


def test_what_a_truncated_or_refusing_answer_is_worth_is_judged_too(
    asker: openai.OpenAI, routed: RoutedGateway, upstream: SimulatorProcess
) -> None:
    upstream.fault(match=OWN, refuse=True)
    raw = asker.chat.completions.with_raw_response.create(model="task/mail", messages=said(EASY_CALL))
    assert raw.headers["x-smallfirst-rung"] in ("0", "1")
    assert attempts(routed, raw.headers)[0][2] in ("ok", "doubted", "unmet")


def test_an_answer_that_breaks_off_while_it_is_held_back_climbs(
    asker: openai.OpenAI, routed: RoutedGateway, upstream: SimulatorProcess
) -> None:
    upstream.fault(match=OWN, cut_after_chunks=1)
    upstream.fault(match=FRONTIER, answer="The frontier.")
    raw = asker.chat.completions.with_raw_response.create(
        model="task/mail", messages=said(EASY_CALL), stream=True
    )
    text = "".join(choice.delta.content or "" for chunk in raw.parse() for choice in chunk.choices)
    assert text == "The frontier."
    assert [status for _, _, status in attempts(routed, raw.headers)] == ["broken", "ok"]


def test_the_metrics_know_of_doubt(
    asker: openai.OpenAI, routed: RoutedGateway, upstream: SimulatorProcess
) -> None:
    answers(upstream, own=UNSURE)
    asker.chat.completions.create(model="task/mail", messages=said(EASY_CALL))
    assert 'status="doubted"' in routed.get("/metrics")[1].decode()
