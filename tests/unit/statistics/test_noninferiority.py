"""The gate's test: what it shows, what it refutes, and that groups are what is independent."""

import math

import numpy as np
import pytest

from smallfirst.statistics import betting, noninferiority
from smallfirst.statistics.noninferiority import Sample, judge, p_value, sample_of, upper_bound


def pairs(n, *, worse, better):
    """n losses: of each 100 examples, `worse` lose a point and `better` gain one."""
    worse, better = n * worse // 100, n * better // 100
    return [1.0] * worse + [-1.0] * better + [0.0] * (n - worse - better)


def test_groups_of_one_are_the_test_of_single_losses():
    """S_g is then loss − margin, in [−1 − m, 1 − m], tested against 0."""
    losses = pairs(400, worse=2, better=2)
    assert p_value(sample_of(losses), 0.05) == pytest.approx(betting.p_value(losses, 0.05))
    assert upper_bound(sample_of(losses)) == pytest.approx(betting.upper_bound(losses), abs=2e-6)


def test_no_loss_is_shown_and_a_loss_beyond_the_margin_refuted():
    equal, worse = pairs(1000, worse=3, better=3), pairs(1000, worse=15, better=3)
    assert judge(equal, 0.05).shown
    assert not judge(equal, 0.05).refuted
    found = judge(worse, 0.05)
    assert found.refuted
    assert not found.shown
    assert found.floor > 0
    assert found.loss == pytest.approx(0.12)


def test_a_loss_that_may_be_chance_is_neither():
    found = judge(pairs(100, worse=12, better=5), 0.05)
    assert not found.shown
    assert not found.refuted


def test_a_small_loss_is_not_refuted_however_sure():
    found = judge(pairs(20_000, worse=4, better=2), 0.05)
    assert found.floor > 0  # it is worse
    assert found.shown  # and within the margin
    assert not found.refuted


def test_the_bound_is_where_the_test_turns():
    losses, groups = pairs(600, worse=4, better=2), [at // 3 for at in range(600)]
    sample = sample_of(losses, groups)
    bound = upper_bound(sample, alpha=0.1)
    assert p_value(sample, bound) <= 0.1 < p_value(sample, bound - 1e-5)


def test_copies_in_a_group_are_no_evidence():
    losses = pairs(200, worse=2, better=2)
    alone = p_value(sample_of(losses), 0.05)
    copied = p_value(sample_of(np.repeat(losses, 4), np.repeat(np.arange(200), 4)), 0.05)
    assert copied == pytest.approx(alone)
    assert p_value(sample_of(np.repeat(losses, 4)), 0.05) < alone / 1000  # as if they were independent


def test_the_order_and_the_names_of_groups_do_not_count():
    chance = np.random.default_rng(2)
    losses, groups = chance.uniform(-1, 1, 90), chance.integers(0, 30, 90)
    turned = chance.permutation(90)
    found = [
        judge(losses, 0.1, groups=[f"a{key}" for key in groups]),
        judge(losses[turned], 0.1, groups=[f"b{groups[at]}" for at in turned]),
    ]
    assert found[0].p_value == pytest.approx(found[1].p_value)
    assert found[0].groups == len(set(groups.tolist()))


def test_whole_groups_that_lose_all_stay_within_the_bounds():
    assert p_value(sample_of([1.0] * 7, ["a"] * 7), 0.05) == 1.0
    assert p_value(sample_of([-1.0] * 21, np.repeat(list("abc"), 7)), 0.05) < 1.0


def test_an_aim_from_elsewhere_needs_fewer_examples():
    losses = pairs(500, worse=3, better=3)
    aim = sample_of(pairs(300, worse=3, better=3))
    assert judge(losses, 0.05, expected=aim).bound < judge(losses, 0.05).bound - 0.003


def test_the_aim_is_turned_aside_by_scatter_alone():
    """Losses elsewhere that lean one way or the other give the same stakes."""
    sample = sample_of(pairs(500, worse=3, better=3))
    leaning = [sample_of(pairs(300, worse=w, better=b)) for w, b in ((6, 1), (1, 6))]
    one, other = (noninferiority.aimed_stakes(sample, 0.05, alpha=0.05, expected=aim) for aim in leaning)
    assert one.tolist() == other.tolist()


def test_a_calibration_of_larger_groups_still_aims():
    expected = sample_of(pairs(300, worse=5, better=5), [at // 10 for at in range(300)])
    found = judge(pairs(500, worse=1, better=1), 0.05, expected=expected)
    assert found.shown


def test_no_examples_show_nothing():
    found = judge([], 0.05)
    assert (found.p_value, found.bound, found.floor) == (1.0, 1.0, -1.0)
    assert not found.shown


def test_a_margin_of_nothing_asks_for_better():
    assert judge(pairs(2000, worse=1, better=9), 0.0).shown
    assert not judge(pairs(2000, worse=5, better=5), 0.0).shown


@pytest.mark.parametrize("losses", [[1.1], [math.nan], [[0.0]]])
def test_what_is_no_loss_is_refused(losses):
    with pytest.raises(ValueError, match="losses"):
        judge(losses, 0.05)


def test_a_margin_is_a_share():
    with pytest.raises(ValueError, match="margin"):
        noninferiority.judge_sample(Sample(np.zeros(3), np.ones(3, dtype=np.int64)), 1.0)
