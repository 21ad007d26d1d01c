"""From a conversation to what is decided about: the question, what stands around it, and how much of that there is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst import limits
from smallfirst.routing.reading import between, read_prompt
from smallfirst.wire.turns import Conversation, Turn


def said(*turns: Turn, **fields: object) -> Conversation:
    return Conversation(turns=turns, **fields)  # type: ignore[arg-type]


RAG = "Answer from these passages.\nPassage: billing …\nQuestion: Why was I charged twice?\nAnswer:"


@pytest.mark.parametrize(
    ("after", "before", "question"),
    [
        ("", "", RAG),
        ("Question:", "", "Why was I charged twice?\nAnswer:"),
        ("Question:", "\nAnswer:", "Why was I charged twice?"),
        ("", "\nQuestion:", "Answer from these passages.\nPassage: billing …"),
        ("Frage:", "", RAG),
        (
            "Frage:",
            "\nAnswer:",
            "Answer from these passages.\nPassage: billing …\nQuestion: Why was I charged twice?",
        ),
        ("Question:", "\nAntwort:", "Why was I charged twice?\nAnswer:"),
        ("Answer:", "", RAG),
    ],
)
def test_marks_say_where_the_question_stands(after: str, before: str, question: str) -> None:
    assert between(RAG, after, before) == question
    prompt = read_prompt(said(Turn("user", RAG)), after=after, before=before)
    assert (prompt.question, prompt.prompt_chars) == (question, len(RAG))


def test_the_last_mark_counts_since_passages_may_hold_it_too() -> None:
    text = "Passage: Question: of old? Answer: yes.\nQuestion: and now? Answer:"
    assert between(text, "Question:", "Answer:") == "and now?"


@given(st.text(max_size=60), st.text(max_size=3), st.text(max_size=3))
def test_there_is_a_question_wherever_there_is_text(text: str, after: str, before: str) -> None:
    found = between(text, after, before)
    assert found in text
    assert bool(found) == bool(text)


def test_the_last_user_message_is_the_question() -> None:
    prompt = read_prompt(
        said(
            Turn("user", "first"),
            Turn("assistant", "answer"),
            Turn("user", "second"),
            Turn("assistant", "I look", 1),
            Turn("tool", "found"),
            system="Be brief.",
            tools=3,
            images=2,
            output="schema",
        )
    )
    assert prompt.question == "second"
    assert prompt.context == "first\nanswer"
    assert (prompt.history_turns, prompt.history_chars) == (2, 11)
    assert (prompt.system_chars, prompt.prompt_chars) == (9, 6)
    assert (prompt.tools, prompt.tool_rounds, prompt.images, prompt.structured) == (3, 1, 2, True)
    assert not prompt.plain


def test_without_a_user_there_is_no_question() -> None:
    prompt = read_prompt(said(Turn("assistant", "hello"), Turn("tool", "x")))
    assert (prompt.question, prompt.context, prompt.history_turns) == ("", "hello\nx", 2)
    empty = read_prompt(said())
    assert (empty.question, empty.context, empty.plain) == ("", "", True)


def test_the_context_is_bounded_and_its_newest_stands_last() -> None:
    most = limits.MAX_CONTEXT_CHARS
    turns = [Turn("user", f"{number:04}" * 50) for number in range(1000)]
    prompt = read_prompt(said(*turns, Turn("user", "now?")))
    assert len(prompt.context.replace("\n", "")) == most
    assert prompt.context.endswith("0999" * 50)
    assert "0500" not in prompt.context
    assert prompt.history_chars == 200 * 1000, "all of it is counted"
    huge = read_prompt(said(Turn("user", "a" * 10_000_000 + "the end"), Turn("user", "now?")))
    assert len(huge.context) == most
    assert huge.context.endswith("the end")


@pytest.mark.parametrize(("output", "structured"), [("text", False), ("json", True), ("schema", True)])
def test_any_json_is_structured(output: str, structured: bool) -> None:
    assert read_prompt(said(Turn("user", "x"), output=output)).structured is structured
