"""Texts that may not share an answer, and paraphrases that may."""

import pytest

from smallfirst.cache.semantic.differences import difference


def never(word: str) -> float | None:
    """Nothing was learned."""


def freely(word: str) -> float:
    """Everything was seen to vary freely."""
    return -3.0


def refusal(one, other, *, similarity=0.7, decides=never):
    return difference(one, other, similarity=similarity, decides=decides)


@pytest.mark.parametrize(
    ("one", "other", "reason"),
    [
        ("enable 2FA", "disable 2FA", "opposites"),
        ("transfer 50 to Bob", "transfer 500 to Bob", "other numbers"),
        ("it costs $30", "it costs €30", "other units"),
        ("fly from Paris to Rome", "fly from Rome to Paris", "direction"),
        ("Ann pays Bob", "Bob pays Ann", "order of words"),
        ("where is my card", "when is my card here", "what else is asked"),
        ("I can log in", "I can't log in", "negation"),
        ("is it not not working", "is it not working", "negation"),
        ("cancel my order", "track my order", "another word"),
        ("write to ann@example.com", "write to bob@example.com", "names"),
        ("what does error E1042 mean", "what does error E1043 mean", "names"),
        ("the first invoice of mine", "the invoice of mine", "quantity"),
        ("r\u0430ypal refund", "paypal refund", "disguised characters"),
        ("pay\u200bpal refund", "paypal refund", "disguised characters"),
        ("\uff50\uff41\uff59 me", "pay me", "disguised characters"),
        ("Где находится моя банковская карта", "где is my bank card", "language"),
    ],
)
def test_a_difference_is_found_and_named(one, other, reason):
    assert refusal(one, other) == reason
    assert refusal(other, one) == reason


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I cancel my order?", "how do i cancel an order"),
        ("set an alarm for 5pm", "set an alarm for 5 pm please"),
        ("What's the capital of France?", "what is the capital of france"),
        ("I'd like to know my balance", "i would like to know my balance please"),
        ("why is my cash withdrawal pending", "my cash withdrawal is pending, why"),
        ("where is my package", "where is my pakcage"),
        ("it costs 1,000.50 in all", "it costs 1000.5 in all"),
        ("café near me 👩\u200d👩\u200d👧", "cafe near me"),
    ],
)
def test_a_paraphrase_is_not_refused(one, other):
    assert refusal(one, other, decides=freely) == ""


def test_what_was_seen_to_vary_freely_may_differ_where_more_differs():
    one, other = "please show me which meals they cook around here", "which dishes do they cook around here"
    assert refusal(one, other, decides=freely) == ""


def test_one_word_in_place_of_another_is_refused_whatever_was_learned():
    assert refusal("cancel my order", "track my order", decides=freely) == "another word"
    assert refusal("which card is in japan", "which card is in france", decides=freely) == "another word"


def test_a_kind_of_difference_refuses_until_it_was_seen_to_say_nothing():
    one = "my card was charged on 3 occasions and I want all of my money back from you"
    other = "why did you charge the card several times? give the money back"
    assert refusal(one, other) == "a number"
    assert refusal(one, other, decides=freely) == ""


def test_vectors_nearer_than_words_can_make_them_are_refused():
    assert refusal("open the pod bay doors", "reset password account", similarity=0.9) == "no word in common"


def test_a_text_is_not_different_from_itself():
    assert refusal("r\u0430ypal 2 not", "r\u0430ypal 2 not") == ""


def test_texts_longer_than_an_embedder_reads_are_refused():
    assert refusal("a b " * 5000, "b a " * 5000, decides=freely) == "longer than is read"


@pytest.mark.parametrize("piece", ["a b ", "a-", "1a-", "a@", "ab1", "'a' ", "un", "\u200b", "é", "undo do "])
def test_repetitive_texts_are_read(piece):
    text = (piece * 4000)[:4000]
    assert refusal(text + " x y", "y x " + text, decides=freely) == refusal(
        "y x " + text, text + " x y", decides=freely
    )


def test_a_long_text_in_another_order_is_refused_unread():
    words = " ".join(f"w{chr(97 + at // 26)}{chr(97 + at % 26)}" for at in range(100))
    other = " ".join(reversed(words.split()))
    assert refusal(words, other, decides=freely) == "order of words"
