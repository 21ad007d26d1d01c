"""Calibration, ranking and selective answering, against brute force and hand-computed cases."""

import itertools

import numpy as np
import pytest

from smallfirst.statistics import accuracy_at, aurc, auroc, brier, ece, risk_coverage


def test_brier():
    assert brier([0.2, 1.0, 0.5], [0, 1, 1]) == pytest.approx((0.04 + 0 + 0.25) / 3)


def test_ece_by_hand():
    probabilities, outcomes = [0.05, 0.1, 0.9, 0.95], [0, 1, 1, 1]
    assert ece(probabilities, outcomes, bins=2) == pytest.approx((abs(1 - 0.15) + abs(2 - 1.85)) / 4)
    assert ece(probabilities, outcomes, bins=4, spacing="mass") == pytest.approx(
        (0.05 + 0.9 + 0.1 + 0.05) / 4
    )


def test_bins_are_closed_above_and_hold_both_ends():
    assert ece([0.0, 0.5, 1.0], [0, 1, 1], bins=2) == pytest.approx(0.5 / 3)


def test_bins_of_equal_mass_do_not_part_equal_probabilities():
    probabilities, outcomes = [0.3] * 10, [1] * 3 + [0] * 7
    assert ece(probabilities, outcomes, spacing="mass") == pytest.approx(0)
    assert ece(probabilities, outcomes[::-1], spacing="mass") == pytest.approx(0)


@pytest.mark.parametrize("seed", range(5))
def test_auroc_is_the_share_of_pairs_in_order(seed):
    chance = np.random.default_rng(seed)
    scores, positives = chance.integers(0, 6, 40) / 5, chance.integers(0, 2, 40)
    pairs = [
        (scores[i] > scores[j]) + 0.5 * (scores[i] == scores[j])
        for i, j in itertools.product(np.flatnonzero(positives), np.flatnonzero(1 - positives))
    ]
    assert auroc(scores, positives) == pytest.approx(np.mean(pairs))


def test_risk_and_coverage_by_hand():
    curve = risk_coverage([0.9, 0.5, 0.9, 0.1], [1, 0, 0, 1])
    assert curve.thresholds == (0.9, 0.5, 0.1)
    assert curve.coverages == (0.5, 0.75, 1.0)
    assert curve.risks == pytest.approx((1 / 2, 2 / 3, 1 / 2))


def test_accuracy_at_a_coverage():
    confidences, correct = [0.9, 0.8, 0.7, 0.6, 0.5], [1, 1, 1, 0, 0]
    assert accuracy_at(0.6, confidences=confidences, correct=correct) == 1.0
    assert accuracy_at(0.8, confidences=confidences, correct=correct) == pytest.approx(3 / 4)
    assert accuracy_at(0.7, confidences=confidences, correct=correct) == pytest.approx(3 / 4)  # four rows
    assert accuracy_at(1.0, confidences=confidences, correct=correct) == pytest.approx(3 / 5)


def test_ties_across_the_cut_count_by_their_average_in_any_order():
    confidences, correct = [0.9, 0.5, 0.5, 0.5], [1, 1, 0, 0]
    for order in itertools.permutations(range(4)):
        shuffled = [confidences[i] for i in order], [correct[i] for i in order]
        assert accuracy_at(0.5, confidences=shuffled[0], correct=shuffled[1]) == pytest.approx(
            (1 + 1 / 3) / 2
        )
        assert aurc(*shuffled) == pytest.approx((0 + (2 / 3) / 2 + (4 / 3) / 3 + 2 / 4) / 4)


def test_aurc_by_hand():
    assert aurc([0.9, 0.8, 0.7], [1, 0, 1]) == pytest.approx((0 + 1 / 2 + 1 / 3) / 3)


def test_what_is_not_defined_is_none():
    assert (brier([], []), ece([], []), aurc([], [])) == (None, None, None)
    assert auroc([0.1, 0.2], [1, 1]) is None
    assert accuracy_at(0.8, confidences=[], correct=[]) is None
    assert risk_coverage([], []).risks == ()


@pytest.mark.parametrize("pair", [([0.1], [1, 0]), ([[0.1]], [[1]]), ([float("nan")], [1])])
def test_columns_that_do_not_fit_are_refused(pair):
    with pytest.raises(ValueError, match="expected"):
        brier(*pair)
