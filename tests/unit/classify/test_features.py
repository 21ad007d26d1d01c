"""What is counted in a call: one number a name, finite whatever it says."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.classify.features import NAMES, features
from smallfirst.classify.prompt import Prompt

ANY_TEXT = st.one_of(
    st.text(max_size=300),
    st.text(st.characters(categories=["Cs"]), max_size=5),
    st.text(st.characters(categories=["Pc", "Pd", "Ps", "Pe", "Po", "Sm", "Sc"]), max_size=300),
    st.text(st.characters(categories=["Nd", "Nl", "No"]), max_size=300),
    st.integers(1, 5000).map(lambda length: "9" * length),
    st.lists(st.from_regex(r"[A-P][).:] .{0,20}"), max_size=20).map("\n".join),
    st.lists(st.sampled_from(["A) ", "$", "\n", ". ", "1.,", "NOT", "\\frac{1}{2}", "=="]), max_size=200).map(
        "".join
    ),
)


@given(ANY_TEXT, st.integers(0, 10**12), st.booleans())
def test_any_call_is_a_row_of_finite_numbers(text: str, number: int, structured: bool) -> None:
    prompt = Prompt(
        question=text,
        system_chars=number,
        history_turns=number,
        history_chars=number,
        prompt_chars=number,
        tools=number,
        tool_rounds=number,
        images=number,
        structured=structured,
    )
    row = features(prompt)
    assert row.shape == (len(NAMES),)
    assert row.dtype == np.float64
    assert np.isfinite(row).all()
    assert np.array_equal(row, features(prompt))


def test_names_are_told_apart() -> None:
    assert len(set(NAMES)) == len(NAMES)


def count(name: str, question: str, **fields: int) -> float:
    return float(features(Prompt(question=question, **fields))[NAMES.index(name)])


@pytest.mark.parametrize(
    ("name", "less", "more"),
    [
        ("log_chars", "short", "a much longer question"),
        ("question_marks", "tell me", "why? how?"),
        ("negations", "which is true", "which is not true, except never"),
        ("negations_shouted", "which is not true", "which is NOT true"),
        ("log_numbers", "some apples", "12 apples and 7 pears"),
        ("log_largest", "7 apples", "7,000 apples"),
        ("decimals", "3 apples.", "3.5 apples"),
        ("mathematical", "x equals y", "x = y + z"),
        ("code", "define it", "def f(): {x == 1};"),
        ("not_ascii", "cafe", "café"),
        ("options", "A) one", "A) one\nB) two"),
        ("all_or_none", "A) one\nB) two", "A) one\nB) none of these"),
        ("options_numeric", "A) one\nB) two", "A) 1\nB) 2"),
        ("blanks", "fill it", "fill the ___"),
    ],
)
def test_what_is_there_is_counted(name: str, less: str, more: str) -> None:
    assert count(name, less) < count(name, more)


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("log_system", {"system_chars": 9}),
        ("history_turns", {"history_turns": 3}),
        ("log_history", {"history_chars": 9}),
        ("log_around", {"prompt_chars": 500}),
        ("tools", {"tools": 2}),
        ("tool_rounds", {"tool_rounds": 1}),
        ("images", {"images": 1}),
        ("structured", {"structured": True}),
    ],
)
def test_what_stands_around_the_question_is_counted(name: str, fields: dict[str, int]) -> None:
    assert count(name, "hi") == 0
    assert count(name, "hi", **fields) > 0
