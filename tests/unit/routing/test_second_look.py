"""What an answer says of itself, as numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from smallfirst.classify.calibrated import Calibrated, logit
from smallfirst.routing.judgement import Signals
from smallfirst.routing.second_look import FEATURES, features, looks_of, same_answer


def feature(name: str, expected: float = 0.5, **fields: Any) -> float:
    return float(features(expected, Signals(**fields))[FEATURES.index(name)])


def test_what_is_missing_counts_as_nothing() -> None:
    assert np.array_equal(features(0.5, Signals()), np.zeros(len(FEATURES)))
    assert feature("confidence") == feature("confidence", confidence=0.5) == 0
    assert feature("agrees") == 0


def test_signals_point_where_they_should() -> None:
    assert feature("confidence", confidence=0.9) > 0 > feature("confidence", confidence=0.1)
    assert (feature("agrees", agrees=True), feature("agrees", agrees=False)) == (1, -1)
    assert (feature("truncated", truncated=True), feature("refused", refused=True)) == (1, 1)
    assert feature("log_chars", chars=100) > feature("log_chars", chars=10)
    assert feature("expected", 0.9) == pytest.approx(logit(0.9))


@pytest.mark.parametrize("probability", [0.0, 1.0, 1e-300])
def test_the_surest_stay_finite(probability: float) -> None:
    assert np.isfinite(features(probability, Signals(confidence=probability, chars=10**12))).all()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("billing", "billing", True),
        (" billing\n", "billing", True),
        ("a  b", "a b", True),
        ("billing", "Billing", False),
        ("", "", True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": 2}, False),
        (["a"], "a", False),
        (1, 1.0, True),
    ],
)
def test_answers_are_the_same_but_for_blank_space(one: Any, other: Any, same: bool) -> None:
    assert same_answer(one, other) is same
    assert same_answer(other, one) is same


def test_looks_are_found_by_rung() -> None:
    weights = np.arange(len(FEATURES), dtype=float)
    look = Calibrated(weights, 0.5, np.array([-1.0, 1.0]), np.array([0.2, 0.8]))
    found = looks_of(look.arrays("look1"), rungs=3)
    assert set(found) == {1}
    row = features(0.7, Signals(confidence=0.6, agrees=True))
    assert found[1].probability(row) == look.probability(row)
    assert looks_of(look.arrays("look2"), rungs=3) == {}, "the frontier's answer is not judged"
