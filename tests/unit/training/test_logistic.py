"""Probabilities that can be believed: a logistic head and its curve, both rising."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.classify.calibrated import Calibrated, logit
from smallfirst.training.logistic import fit_calibrated, fit_curve, folds


@settings(max_examples=40)
@given(
    st.lists(st.tuples(st.floats(-50, 50), st.floats(0, 1)), min_size=2, max_size=200),
    st.lists(st.floats(-100, 100), min_size=2, max_size=20),
)
def test_a_curve_never_falls_and_is_never_certain(
    pairs: list[tuple[float, float]], asked: list[float]
) -> None:
    logits, target = np.array(pairs).T
    knots, levels = fit_curve(logits, target)
    assert len(knots) == len(levels) <= 64
    assert (np.diff(knots) >= 0).all()
    edge = 0.5 / (len(pairs) + 1)
    assert levels.min() >= edge - 1e-12
    assert levels.max() <= 1 - edge + 1e-12
    told = np.interp(np.sort(asked), knots, levels)
    assert (np.diff(told) >= -1e-12).all()


def test_many_knots_are_thinned() -> None:
    logits = np.linspace(-4, 4, 2000)
    knots, levels = fit_curve(logits, 1 / (1 + np.exp(-logits)))
    assert len(knots) == 64
    assert np.allclose(np.interp(logits, knots, levels), 1 / (1 + np.exp(-logits)), atol=0.02)


def signal(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    features = np.column_stack([rng.normal(0, 100, rows), rng.normal(5, 0.01, rows), np.ones(rows)])
    return features, (rng.random(rows) < 1 / (1 + np.exp(-features[:, 0] / 50))).astype(float)


def test_probabilities_are_calibrated_on_other_rows() -> None:
    found = fit_calibrated(*signal(2000))
    features, target = signal(2000, seed=1)
    told = np.asarray(found.probability(features))
    for low, high in ((0, 0.3), (0.3, 0.7), (0.7, 1)):
        kept = (told >= low) & (told <= high)
        assert abs(told[kept].mean() - target[kept].mean()) < 0.06
    assert np.corrcoef(told, target)[0, 1] > 0.4


def test_more_of_what_speaks_for_it_never_lowers_it() -> None:
    found = fit_calibrated(*signal(500))
    rows = np.tile([0.0, 5.0, 1.0], (50, 1))
    rows[:, 0] = np.linspace(-300, 300, 50)
    told = np.asarray(found.probability(rows))
    assert (np.diff(told) >= 0).all()
    assert told[-1] > told[0] + 0.5


@pytest.mark.parametrize("value", [0.0, 1.0, 0.3])
def test_one_class_alone_is_a_constant_kept_off_the_edges(value: float) -> None:
    features, _ = signal(40)
    found = fit_calibrated(features, np.full(40, value))
    told = np.asarray(found.probability(features * 1000))
    assert np.allclose(told, value, atol=0.05)
    assert ((told > 0) & (told < 1)).all()


def test_graded_targets_are_met_on_average() -> None:
    features, _ = signal(400)
    graded = np.clip(0.5 + features[:, 0] / 400, 0, 1)
    assert abs(np.mean(fit_calibrated(features, graded).probability(features)) - graded.mean()) < 0.03


def test_it_comes_back_from_its_arrays() -> None:
    found = fit_calibrated(*signal(100))
    back = Calibrated.from_arrays("look0", found.arrays("look0"))
    features, _ = signal(30, seed=4)
    assert np.array_equal(back.probability(features), found.probability(features))
    assert np.isscalar(float(back.probability(features[0])))


@pytest.mark.parametrize(("rows", "count", "parts"), [(10, 5, 5), (3, 5, 3), (2, 5, 2), (11, 2, 2)])
def test_folds_are_a_partition(rows: int, count: int, parts: int) -> None:
    made = folds(rows, count, seed=7)
    assert len(made) == parts
    assert sorted(np.concatenate([outside for _, outside in made])) == list(range(rows))
    for inside, outside in made:
        assert not set(inside) & set(outside)
        assert len(inside) + len(outside) == rows
    assert all(np.array_equal(a[1], b[1]) for a, b in zip(made, folds(rows, count, seed=7), strict=True))


@given(st.floats(0, 1))
def test_log_odds_are_finite_and_rise(probability: float) -> None:
    assert np.isfinite(logit(probability))
    assert logit(probability) == pytest.approx(-logit(1 - probability), abs=1e-6)
    assert logit(min(1.0, probability + 0.1)) >= logit(probability)
