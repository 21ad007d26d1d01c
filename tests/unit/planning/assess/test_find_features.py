"""A mixed stream is split into the features it was made of, unaided, however their prompts are written."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from support.mixed_calls import FORMS, TASKS, Made, instructions, made_for, mixed, said, tickets, told

from smallfirst.planning.assess import Found, Observed, find_features

HELPDESK_NAMES = ("classify", "extract fields from", "summarise")


def found(calls: list[Made], *, seed: int = 0) -> Found:
    return find_features((call.observed for call in calls), seed=seed)


def parts(calls: list[Made]) -> list[dict[str, int]]:
    """What each feature that was found is made of; all calls are in one of them."""
    result = found(calls)
    assert result.calls == len(calls)
    assert sum(feature.calls for feature in result.features) == len(calls)
    return [dict(made_for(feature, calls)) for feature in result.features]


@pytest.mark.parametrize("form", FORMS)
def test_the_three_features_of_the_helpdesk_are_found_in_each_form_of_their_prompts(form: str) -> None:
    calls = mixed(300, form)
    result = found(calls)
    assert len(result.features) == 3
    assert result.unsorted is None
    for feature in result.features:
        made = made_for(feature, calls)
        task, count = made.most_common(1)[0]
        if form == "bare":  # a short summary may look like a label
            assert count >= 0.95 * feature.calls
            continue
        assert list(made) == [task]
        assert feature.calls == sum(call.of == task for call in calls)
        begins = dict(zip(TASKS, HELPDESK_NAMES, strict=True))
        assert feature.name.startswith(begins[task])
        assert "ticket" in feature.name
        assert 3 <= len(feature.words) <= 6


def test_they_are_found_where_the_same_prompts_are_written_in_different_ways() -> None:
    assert sorted(map(len, parts(mixed(400, "system", "inlined", "dated", "dated-inlined")))) == [1, 1, 1]


def test_another_prompt_for_the_same_labels_and_fields_is_the_same_feature() -> None:
    made = parts(mixed(600, "system", "generic"))
    assert {name: count for part in made for name, count in part.items()}.keys() == {
        "ticket-triage",
        "ticket-extract",
        "ticket-summary",
    }
    assert sum("ticket-triage" in part for part in made) == 1
    assert sum("ticket-extract" in part for part in made) == 1


def test_prompts_alone_are_enough() -> None:
    assert sorted(map(len, parts(mixed(300, "system", answers=False)))) == [1, 1, 1]
    assert sorted(map(len, parts(mixed(300, "generic", answers=False)))) == [1, 1, 1]


def test_chat_beside_them_is_one_feature() -> None:
    draw = random.Random(1)
    topics = ["cats", "the weather", "jazz", "trains", "soup", "chess", "rain"]
    chat = []
    for _ in range(120):
        asked, other = draw.choice(topics), draw.choice(topics)
        prompt = said(f"{draw.choice(('hm', 'so', 'well'))} {asked}?")
        chat.append(
            Made("chat", Observed(messages=prompt, answer=f"I like {asked} and {other} a great deal."))
        )
    calls = [*mixed(240, "inlined", seed=3), *chat]
    made = parts(calls)
    assert {"chat": 120} in made
    assert len(made) == 4


def _versions(second: str) -> Callable[[int, random.Random], Made]:
    first = instructions()["ticket-triage"]

    def make(number: int, draw: random.Random) -> Made:
        row = draw.choice(tickets())
        prompt = first if number < 150 else second
        return Made("one", Observed(messages=told(prompt, row["input"]), answer=row["category"]))

    return make


def _few_shot(_: int, draw: random.Random) -> Made:
    row, shots = draw.choice(tickets()), draw.sample(tickets()[:25], 4)
    shown = "\n\n".join(f"Ticket: {shot['input']}\nLabel: {shot['category']}" for shot in shots)
    prompt = f"Label the ticket.\n\n{shown}\n\nTicket: {row['input']}\nLabel:"
    return Made("one", Observed(messages=said(prompt), answer=row["category"]))


def _documents(_: int, draw: random.Random) -> Made:
    context = "\n---\n".join(row["input"] for row in draw.sample(tickets()[:12], 3))
    question = draw.choice(("How do I reset it?", "How do I print labels?", "Where are my users?"))
    prompt = f"Answer the question with the context alone. If it is not in there, say so.\n\nContext:\n{context}\n\nQuestion: {question}"
    return Made(
        "one", Observed(messages=said(prompt), answer=f"Under settings. {draw.choice(tickets())['summary']}")
    )


def _footers(_: int, draw: random.Random) -> Made:
    row = draw.choice(tickets())
    footer = "\n\nThis email and any attachments are confidential and meant for the named person alone; if you have it in error, delete it."
    text = row["input"] + (footer if draw.random() < 0.4 else "")
    return Made("one", Observed(messages=told("Classify the email.", text), answer=row["category"]))


def _customers(_: int, draw: random.Random) -> Made:
    prompt = f"You are the assistant of {draw.getrandbits(24):x} Ltd. Answer questions about orders, deliveries and returns. Be brief."
    row = draw.choice(tickets())
    return Made("one", Observed(messages=told(prompt, row["input"]), answer=row["summary"]))


def _talk(_: int, draw: random.Random) -> Made:
    history: list[dict[str, Any]] = []
    for _ in range(draw.randint(0, 3)):
        history += [
            *said(draw.choice(tickets())["input"]),
            {"role": "assistant", "content": draw.choice(tickets())["summary"]},
        ]
    last = draw.choice(tickets())["input"]
    asked = [
        {
            "role": "system",
            "content": "You are Ava of Northbank. Help customers with accounts, cards and payments.",
        },
        *history,
        *said(last),
    ]
    return Made(
        "one", Observed(messages=asked, answer=draw.choice(("Sure!", draw.choice(tickets())["summary"])))
    )


def _agent(_: int, draw: random.Random) -> Made:
    calls = draw.random() < 0.6
    row = draw.choice(tickets())
    return Made(
        "one",
        Observed(
            messages=told("You are an agent that books travel with the tools that you have.", row["input"]),
            tools=tuple(draw.sample(["search", "book", "cancel", "pay", "map"], 4)),
            calls_tools=calls,
            answer="" if calls else row["summary"],
        ),
    )


@pytest.mark.parametrize(
    "make",
    [
        _versions(
            instructions()["ticket-triage"].replace("the one that is pressed harder", "the most urgent one")
        ),
        _versions(
            "You sort the mail of a helpdesk. Reply with the queue that it belongs to, in one word or two."
        ),
        _few_shot,
        _documents,
        _footers,
        _customers,
        _talk,
        _agent,
    ],
    ids=[
        "two versions",
        "a rewritten prompt",
        "changing examples",
        "documents that come again",
        "footers",
        "names in the prompt",
        "talk of several turns",
        "changing tools",
    ],
)
def test_one_feature_stays_one(make: Callable[[int, random.Random], Made]) -> None:
    draw = random.Random(5)
    assert parts([make(number, draw) for number in range(300)]) == [{"one": 300}]


def test_different_questions_under_one_preamble_are_different_features_though_their_answers_look_alike() -> (
    None
):
    start = "You help the support team of Quillstock. Read the ticket with care, and say yes or no alone, in lower case, with no full stop. "
    asked = {
        "spam": "Is the ticket spam or an advertisement?",
        "urgent": "Does the writer need help within the hour?",
    }
    draw = random.Random(2)
    calls = []
    for _ in range(200):
        of = draw.choice(list(asked))
        text = draw.choice(tickets())["input"]
        calls.append(
            Made(of, Observed(messages=told(start + asked[of], text), answer=draw.choice(("yes", "no"))))
        )
    assert sorted(map(tuple, parts(calls))) == [("spam",), ("urgent",)]


def test_texts_that_are_asked_for_in_different_words_are_told_apart_under_one_system_prompt() -> None:
    asked = {
        "translate": "Translate the following text into German:",
        "summarise": "Summarise the following text:",
        "reply": "Draft a polite reply to this email:",
    }
    draw = random.Random(4)
    calls = []
    for _ in range(300):
        of, row = draw.choice(list(asked)), draw.choice(tickets())
        text = {
            "translate": row["input"],
            "summarise": row["input"][:60],
            "reply": f"Dear customer, {row['summary']} Kind regards",
        }[of]
        prompt = told("You are a helpful assistant.", f"{asked[of]}\n\n{row['input']}")
        calls.append(Made(of, Observed(messages=prompt, answer=text)))
    result = found(calls)
    assert {feature.name.split()[0] for feature in result.features} == set(asked)
    assert all(len(made_for(feature, calls)) == 1 for feature in result.features)


def test_a_declared_task_is_a_feature_and_names_it() -> None:
    calls = [msgspec.structs.replace(call.observed, task=call.of) for call in mixed(60, "bare")]
    result = find_features(calls)
    assert {feature.name for feature in result.features} == {
        "ticket-triage",
        "ticket-extract",
        "ticket-summary",
    }


def test_a_task_that_was_declared_later_is_joined_with_its_undeclared_calls() -> None:
    calls = [
        msgspec.structs.replace(call.observed, task=call.of if number > 280 else "")
        for number, call in enumerate(mixed(300, "system"))
    ]
    assert len(find_features(calls).features) == 3


def test_thousands_of_features_are_left_unsorted_and_told() -> None:
    draw = random.Random(0)
    calls = [
        Observed(messages=told(f"{draw.choice(tickets())['input']} {draw.getrandbits(60):x}", "go"), answer="ok")
        for _ in range(5_000)
    ]  # fmt: skip
    result = find_features(calls)
    assert result.features == ()
    assert result.unsorted is not None
    assert result.unsorted.calls == 5_000
    assert result.unsorted_share == 1.0


def test_streams_of_no_call_of_one_and_of_one_again_and_again() -> None:
    assert find_features([]) == Found(features=())
    one = found(mixed(1, "system"))
    assert [feature.calls for feature in one.features] == [1]
    same = Observed(messages=told("Write a tip of the day.", "Go on"), answer="Drink water.")
    (feature,) = find_features([same] * 50).features
    assert (feature.calls, feature.distinct_inputs, feature.prompt) == (50, 1, "Write a tip of the day.")


def test_calls_without_prompts_count_by_their_model() -> None:
    calls = [Observed(messages=[], model=model, cost_nusd=5) for model in ("gpt-a", "gpt-a", "gpt-b")]
    first, second = find_features(calls).features
    assert (first.name, first.calls, first.cost_nusd) == ("calls without prompts (gpt-a)", 2, 10)
    assert second.name == "calls without prompts (gpt-b)"


def test_what_is_counted_of_a_feature() -> None:
    base = Observed(messages=told("Sort the ticket.", "Charged twice"), answer="billing")
    hour = 3_600_000
    calls = [
        msgspec.structs.replace(
            base, at_ms=hour, latency_ms=100.0, input_tokens=9, cached_tokens=4, output_tokens=1, cost_nusd=7
        ),
        msgspec.structs.replace(
            base, at_ms=hour + 5, failed=True, stream=True, first_token_ms=20.0, tenant="acme", model="m"
        ),
        msgspec.structs.replace(
            base, at_ms=2 * hour, messages=[*base.messages, *told("", "More")[1:]], calls_tools=True
        ),
    ]
    (feature,) = find_features(calls).features
    assert feature.hours == {1: 2, 2: 1}
    assert (feature.failed_calls, feature.streamed_calls, feature.tool_calls, feature.long_conversations) == (
        1,
        1,
        1,
        1,
    )
    assert (
        feature.input_tokens,
        feature.cached_tokens,
        feature.output_tokens,
        feature.token_calls,
        feature.tokens_estimated,
    ) == (9, 4, 1, 1, False)
    assert (feature.cost_nusd, feature.unknown_cost_calls) == (7, 2)
    assert (sum(feature.latency.values()), sum(feature.first_token.values())) == (1, 1)
    assert (feature.tenants, feature.models, feature.distinct_inputs) == (1, {"m": 1}, 2)


def test_tokens_that_nobody_told_are_estimated_and_said_to_be() -> None:
    (feature,) = find_features([Observed(messages=said("x" * 400), answer="y" * 40)] * 3).features
    assert feature.tokens_estimated
    assert (feature.input_tokens, feature.output_tokens, feature.token_calls) == (300, 30, 3)


def test_the_same_seed_finds_the_same_whatever_the_order_of_hashes() -> None:
    calls = mixed(400, "dated", "generic", seed=9)
    assert found(calls) == found(calls)


def test_huge_and_hostile_texts_are_cut_and_kept_as_they_are() -> None:
    hostile = "<script>alert(1)</script>\x00\ufffe [red]" + "x" * 100_000
    calls = [Observed(messages=told("Sort it.", hostile), answer=hostile)] * 5
    (feature,) = find_features(calls).features
    kept = feature.sample[0]
    assert len(kept.answer) < 30_000
    assert len(kept.messages[1]["content"]) < 30_000
    assert kept.answer.startswith("<script>alert(1)</script>")


def test_progress_is_told() -> None:
    steps: list[tuple[str, int, int]] = []
    find_features([Observed(messages=said("hi"))] * 4000, progress=lambda *told: steps.append(told))
    assert ("sorting", 2000, 0) in steps
    assert steps[-1] == ("naming", 4000, 4000)


def test_features_that_begin_later_in_a_long_stream_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("smallfirst.planning.assess.finding.sorting.BATCH_CALLS", 100)
    calls = [*(call for call in mixed(400, "system") if call.of == "ticket-triage"), *mixed(400, "system")]
    assert sorted(map(len, parts(calls))) == [1, 1, 1]
