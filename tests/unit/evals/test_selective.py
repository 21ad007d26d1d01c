"""A label head's figures, by hand."""

import numpy as np
import pytest

from smallfirst.evals import selective

GOLD = ["a", "a", "b", "b", "oos", "oos"]
GIVEN = ["a", "b", "b", "b", "oos", "a"]
SURE = [0.9, 0.4, 0.8, 0.7, 0.3, 0.6]
OOS = [0.1, 0.5, 0.1, 0.2, 0.9, 0.4]


def test_in_scope_figures_leave_out_of_scope_rows_out():
    made = selective(GOLD, GIVEN, confidences=SURE, oos_scores=OOS)
    assert (made.rows, made.oos_rows) == (4, 2)
    assert made.accuracy == 3 / 4
    assert made.macro_f1 == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert made.accuracy_at_80 == 3 / 4  # ⌈.8 · 4⌉ is all four
    assert made.ece == pytest.approx((0.1 + 0.4 + 0.2 + 0.3) / 4)
    assert made.curve.risks == pytest.approx((0, 0, 0, 1 / 4))
    assert made.aurc == pytest.approx(1 / 16)


def test_out_of_scope_figures():
    made = selective(GOLD, GIVEN, confidences=SURE, oos_scores=OOS)
    assert made.oos_auroc == pytest.approx(7 / 8)
    assert made.oos_recall == 1 / 2
    assert made.oos_recall_at_95 == 1 / 2  # all four in-scope rows are kept at .5; .9 is above it


def test_the_threshold_keeps_95_percent_and_no_more_than_it_must():
    gold = ["a"] * 100 + ["oos"] * 4
    scores = [*(i / 100 for i in range(100)), 0.94, 0.945, 0.95, 0.2]
    made = selective(gold, gold, confidences=[1.0] * 104, oos_scores=scores)
    assert made.oos_recall_at_95 == 2 / 4


def test_rows_tied_with_the_threshold_stay_in_scope():
    gold = ["a"] * 20 + ["oos"]
    made = selective(gold, gold, confidences=np.ones(21), oos_scores=np.zeros(21))
    assert made.oos_recall_at_95 == 0.0
    assert made.oos_auroc == 0.5


def test_an_in_scope_row_called_out_of_scope_is_wrong():
    made = selective(["a", "b"], ["a", "oos"], confidences=[0.9, 0.9])
    assert made.accuracy == 0.5
    assert made.macro_f1 == 0.5
    assert (made.oos_auroc, made.oos_recall, made.oos_recall_at_95) == (None, None, None)


def test_no_rows():
    made = selective([], [], confidences=[], oos_scores=[])
    assert (made.accuracy, made.macro_f1, made.accuracy_at_90, made.oos_auroc) == (None, None, None, None)


def test_columns_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="expected"):
        selective(["a"], ["a", "b"], confidences=[0.5])
    with pytest.raises(ValueError, match="expected"):
        selective(["a", "oos"], ["a", "a"], confidences=[0.5, 0.5], oos_scores=[0.5])
