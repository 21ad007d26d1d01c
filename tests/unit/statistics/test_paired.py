"""Means, ratios and quantiles with their intervals, beside statsmodels, scipy and hand-computed cases."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from smallfirst.statistics import paired


def scores(seed, n=60):
    chance = np.random.default_rng(seed)
    return chance.random(n), chance.random(n), [f"g{at}" for at in chance.integers(0, 20, n)]


def test_a_mean_difference_is_the_paired_t_test():
    one, other, _ = scores(1)
    found = paired.mean_difference(one, other)
    expected = stats.ttest_rel(one, other).confidence_interval(0.95)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert found.mean == pytest.approx(float(np.mean(one - other)))
    assert (found.rows, found.groups) == (60, 60)


def test_clustered_errors_are_those_of_statsmodels():
    one, other, groups = scores(2)
    found = paired.mean_difference(one, other, groups=groups)
    numbers = np.unique(groups, return_inverse=True)[1]
    model = sm.OLS(one - other, np.ones((60, 1)))
    fit = model.fit(cov_type="cluster", cov_kwds={"groups": numbers}, use_t=True)
    low, high = fit.conf_int(0.05)[0]
    assert found.se == pytest.approx(float(fit.bse[0]))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_rows_that_say_the_same_in_groups_are_worth_one():
    values = [0.0, 1.0, 1.0, 0.0, 1.0]
    alone = paired.mean(values)
    threefold = paired.mean(np.repeat(values, 3), groups=np.repeat(list("abcde"), 3))
    assert (threefold.low, threefold.high) == pytest.approx((alone.low, alone.high))
    assert paired.mean(np.repeat(values, 3)).low > threefold.low


def test_rows_without_a_key_are_groups_of_their_own():
    sums, sizes = paired.group_sums([1, 2, 3, 4], ["a", "", "a", ""])
    assert sorted(zip(sums.tolist(), sizes.tolist(), strict=True)) == [(2, 1), (4, 1), (4, 2)]


def test_an_interval_of_rows_that_are_all_alike_is_not_empty():
    found = paired.mean([1.0] * 20)
    assert found.high == 1.0
    assert found.low == pytest.approx(0.025 ** (1 / 20))  # Clopper and Pearson's lower end at 20 of 20
    spread = paired.mean_difference([0.5] * 20, [0.5] * 20)
    assert spread.low == pytest.approx(-spread.high)


def test_too_few_groups_say_nothing():
    assert paired.mean([]) == paired.Estimate(mean=None, low=None, high=None)
    one = paired.mean([0.3, 0.5], groups=["a", "a"])
    assert (one.mean, one.low, one.high) == (0.4, None, None)


def test_costs_have_no_bounds():
    found = paired.mean([1e6, 2e6, 9e6], bounds=None)
    assert found.low is not None
    assert found.low < 0


@pytest.mark.parametrize("values", [[1.2], [-0.1, 0.5], [math.nan], [[0.5]]])
def test_what_is_no_score_is_refused(values):
    with pytest.raises(ValueError, match="values"):
        paired.mean(values)


def test_unequal_lengths_are_refused():
    with pytest.raises(ValueError, match="one length"):
        paired.mean_difference([1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="groups"):
        paired.mean([1.0], groups=["a", "b"])


def test_a_ratio_of_means_is_near_the_delta_methods():
    chance = np.random.default_rng(3)
    below = chance.gamma(4, 1, 800)
    top = below * chance.gamma(9, 1 / 18, 800)
    found = paired.ratio_of_means(top, below)
    error = np.std(top - found.mean * below, ddof=1) / math.sqrt(800) / below.mean()
    assert found.mean == pytest.approx(top.sum() / below.sum())
    assert found.se == pytest.approx(error, rel=0.1)
    assert found.low < 0.5 < found.high
    assert paired.ratio_of_means(top, below) == found  # seeded


def test_a_ratio_to_nothing_is_none():
    assert paired.ratio_of_means([1.0, 2.0], [0.0, 0.0]).mean is None
    assert paired.quantile_ratio([1.0, 2.0], [0.0, 0.0], 0.5).mean is None


def test_the_same_costs_have_the_ratio_one_exactly():
    costs = np.random.default_rng(4).random(50)
    found = paired.ratio_of_means(costs, costs)
    assert (found.low, found.mean, found.high) == (1.0, 1.0, 1.0)


def test_a_quantile_lies_between_order_statistics():
    """n = 100, the median: the 40th and the 61st (David and Nagaraja)."""
    found = paired.quantile(np.arange(1, 101), 0.5)
    assert (found.low, found.high) == (40, 61)
    assert found.mean == 50.5


def test_few_rows_do_not_bound_a_high_quantile():
    found = paired.quantile([1.0, 2.0, 3.0], 0.95)
    assert found.high is None
    assert paired.quantile([], 0.95).mean is None


def test_a_quantile_covers_as_often_as_it_says():
    chance = np.random.default_rng(5)
    truth = -math.log(0.05)
    hits = [
        (found.low or 0) <= truth <= (found.high or math.inf)
        for found in (paired.quantile(chance.exponential(1, 200), 0.95) for _ in range(400))
    ]
    assert 0.92 < np.mean(hits) <= 1


def test_latencies_of_half_as_much_have_half_the_quantile():
    times = np.random.default_rng(6).gamma(2, 50, 400)
    found = paired.quantile_ratio(times / 2, times, 0.95)
    assert (found.low, found.mean, found.high) == pytest.approx((0.5, 0.5, 0.5))
