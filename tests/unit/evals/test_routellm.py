"""RouteLLM's figures, against values computed with pandas 3.1 and its own formulas, and by hand."""

import numpy as np
import pytest

from smallfirst.evals.routellm import bin_edges, binned

ROWS = np.arange(40)
SCORES = (ROWS * 17 % 40) / 40
SMALL = ((ROWS * 7) % 5 < 3).astype(float)
FRONTIER = ((ROWS * 11) % 6 < 5).astype(float)


@pytest.mark.parametrize(
    ("scores", "edges", "apgr", "cpt50", "cpt80"),
    [
        (
            SCORES,
            [
                0.0, 0.09750000000000002, 0.19500000000000003, 0.2925000000000001, 0.39000000000000007, 0.4875,
                0.5850000000000002, 0.6825000000000002, 0.7800000000000001, 0.8775000000000001, 0.975,
            ],
            0.5611111111111111,
            55.0,
            71.0,
        ),
        (
            np.round(SCORES * 6) / 6,
            [
                0.0, 0.15000000000000005, 0.16666666666666666, 0.3333333333333333, 0.5, 0.5666666666666682,
                0.6666666666666666, 0.8333333333333334, 1.0,
            ],
            0.5430555555555554,
            48.75,
            76.5,
        ),
        ((SCORES > 0.7).astype(float), [0.0, 1.0], 0.5, 50.0, 80.0),
    ],
    ids=["distinct", "tied", "two values"],
)  # fmt: skip
def test_as_pandas_and_their_formulas_have_it(scores, edges, apgr, cpt50, cpt80):
    assert bin_edges(scores).tolist() == edges
    made = binned(scores, small=SMALL, frontier=FRONTIER)
    assert made.apgr == pytest.approx(apgr)
    assert made.cpt(0.5) == pytest.approx(cpt50)
    assert made.cpt(0.8) == pytest.approx(cpt80)


def test_twelve_rows_by_hand():
    """Edges 0, 1.1, 2.2, …, 11; the frontier helps on the six rows with the highest scores alone."""
    scores = np.arange(12.0)
    made = binned(scores, small=np.zeros(12), frontier=(scores >= 6) * 1.0)
    assert made.percents == pytest.approx([100 * n / 12 for n in (0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12)])
    assert made.qualities == pytest.approx([n / 12 for n in (0, 2, 3, 4, 5, 6, 6, 6, 6, 6, 6)])
    assert made.apgr == pytest.approx((6 * 6 / 2 + 6 * 6) / 144 / (6 / 12))
    assert made.cpt(0.8) == pytest.approx(40)


def test_equal_scores_are_chance():
    made = binned(np.ones(40), small=SMALL, frontier=FRONTIER)
    assert made.percents == (0.0, 100.0)
    assert made.apgr == pytest.approx(0.5)
    assert made.cpt(0.5) == pytest.approx(50)


def test_without_a_gap_there_is_nothing_to_recover():
    for small, frontier in ((FRONTIER, SMALL), (SMALL, SMALL)):
        made = binned(SCORES, small=small, frontier=frontier)
        assert (made.apgr, made.cpt(0.5)) == (None, None)
