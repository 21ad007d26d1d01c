"""Calls that no figures speak for, each for its reason; and what was seen is allowed."""

from __future__ import annotations

from typing import Any

import pytest

from smallfirst import limits
from smallfirst.classify.prompt import Prompt
from smallfirst.routing.guards import Seen, guarded

GERMAN = "Ich wurde zweimal für dieselbe Bestellung belastet und möchte das Geld zurück haben."
PLAIN = Prompt(question="Why was I charged twice?", prompt_chars=24)


def call(**fields: Any) -> Prompt:
    return Prompt(**{"question": "Why was I charged twice?"} | fields)


GUARDED: list[tuple[Prompt, str, Seen]] = [
    (call(tools=limits.MANY_TOOLS), "6 tools are offered", Seen(tools=6)),
    (call(tool_rounds=2), "an agent's step 3", Seen(tool_rounds=2)),
    (call(images=1), "has images", Seen(images=1)),
    (call(prompt_chars=2001), "2,001 characters, longer than what was learned from", Seen(prompt_chars=1001)),
    (call(question=GERMAN), "language 'de' was not learned from", Seen(languages=("de", "en"))),
]


@pytest.mark.parametrize(("prompt", "why", "seen"), GUARDED)
def test_a_call_is_guarded_until_its_like_was_seen(prompt: Prompt, why: str, seen: Seen) -> None:
    assert guarded(prompt, Seen()) == why
    assert guarded(prompt, seen) == ""


@pytest.mark.parametrize(
    "prompt",
    [
        PLAIN,
        call(tools=limits.MANY_TOOLS - 1),
        call(tool_rounds=1),
        call(prompt_chars=2000),
        call(history_turns=500),
        call(question="ja bitte"),
        call(question=""),
    ],
)
def test_what_is_below_every_limit_is_the_routers(prompt: Prompt) -> None:
    assert guarded(prompt, Seen()) == ""


@pytest.mark.parametrize(("prompt", "why", "seen"), GUARDED)
def test_what_was_seen_of_one_kind_allows_no_other(prompt: Prompt, why: str, seen: Seen) -> None:
    for other, expected, _ in GUARDED:
        if other is not prompt:
            assert guarded(other, seen) == expected


def test_twice_the_longest_is_still_allowed() -> None:
    assert guarded(call(prompt_chars=10_000), Seen(prompt_chars=5000)) == ""
    assert guarded(call(prompt_chars=10_001), Seen(prompt_chars=5000))


def test_a_language_alone_may_be_what_was_learned_from() -> None:
    german = Seen(languages=("de",))
    assert guarded(call(question=GERMAN), german) == ""
    english = "I was charged twice for the same order and I would like to have my money back."
    assert guarded(call(question=english), german) == "language 'en' was not learned from"
