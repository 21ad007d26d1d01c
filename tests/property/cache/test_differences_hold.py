"""Whatever two texts are: a guard's answer is the same both ways, has no error, and a text does not differ from itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.cache.semantic.differences import difference, exchanged
from smallfirst.cache.semantic.wording import wording, words_of

_WORDS = st.sampled_from(
    [
        "the",
        "my",
        "card",
        "from",
        "to",
        "Paris",
        "Rome",
        "not",
        "can't",
        "5",
        "50",
        "€5",
        "5pm",
        "before",
        "after",
        "cancel",
        "track",
        "please",
        "why",
        "where",
        '"x',
        'y"',
        "a@b.c",
        "naïve",
        "с0de",
        "日本",
    ]
)
_TEXTS = st.one_of(st.text(max_size=60), st.lists(_WORDS, max_size=9).map(" ".join))
_DECIDES = st.sampled_from((None, -3.0, 0.0, 3.0))


@given(_TEXTS, _TEXTS, _DECIDES, st.floats(0, 1))
def test_it_does_not_matter_which_text_came_first(one, other, decides, similarity):
    assert difference(one, other, similarity=similarity, decides=lambda _: decides) == difference(
        other, one, similarity=similarity, decides=lambda _: decides
    )


@given(_TEXTS)
def test_a_text_does_not_differ_from_itself(text):
    assert difference(text, text, similarity=1.0, decides=lambda _: None) == ""


@given(_TEXTS)
def test_any_text_can_be_read(text):
    found = wording(text)
    assert set(found.content) <= set(found.words)
    assert words_of(text) == words_of(text)


@given(st.permutations(["one", "two", "three", "four", "five", "six"]), st.integers(1, 5))
def test_two_parts_that_change_places_are_found(words, at):
    one, other, stays = words[:at], words[at:], ["stays"]
    assert exchanged([*one, *stays, *other], [*other, *stays, *one])
    assert not exchanged([*one, *other], [*other, *one])  # turned round, and nothing stayed between


@pytest.mark.parametrize("number", range(2, 40, 7))
@given(
    text=st.lists(
        st.sampled_from(["please", "send", "me", "letters", "about", "my", "card", "soon"]),
        min_size=3,
        max_size=8,
    ).map(" ".join)
)
def test_another_number_is_never_accepted(number, text):
    assert difference(f"{text} {number}", f"{text} {number + 1}", similarity=0.99, decides=lambda _: -5.0)
