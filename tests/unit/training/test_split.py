"""Which rows fit and which calibrate: whole groups, by nothing but their name and the seed."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.outcomes import LADDER, fit, outcomes

from smallfirst.errors import ConfigError
from smallfirst.training.bound import Goal
from smallfirst.training.outcomes import Example, OutcomeRow, prompt_of
from smallfirst.training.router_fit import Wanted, limits_of, split


def example(
    text: str, *, side: Literal["train", "calibration"] | None = None, group: str | None = None
) -> Example:
    row = OutcomeRow(input=text, split=side, group=group)
    return Example(row=row, prompt=prompt_of(row), line=1)


def wanted(*, share: float = 0.4, seed: int = 0) -> Wanted:
    return Wanted(task="t", ladder=LADDER, goal=Goal(margin=0.1), calibration_share=share, seed=seed)


@given(
    st.lists(st.sampled_from(["Why?", "why?", "WHY? ", " why?\n", "how", "How", "x", "y", "z"]), max_size=40),
    st.floats(0.05, 0.95),
    st.integers(0, 5),
)
def test_the_same_question_never_stands_on_both_sides(texts: list[str], share: float, seed: int) -> None:
    examples = [example(text) for text in texts]
    train, calibration = split(examples, wanted(share=share, seed=seed))
    assert sorted([*train, *calibration]) == list(range(len(texts)))
    fits, tests = ({texts[at].strip().lower() for at in side} for side in (train, calibration))
    assert not fits & tests


def test_a_named_group_holds_different_questions_together() -> None:
    examples = [example(f"question {at}", group=f"g{at % 7}") for at in range(70)]
    train, calibration = split(examples, wanted())
    assert not {at % 7 for at in train} & {at % 7 for at in calibration}
    assert len(train)
    assert len(calibration)


def test_a_row_that_says_its_side_keeps_it() -> None:
    examples = [example(f"q{at}", side="train" if at % 3 else "calibration") for at in range(60)]
    for share in (0.05, 0.95):
        train, calibration = split(examples, wanted(share=share))
        assert list(calibration) == list(range(0, 60, 3))
        assert not set(train) & set(calibration)


def test_the_share_is_about_what_was_asked_and_the_seed_decides_which() -> None:
    examples = [example(f"question {at}") for at in range(2000)]
    _, some = split(examples, wanted(share=0.3))
    assert 500 < len(some) < 700
    assert np.array_equal(split(examples, wanted(share=0.3))[1], some)
    assert not np.array_equal(split(examples, wanted(share=0.3, seed=1))[1], some)
    _, more = split(examples, wanted(share=0.6))
    assert set(some) < set(more)
    assert set(split(examples[::2], wanted(share=0.3))[1] * 2) == {at for at in some if at % 2 == 0}, (
        "others do not matter"
    )


def test_too_few_to_fit_on_is_an_error_that_counts() -> None:
    with pytest.raises(ConfigError, match=r"20 examples leave 1\d to fit on; at least 20 are needed there"):
        fit(outcomes()[:20])


def test_limits_are_those_of_the_training_part() -> None:
    german = "Ich kann die Rechnung nicht finden und ich möchte das Geld zurück haben"
    english = "I can not find the invoice and I would like to have my money back"
    rows = [english] * 300 + [german] * 4
    assert limits_of([example(text) for text in rows]).languages == ("de", "en")
    assert limits_of([example(text) for text in [english] * 300 + [german] * 2]).languages == ("en",)
    assert limits_of([example("hi")]).languages == ("en",), "short texts do not say"
    tool = {"type": "function", "function": {"name": "f", "parameters": {}}}
    row = OutcomeRow(messages=[{"role": "user", "content": "x" * 500}] * 3, tools=[tool] * 7)
    seen = limits_of([Example(row=row, prompt=prompt_of(row), line=1), example("hi")])
    assert (seen.tools, seen.history_turns) == (7, 2)
    assert 400 < seen.prompt_chars <= 500
