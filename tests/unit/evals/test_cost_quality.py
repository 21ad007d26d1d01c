"""The cost–quality curve: its points, its figures, and what is said where there is nothing to recover."""

import csv

import msgspec
import numpy as np
import pytest

from smallfirst.evals import CostQuality, cost_quality, curve_csv, full_curve

SMALL = np.array([1.0, 0.0, 0.0, 1.0, 0.0])
FRONTIER = np.array([1.0, 1.0, 1.0, 0.0, 1.0])


def test_points_by_hand():
    curve = full_curve([0.1, 0.9, 0.5, 0.5, 0.2], small=SMALL, frontier=FRONTIER)
    assert curve.thresholds == (float("inf"), 0.9, 0.5, 0.2, 0.1)
    assert curve.shares == pytest.approx((0, 0.2, 0.6, 0.8, 1))
    assert curve.qualities == pytest.approx((0.4, 0.6, 0.6, 0.8, 0.8))  # the two at .5 move together
    assert curve.area == pytest.approx(0.2 * 0.5 + 0.4 * 0.6 + 0.2 * 0.7 + 0.2 * 0.8)
    assert curve.quality_at(0.1) == pytest.approx(0.5)
    assert curve.share_for(0.7) == pytest.approx(0.7)
    assert curve.share_for(0.4) == 0
    assert curve.share_for(0.81) is None


def test_the_first_crossing_counts_where_the_curve_falls_again():
    curve = full_curve([5, 4, 3, 2, 1], small=[0, 0, 1, 0, 0], frontier=[1, 1, 0, 0, 1])
    assert curve.qualities == pytest.approx((0.2, 0.4, 0.6, 0.4, 0.4, 0.6))
    assert curve.share_for(0.5) == pytest.approx(0.3)


def test_figures_of_a_router_that_is_never_wrong():
    small = np.array([1.0] * 60 + [0.0] * 40)
    made = cost_quality(1 - small, small=small, frontier=np.ones(100))
    assert (made.small_quality, made.frontier_quality, made.rows) == (0.6, 1.0, 100)
    assert made.apgr_full == pytest.approx(made.oracle_apgr) == pytest.approx(0.8)
    assert made.cpt50_full == pytest.approx(20)
    assert made.cpt80_full == pytest.approx(32)
    assert made.pgr20 == pytest.approx(0.5)


def test_an_oracle_beats_the_frontier_where_the_small_model_is_sometimes_better():
    small, frontier = [1] + [0] * 9, [0] + [1] * 4 + [0] * 5
    made = cost_quality([0] * 10, small=small, frontier=frontier)
    assert made.oracle.shares == pytest.approx((0, 0.4, 0.9, 1))
    assert made.oracle.qualities == pytest.approx((0.1, 0.5, 0.5, 0.4))
    assert made.oracle_apgr == pytest.approx((0.12 + 0.25 + 0.045 - 0.1) / 0.3)
    assert made.apgr_full == pytest.approx(0.5)


def test_random_routers_recover_half_of_the_gap():
    chance = np.random.default_rng(3)
    small = (chance.random(2000) < 0.5).astype(float)
    frontier = (chance.random(2000) < 0.8).astype(float)
    made = cost_quality(chance.random(2000), small=small, frontier=frontier)
    assert made.random_apgr == pytest.approx(0.5, abs=0.02)


def test_the_same_rows_give_the_same_figures_in_any_order():
    chance = np.random.default_rng(4)
    scores, small, frontier = chance.integers(0, 9, 200), chance.random(200), chance.random(200) + 0.2
    order = chance.permutation(200)
    one = cost_quality(scores, small=small, frontier=frontier)
    other = cost_quality(scores[order], small=small[order], frontier=frontier[order])
    for name in ("apgr", "cpt50", "cpt80", "apgr_full", "cpt50_full", "cpt80_full", "pgr20", "oracle_apgr"):
        assert getattr(one, name) == pytest.approx(getattr(other, name)), name


@pytest.mark.parametrize(
    "frontier", [SMALL, SMALL * 0.5, SMALL[::-1].copy()], ids=["same", "worse", "equal mean"]
)
def test_a_frontier_that_is_no_better_leaves_the_figures_unknown(frontier):
    made = cost_quality([0.1, 0.9, 0.5, 0.5, 0.2], small=SMALL, frontier=frontier)
    figures = [
        made.apgr,
        made.cpt50,
        made.cpt80,
        made.apgr_full,
        made.cpt50_full,
        made.cpt80_full,
        made.pgr20,
    ]
    assert {*figures, made.oracle_apgr, made.random_apgr} == {None}
    assert made.curve.qualities[-1] == pytest.approx(frontier.mean())


def test_rounding_is_no_gap():
    small = np.array([0.1, 0.2, 0.3])
    assert cost_quality([1, 2, 3], small=small, frontier=np.array([0.3, 0.1, 0.2])).apgr_full is None


@pytest.mark.parametrize(
    "columns", [([], [], []), ([1], [1, 0], [1, 0]), ([float("nan")], [1], [1]), ([[1]], [[1]], [[1]])]
)
def test_columns_that_do_not_fit_are_refused(columns):
    with pytest.raises(ValueError, match="expected"):
        cost_quality(columns[0], small=columns[1], frontier=columns[2])


def test_the_result_survives_json_but_for_infinity():
    made = cost_quality([0.1, 0.9, 0.5, 0.5, 0.2], small=SMALL, frontier=FRONTIER)
    fields = msgspec.json.decode(msgspec.json.encode(made))
    assert fields["apgr"] == made.apgr
    assert set(fields) == set(CostQuality.__struct_fields__)


def test_the_points_are_written_as_csv(tmp_path):
    curve = full_curve([0.1, 0.9, 0.5, 0.5, 0.2], small=SMALL, frontier=FRONTIER)
    curve_csv(tmp_path / "curve.csv", curve)
    with (tmp_path / "curve.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["frontier_share"]) for row in rows] == list(curve.shares)
    assert [float(row["quality"]) for row in rows] == list(curve.qualities)
    assert rows[0]["threshold"] == "inf"
