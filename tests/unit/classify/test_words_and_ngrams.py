"""Hashed words and pieces of words: counted the same everywhere, kept without the words themselves."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.classify.ngrams import Ngrams, grams
from smallfirst.classify.words import BUCKETS, WordScores, words_of

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)  # surrogates are in no valid JSON


@given(TEXT)
def test_any_text_has_its_words_in_order(text: str) -> None:
    words = words_of(text)
    assert len(words.buckets) == len(words.weights)
    assert (np.diff(words.buckets) > 0).all()
    assert ((words.buckets >= 0) & (words.buckets < BUCKETS)).all()
    assert (words.weights >= 1).all()


def test_words_are_counted_with_their_neighbours() -> None:
    assert len(words_of("pay the bill").buckets) == 5, "three words and two pairs"
    assert np.array_equal(words_of("Pay THE bill").buckets, words_of("pay the bill").buckets)
    assert not np.array_equal(words_of("bill the pay").buckets, words_of("pay the bill").buckets)
    assert np.isclose(words_of("a a a").weights.max(), 1 + np.log(3))
    assert len(words_of("").buckets) == 0
    huge = words_of("first " + "x " * 1_000_000 + "last")
    assert set(words_of("first").buckets) | set(words_of("last").buckets) <= set(huge.buckets)


def test_word_scores_come_back_from_their_arrays() -> None:
    rng = np.random.default_rng(0)
    idf = np.where(rng.random(BUCKETS) < 0.3, rng.random(BUCKETS) + 1, 0)
    scores = rng.normal(size=(BUCKETS, 2)) * (idf > 0)[:, None]
    made = WordScores(idf, scores)
    back = WordScores.from_arrays(made.arrays())
    for text in ("", "pay the bill", "何か", "word " * 500):
        assert np.array_equal(made(words_of(text)), back(words_of(text)))
    assert not made(words_of("")).any()
    assert made.arrays()["words.buckets"].size < BUCKETS * 0.4


@given(TEXT)
def test_any_text_has_its_grams(text: str) -> None:
    words, pieces = grams(text)
    assert all(count > 0 and 0 <= one < 2**32 for one, count in [*words.items(), *pieces.items()])
    assert bool(pieces) == bool(text.split())


def vocabulary(*texts: str) -> Ngrams:
    words = sorted({one for text in texts for one in grams(text)[0]})
    pieces = sorted({one for text in texts for one in grams(text)[1]})
    idf = np.linspace(1, 2, len(words) + len(pieces))
    return Ngrams(np.array(words + pieces, np.uint32), idf, len(words))


def test_a_row_has_length_one_half_of_it_words() -> None:
    known = vocabulary("please refund my card", "my card is lost")
    columns, values = known.row(grams("please refund my lost card"))
    assert len(set(columns)) == len(columns)
    for part in (columns < known.words, columns >= known.words):
        assert np.isclose((values[part] ** 2).sum(), 0.5)
    assert [len(one) for one in known.row(grams("zzz"))] == [0, 0]


def test_words_and_pieces_hash_apart_and_cases_do_not() -> None:
    words, pieces = grams("ab")
    assert not set(words) & set(pieces)
    assert grams("Ab C") == grams("aB c")
    assert set(grams("refund")[1]) & set(grams("refunded")[1]), "pieces are shared"
    assert not set(grams("refund")[0]) & set(grams("refunded")[0]), "words are not"


def test_a_vocabulary_comes_back_from_its_arrays() -> None:
    known = vocabulary("please refund my card")
    back = Ngrams.from_arrays(known.arrays())
    for one, other in zip(known.row(grams("my card")), back.row(grams("my card")), strict=True):
        assert np.array_equal(one, other)
