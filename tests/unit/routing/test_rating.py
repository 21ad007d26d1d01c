"""A rating is the mean of the digits that a model might have said, or the digit that it said; anything else is none."""

import math

import pytest

from smallfirst import limits
from smallfirst.classify.prompt import Prompt
from smallfirst.routing.judgement import Said
from smallfirst.routing.rating import QUESTION, read_rating, write_question


def test_the_digits_are_weighted_by_their_probabilities() -> None:
    first = (("2", math.log(0.6)), ("4", math.log(0.2)), ("The", math.log(0.15)), (" 4", math.log(0.05)))
    assert read_rating(Said(text="2", first=first)) == pytest.approx((2 * 0.6 + 4 * 0.25) / 0.85)


def test_one_digit_alone_is_itself() -> None:
    assert read_rating(Said(text="3", first=(("3", -0.01), ("7", -4.0)))) == pytest.approx(3)


@pytest.mark.parametrize(
    ("text", "rating"),
    [
        ("3", 3),
        (" 5\n", 5),
        ("4.", 4),
        ("2 ", 2),
        ("1/5", 1),
        ("", None),
        ("7", None),
        ("0", None),
        ("10", None),
        ("hard", None),
        ("²", None),
        ("-1", None),
    ],
)
def test_without_log_probabilities_the_digit_counts(text: str, rating: float | None) -> None:
    assert read_rating(Said(text=text)) == rating


@pytest.mark.parametrize("text", ["3", "x"])
def test_log_probabilities_without_digits_leave_the_text(text: str) -> None:
    assert read_rating(Said(text=text, first=(("The", -0.1), ("6", -2.0)))) == (3 if text == "3" else None)


def test_the_question_is_bounded_and_keeps_both_ends() -> None:
    prompt = Prompt(question="begin " + "x" * 100_000 + " end", context="earlier " * 1000)
    text = write_question(QUESTION, prompt)
    assert len(text) < len(QUESTION) + limits.MAX_RATED_CHARS + limits.MAX_RATED_CONTEXT_CHARS + 100
    assert "begin xx" in text
    assert "xx end" in text
    assert "earlier" in text


def test_braces_of_a_call_are_no_template() -> None:
    assert "{text} {0}" in write_question(QUESTION, Prompt(question="{text} {0}"))
