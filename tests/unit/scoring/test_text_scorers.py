"""Texts scored: what the libraries say, and what stands around it."""

import asyncio

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_chrf

from smallfirst.classify.embedders import open_embedder
from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import TextContract
from smallfirst.errors import ScorerError
from smallfirst.scoring import open_scorer

OUTPUT = "The order is held at customs in Rosslare."
TEXTS = [
    "Order is held at Rosslare customs, which needs an EORI number.",
    "Customs in Rosslare hold the order.",
]


def scorer(kind, **options):
    return open_scorer(Spec(kind=kind, **options), TextContract())


def value(found, output, reference):
    return asyncio.run(found.score(output, reference)).value


def test_rouge_l_is_the_librarys_with_the_best_reference():
    library = RougeScorer(["rougeL"])
    best = max(library.score(text, OUTPUT)["rougeL"].fmeasure for text in TEXTS)
    assert value(scorer("rouge-l"), OUTPUT, TEXTS) == pytest.approx(best)
    assert 0 < best < 1


def test_rouge_l_of_a_script_that_it_cannot_read():
    assert value(scorer("rouge-l"), "注文は税関で止まっています", ["注文は税関で止まっています"]) == 1
    assert value(scorer("rouge-l"), "別の文", ["注文"]) == 0


def test_chrf_is_the_librarys():
    assert value(scorer("chrf"), OUTPUT, TEXTS) == pytest.approx(sentence_chrf(OUTPUT, TEXTS).score / 100)
    assert value(scorer("chrf"), "注文は税関です", ["注文は税関で止まっています"]) > 0.2
    corpus = scorer("chrf").summary([OUTPUT, "x"], [TEXTS, "x"])
    assert 0 < corpus["corpus_chrf"] < 1


def test_embedding_is_the_cosine_with_the_nearest_reference():
    vectors = open_embedder("wordllama").embed([OUTPUT, *TEXTS]).astype(np.float64)
    assert value(scorer("embedding"), OUTPUT, TEXTS) == pytest.approx((vectors[1:] @ vectors[0]).max())
    assert value(scorer("embedding"), "", TEXTS) == 0


@pytest.mark.parametrize("kind", ["rouge-l", "chrf", "embedding", "regex"])
@pytest.mark.parametrize(
    ("reference", "words"), [(None, "has none"), ([], "has none"), ({"a": 1}, "is none")]
)
def test_a_text_without_references_is_a_clear_error(kind, reference, words):
    with pytest.raises(ScorerError, match=words):
        value(scorer(kind, pattern="x"), OUTPUT, reference)


def test_regex_compares_the_last_thing_found():
    found = scorer("regex", pattern=r"Answer: (\w+)")
    assert value(found, "Answer: A? No. Answer: B.", ["B"]) == 1
    assert value(found, "Answer: A? No. Answer: B.", ["Because. Answer: B"]) == 1
    assert value(found, "Answer: A", ["B"]) == 0
    assert value(found, "B", ["B"]) == 0
    assert value(scorer("regex", pattern=r"\d{4}"), "in 1999, or 2001", "2001") == 1
    assert value(scorer("regex", pattern=r"(a)|b"), "b", ["a"]) == 0
    assert value(scorer("regex", pattern=r"is (.*)", normalise=True), "it is Blue-Green!", "blue green") == 1
    with pytest.raises(ScorerError, match="not a regular expression"):
        scorer("regex", pattern="(")
    with pytest.raises(ScorerError, match="needs one"):
        scorer("regex")


def test_numeric_takes_the_last_number():
    found = scorer("numeric")
    assert value(found, "4 boxes of 12 are 48 bottles.", "48") == 1
    assert value(found, "So 1,200.50 € in all", ["1200.5"]) == 1
    assert value(found, "none", 3) == 0
    assert value(scorer("numeric", tolerance=0.01), "about 101", 100) == 1
    assert value(scorer("numeric", tolerance=0.01), "about 102", 100) == 0
    for reference in (None, "no number", [None], True, float("nan")):
        with pytest.raises(ScorerError, match="has none"):
            value(found, "3", reference)


def test_a_missing_library_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sacrebleu.metrics.chrf", None)
    with pytest.raises(ScorerError, match=r"needs sacrebleu: pip install 'smallfirst\[learn\]'"):
        scorer("chrf")
