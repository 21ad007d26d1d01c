"""Scores hold for every text and every value."""

import asyncio
import math

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linear_sum_assignment

from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import JsonContract, LabelContract, TextContract
from smallfirst.scoring import open_scorer
from smallfirst.scoring.assignment import best_pairs

LABELS = ("a", "b b", "C", "d,e")
PICKS = {pick: LabelContract(labels=LABELS, pick=pick) for pick in ("one", "several", "ranked", "ordinal")}
TEXTS = st.text(max_size=200)
# numbers that JSON keeps as they are
LEAVES = st.none() | st.booleans() | st.integers(-(2**50), 2**50) | st.floats(-1e9, 1e9) | st.text(max_size=8)
NAMES = st.sampled_from(["a", "b", "c", "a.b", "[]", ""])
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
STATED = JSON.filter(lambda value: value is not None)
JSON_SCORER = open_scorer(
    Spec(weights={"a": 2.0, "b": 0.0}, compare={"a": "text", "c": "numeric"}), JsonContract(schema={})
)
TEXT_SCORERS = [open_scorer(Spec(kind=kind), TextContract()) for kind in ("rouge-l", "chrf", "embedding")]


def score(scorer, output, reference):
    return asyncio.run(scorer.score(output, reference))


def written(value):
    return msgspec.json.encode(value).decode()


def references(pick):
    return st.sampled_from(LABELS) if pick in ("one", "ordinal") else st.permutations(LABELS)


@given(st.data(), st.sampled_from(list(PICKS)), TEXTS, st.booleans())
def test_labels_score_within_bounds_and_the_reference_is_right(data, pick, output, normalise):
    scorer = open_scorer(Spec(normalise=normalise), PICKS[pick])
    reference = data.draw(references(pick))
    told = score(scorer, output, reference)
    assert 0 <= told.value <= 1
    itself = reference if isinstance(reference, str) else written(reference)
    assert score(scorer, itself, reference).value == 1
    assert all(math.isfinite(figure) for figure in scorer.summary([output, itself], [reference] * 2).values())


@given(st.sets(st.sampled_from(LABELS)), st.sets(st.sampled_from(LABELS)))
def test_several_labels_score_the_same_both_ways(one, other):
    scorer = open_scorer(Spec(), PICKS["several"])
    there, back = (score(scorer, written(sorted(a)), sorted(b)) for a, b in ((one, other), (other, one)))
    assert there.value == back.value


@given(STATED, JSON)
def test_json_scores_within_bounds_and_the_reference_is_right(reference, output):
    told = score(JSON_SCORER, written(output), reference)
    assert 0 <= told.value <= 1
    assert score(JSON_SCORER, written(reference), reference).value == 1
    figures = JSON_SCORER.summary([written(output)], [reference])
    assert all(0 <= figures[name] <= 1 for name in ("precision", "recall", "f1", "exact"))


@given(st.binary(max_size=60), STATED)
def test_json_scores_any_bytes(data, reference):
    assert 0 <= score(JSON_SCORER, data.decode("utf-8", "surrogateescape"), reference).value <= 1


@given(STATED, STATED)
def test_json_scores_the_same_both_ways(one, other):
    scorer = open_scorer(Spec(), JsonContract(schema={}))
    there, back = score(scorer, written(one), other), score(scorer, written(other), one)
    assert math.isclose(there.value, back.value, abs_tol=1e-9)


@given(st.lists(JSON, min_size=1, max_size=5), st.randoms(use_true_random=False))
def test_the_order_of_an_array_does_not_count(values, random):
    shuffled = random.sample(values, len(values))
    assert score(open_scorer(Spec(), JsonContract(schema={})), written(shuffled), values).value == 1


@settings(max_examples=50)
@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_texts_score_within_bounds_and_a_reference_is_right(output, texts):
    for scorer in TEXT_SCORERS:
        assert 0 <= score(scorer, output, texts).value <= 1
        assert score(scorer, texts[-1], texts).value == 1


@given(TEXTS)
def test_numbers_and_patterns_read_any_text(output):
    for spec in (Spec(kind="numeric"), Spec(kind="regex", pattern=r"(\w+)$")):
        assert score(open_scorer(spec, TextContract()), output, "7").value in (0, 1)


@given(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1), st.booleans())
def test_pairs_are_scipys_best(rows, columns, seed, ties):
    gains = np.random.default_rng(seed).random((rows, columns))
    gains = np.round(gains * 2) / 2 if ties else gains
    pairs = best_pairs(gains)
    best = linear_sum_assignment(gains, maximize=True)
    assert len(pairs) == len(dict(pairs)) == len({column for _, column in pairs}) == min(rows, columns)
    assert math.isclose(sum(gains[pair] for pair in pairs), gains[best].sum(), abs_tol=1e-9)
