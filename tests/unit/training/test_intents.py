"""Kinds of calls from a handful of examples each."""

from __future__ import annotations

import numpy as np
import pytest

from smallfirst.classify.embedder import unit
from smallfirst.classify.intents import Intents
from smallfirst.training.intents import fit_intents, intent_table


def clouds(kinds: int, each: int, *, seed: int = 0, spread: float = 0.5) -> tuple[np.ndarray, list[str]]:
    """Unit vectors around one centre a kind."""
    centres = np.random.default_rng(99).normal(size=(kinds, 32))
    rng = np.random.default_rng(seed)
    vectors = np.repeat(centres, each, axis=0) + spread * rng.normal(size=(kinds * each, 32))
    return unit(vectors.astype(np.float32)), [f"kind-{at // each}" for at in range(kinds * each)]


@pytest.mark.parametrize("each", [2, 5, 50])
def test_few_examples_teach_it_to_tell_kinds_apart(each: int) -> None:
    found, names, at = fit_intents(*clouds(4, each))
    assert names == ("kind-0", "kind-1", "kind-2", "kind-3")
    assert list(at[:each]) == [0] * each
    vectors, labels = clouds(4, 30, seed=1)
    told = found.probabilities(vectors)
    assert np.allclose(told.sum(axis=1), 1, atol=1e-5)
    right = np.array([names[one] for one in told.argmax(axis=1)]) == labels
    assert right.mean() > 0.9


def test_a_common_kind_is_the_likelier_where_nothing_else_speaks() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(200, 32)).astype(np.float32))
    labels = ["common"] * 180 + ["rare"] * 20
    found, names, _ = fit_intents(vectors, labels)
    told = found.probabilities(unit(rng.normal(size=(200, 32)).astype(np.float32)))
    assert told[:, names.index("common")].mean() > 0.7


def test_it_comes_back_from_its_arrays() -> None:
    found, _, _ = fit_intents(*clouds(3, 5))
    back = Intents.from_arrays(found.arrays())
    assert back is not None
    vectors, _ = clouds(3, 5, seed=2)
    assert np.array_equal(back.probabilities(vectors), found.probabilities(vectors))
    assert Intents.from_arrays({}) is None


def test_columns_that_never_differ_are_no_trouble() -> None:
    vectors, labels = clouds(2, 10)
    found, _, _ = fit_intents(np.hstack([vectors, np.zeros((20, 3), np.float32)]), labels)
    assert np.isfinite(found.probabilities(np.hstack([vectors, np.ones((20, 3), np.float32)]))).all()


def test_a_table_shrinks_the_mean_of_few() -> None:
    table = intent_table(np.array([0] * 100 + [1] * 2), np.full((102, 1), 0.5), 3, pseudo_count=10)
    assert table[0, 0] == pytest.approx(0.5 * 100 / 110)
    assert table[1, 0] == pytest.approx(0.5 * 2 / 12)
    assert table[2, 0] == 0
