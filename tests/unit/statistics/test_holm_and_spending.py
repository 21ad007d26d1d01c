"""Holm's correction beside statsmodels', and what reads of a held-out part cost together."""

import numpy as np
import pytest
from statsmodels.stats.multitest import multipletests

from smallfirst.statistics import holm, spending


def test_adjusted_values_are_those_of_statsmodels():
    values = np.random.default_rng(1).random(25) ** 3
    assert holm.adjusted(values) == pytest.approx(multipletests(values, method="holm")[1])


def test_by_hand():
    assert holm.adjusted([0.01, 0.04, 0.03]).tolist() == pytest.approx([0.03, 0.06, 0.06])
    assert holm.adjusted([]).size == 0


@pytest.mark.parametrize("values", [[1.1], [-0.1], [float("nan")], [[0.5]]])
def test_what_is_no_p_value_is_refused(values):
    with pytest.raises(ValueError, match="p_values"):
        holm.adjusted(values)


def test_all_reads_together_spend_alpha():
    spent = [spending.spent_at(read, 0.05) for read in range(1, 1001)]
    assert spent[:3] == pytest.approx([0.025, 0.05 / 6, 0.05 / 12])
    assert sum(spent) + spending.left_after(1000, 0.05) == pytest.approx(0.05)


def test_there_is_no_read_before_the_first():
    with pytest.raises(ValueError, match="read"):
        spending.spent_at(0, 0.05)
    with pytest.raises(ValueError, match="reads"):
        spending.left_after(-1, 0.05)
