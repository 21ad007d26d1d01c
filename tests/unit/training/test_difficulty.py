"""The figures that a router is made of: better than chance where there is something to learn, sane where there is not."""

from __future__ import annotations

import numpy as np
import pytest
from support.populations import population

from smallfirst.classify.difficulty import Difficulty
from smallfirst.classify.encoding import Encoded
from smallfirst.statistics import auroc
from smallfirst.training.difficulty import FittedDifficulty, fit_difficulty

ROWS = 300


@pytest.fixture(scope="module")
def planted() -> tuple[Encoded, np.ndarray]:
    """Calls whose words betray their kind, and what three models make of them."""
    found = population(rungs=3, graded=False, size=2 * ROWS)
    return found.read.numbers, found.read.worth.score


def first(planted: tuple[Encoded, np.ndarray], rows: int = ROWS) -> tuple[Encoded, np.ndarray]:
    encoded, score = planted
    return encoded.rows(np.arange(rows)), score[:rows]


def sane(found: FittedDifficulty, encoded: Encoded) -> None:
    expected = found.difficulty.expected(encoded)
    for adequate, uplift in ((expected.adequate, expected.uplift), (found.adequate, found.uplift)):
        assert np.isfinite(adequate).all()
        assert np.isfinite(uplift).all()
        assert ((adequate >= 0) & (adequate <= 1)).all()
        assert not uplift[:, -1].any(), "the frontier gains nothing over itself"


def test_it_ranks_calls_that_it_has_not_seen(planted: tuple[Encoded, np.ndarray]) -> None:
    encoded, score = planted
    found = fit_difficulty(*first(planted), [None] * ROWS, seed=0)
    others = np.arange(ROWS, 2 * ROWS)
    expected = found.difficulty.expected(encoded.rows(others))
    for rung in (0, 1):
        ranked = auroc(expected.adequate[:, rung], score[others, rung] > 0.5)
        assert ranked is not None
        assert ranked > 0.58
    gained = score[others, -1] - score[others, 0]
    assert np.corrcoef(expected.uplift[:, 0], gained)[0, 1] > 0.1
    assert abs(expected.adequate[:, 0].mean() - score[others, 0].mean()) < 0.1
    sane(found, encoded)


def test_what_it_says_of_its_own_rows_is_not_flattered(planted: tuple[Encoded, np.ndarray]) -> None:
    encoded, _ = first(planted)
    chance = np.random.default_rng(0).random((ROWS, 2)).round()
    found = fit_difficulty(encoded, chance, [None] * ROWS, seed=0)
    own = auroc(found.adequate[:, 0], chance[:, 0] > 0.5)
    assert own is not None
    assert 0.35 < own < 0.65, "there is nothing to learn"


def test_intents_count_where_every_row_has_one(planted: tuple[Encoded, np.ndarray]) -> None:
    encoded, score = first(planted)
    intents = ["hard" if row[0] < row[-1] else "easy" for row in score]
    found = fit_difficulty(encoded, score, intents, seed=0)
    assert found.intents == ("easy", "hard")
    expected = found.difficulty.expected(encoded)
    assert ((expected.intent_probability > 0.5) & (expected.intent_probability <= 1)).all()
    table = found.difficulty.table
    assert table.shape == (2, 3)
    prior = expected.prior[:, 0]
    assert prior[expected.intent == 1].mean() > prior[expected.intent == 0].mean()
    some = [*intents[:-1], None]
    assert fit_difficulty(encoded, score, some, seed=0).intents == ()


def test_one_intent_alone_is_none(planted: tuple[Encoded, np.ndarray]) -> None:
    encoded, score = first(planted, 60)
    found = fit_difficulty(encoded, score, ["only"] * 60, seed=0)
    assert found.intents == ()
    assert found.difficulty.intents is None
    sane(found, encoded)


@pytest.mark.parametrize("levels", [(1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (1.0, 0.0), (0.5, 0.7)])
def test_scores_that_never_differ_are_expected_again(
    planted: tuple[Encoded, np.ndarray], levels: tuple[float, float]
) -> None:
    encoded, _ = first(planted, 60)
    found = fit_difficulty(encoded, np.tile(levels, (60, 1)), [None] * 60, seed=0)
    sane(found, encoded)
    expected = found.difficulty.expected(encoded)
    assert np.allclose(expected.uplift[:, 0], levels[1] - levels[0], atol=1e-6)
    assert np.allclose(expected.adequate, levels, atol=0.02)


@pytest.mark.parametrize("rows", [20, 21])
def test_twenty_rows_are_enough_not_to_fail(planted: tuple[Encoded, np.ndarray], rows: int) -> None:
    encoded, score = first(planted, rows)
    sane(fit_difficulty(encoded, score, [None] * rows, seed=0), encoded)
    each = [f"intent-{at}" for at in range(rows)]
    sane(fit_difficulty(encoded, score, each, seed=0), encoded)


def test_texts_that_are_all_the_same_are_no_trouble(planted: tuple[Encoded, np.ndarray]) -> None:
    encoded, score = planted
    same = encoded.rows(np.zeros(40, int))
    found = fit_difficulty(same, score[:40], [None] * 40, seed=0)
    sane(found, same)
    assert np.allclose(found.difficulty.expected(same).adequate, score[:40].mean(axis=0), atol=0.15)


def test_it_is_the_same_from_its_arrays_and_again(planted: tuple[Encoded, np.ndarray]) -> None:
    encoded, score = first(planted, 100)
    intents = ["a" if at % 3 else "b" for at in range(100)]
    found = fit_difficulty(encoded, score, intents, seed=3)
    arrays = found.difficulty.arrays()
    back, here = Difficulty.from_arrays(arrays).expected(encoded), found.difficulty.expected(encoded)
    assert np.array_equal(back.uplift, here.uplift)
    assert np.array_equal(back.adequate, here.adequate)
    again = fit_difficulty(encoded, score, intents, seed=3).difficulty.arrays()
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())
