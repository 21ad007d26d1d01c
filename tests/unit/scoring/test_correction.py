"""The correction of a judge, against the library that it comes from and cases computed by hand."""

import math

import numpy as np
import ppi_py
import pytest
from support.judges import DIFFERENCES, JUDGES

from smallfirst.errors import ScorerError
from smallfirst.scoring.correction import corrected_difference, corrected_mean, rogan_gladen


@pytest.fixture
def chance():
    return np.random.default_rng(11)


@pytest.mark.parametrize("name", JUDGES)
def test_the_value_is_ppi_plus_plus(name, chance):
    human, judge = JUDGES[name].draw(chance, 300)
    _, others = JUDGES[name].draw(chance, 2000)
    told = corrected_mean(human, judge, others)
    assert told.value == pytest.approx(float(ppi_py.ppi_mean_pointestimate(human, judge, others)[0]))
    low, high = (float(side[0]) for side in ppi_py.ppi_mean_ci(human, judge, others, alpha=0.05))
    assert told.se == pytest.approx((high - low) / 2 / 1.959964, rel=0.01)
    assert told.low < told.value < told.high
    assert told.uncorrected == pytest.approx(others.mean())


def test_differences_too(chance):
    found = DIFFERENCES["3 points worse, judge flatters"]
    human, judge = found.draw(chance, 400)
    _, others = found.draw(chance, 1500)
    told = corrected_difference(human, judge, others)
    assert told.value == pytest.approx(float(ppi_py.ppi_mean_pointestimate(human, judge, others)[0]))
    with pytest.raises(ScorerError, match=r"people's scores: expected numbers in \[0, 1\]"):
        corrected_mean(human, judge, others)


def test_a_useless_judge_counts_for_nothing():
    human = np.tile([0.0, 1.0, 1.0, 1.0], 75)
    told = corrected_mean(human, np.full(300, 0.5), np.full(2000, 0.5))
    assert (told.power, told.value) == (0.0, 0.75)
    assert told.se == pytest.approx(math.sqrt(0.75 * 0.25 / 298))


def test_a_perfect_judge_makes_labels_of_all_scores():
    human = np.tile([0.0, 1.0, 1.0, 1.0], 75)
    others = np.tile([0.0, 1.0, 1.0, 1.0], 2500)
    told = corrected_mean(human, human, others)
    assert told.value == pytest.approx(0.75)
    assert told.power == pytest.approx(1 / 1.03, rel=0.01)
    assert told.se == pytest.approx(math.sqrt(0.75 * 0.25 / 10_300), rel=0.01)


def test_the_interval_leans_to_where_the_skew_is():
    human = np.array([1.0] * 97 + [0.0] * 3)
    told = corrected_mean(human, np.ones(100), np.ones(1000))
    assert told.value - told.low > told.high - told.value
    assert told.upper(0.025) == pytest.approx(told.high)
    assert told.lower(0.025) == pytest.approx(told.low)
    assert told.upper(0.01) > told.upper(0.05) > told.value > told.lower(0.05)


def test_too_few_labels_are_refused_and_few_are_warned_of():
    with pytest.raises(ScorerError, match=r"50 labelled answers at least, better 300, and there are 49"):
        corrected_mean(np.ones(49), np.ones(49), np.ones(100))
    assert corrected_mean(np.ones(50), np.ones(50), np.ones(100)).warning.startswith("50 labels")
    assert corrected_mean(np.ones(300), np.ones(300), np.ones(100)).warning == ""


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ((np.ones(60), np.ones(59), np.ones(9)), "60 scores by people and 59 by the judge"),
        ((np.ones(60), np.ones(60), []), "no unlabelled"),
        ((np.ones(60), np.full(60, np.nan), np.ones(9)), "the judge's scores: expected"),
        ((np.ones(60), np.ones(60), np.full(9, 1.5)), "the unlabelled scores: expected"),
        ((np.ones((60, 1)), np.ones(60), np.ones(9)), "people's scores: expected"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(arrays, words):
    with pytest.raises(ScorerError, match=words):
        corrected_mean(*arrays)


def test_rogan_gladen_by_hand():
    # 100 good of which it calls 90 good, 100 bad of which it calls 20 good; it calls 55 % of the others good
    human = np.array([True] * 100 + [False] * 100)
    judge = np.array([True] * 90 + [False] * 10 + [True] * 20 + [False] * 80)
    others = np.array([True] * 550 + [False] * 450)
    value, low, high = rogan_gladen(human, judge, others)
    assert value == pytest.approx((0.55 - 0.2) / 0.7)
    assert low < 0.5 < high
    assert all(math.isnan(side) for side in rogan_gladen(human, [True, False] * 100, others))
    assert all(math.isnan(side) for side in rogan_gladen(human[:100], judge[:100], others))


def test_both_corrections_agree_where_both_hold(chance):
    human, judge = JUDGES["too kind"].draw(chance, 3000)
    _, others = JUDGES["too kind"].draw(chance, 20_000)
    told = corrected_mean(human, judge, others)
    value, *_ = rogan_gladen(human > 0, judge > 0, others > 0)
    assert told.value == pytest.approx(value, abs=4 * told.se)
    assert abs(told.uncorrected - 0.8) > 10 * told.se


def test_labels_that_are_all_alike_do_not_make_sure():
    """50 pairs without a difference are seen every other time where people would find one in seventy."""
    ties, others = np.zeros(50), np.zeros(1000)
    told = corrected_difference(ties, ties, others)
    assert told.value == told.se == 0.0
    assert told.upper(0.025) == pytest.approx(1 - 0.025 ** (1 / 50))
    assert told.lower(0.025) == -told.upper(0.025)
    more = corrected_difference(np.zeros(300), np.zeros(300), others)
    assert 0.0 < more.upper(0.025) < told.upper(0.025) / 5
    right = corrected_mean(np.ones(100), np.ones(100), others + 1)
    assert right.high == 1.0
    assert right.lower(0.05) == pytest.approx(0.05 ** (1 / 100))
