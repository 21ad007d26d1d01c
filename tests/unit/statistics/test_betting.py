"""Bets on the mean of bounded losses: what they refute, and what they do not."""

import math

import numpy as np
import pytest

from smallfirst.statistics import betting


def ternary(n, *, worse, better):
    """n losses: of each 100 calls, `worse` lose a point and `better` gain one."""
    worse, better = n * worse // 100, n * better // 100
    return [1.0] * worse + [-1.0] * better + [0.0] * (n - worse - better)


def log_wealth(losses, margin, n, stakes=betting.STAKES):
    """After n examples that are mixed like these, in fractions of examples."""
    growth = np.mean([np.log1p(stakes * (margin - loss) / (1 - margin)) for loss in losses], axis=0)
    return np.log(np.exp(n * growth).mean())


def test_no_losses_are_no_evidence():
    assert betting.p_value([], 0.05) == 1.0
    assert betting.upper_bound([]) == 1.0
    assert betting.examples_needed([], 0.05) is None


def test_one_loss_by_hand():
    """A stake c multiplies by 1 + c·(.5 − 0)/(1 − .5) = 1 + c: the mean wealth is 1 + the mean stake."""
    stakes = [(i / 100.1) ** 1.5 for i in range(1, 101)]
    assert betting.p_value([0.0], 0.5) == pytest.approx(1 / (1 + sum(stakes) / 100))


def test_evidence_grows_with_examples_and_distance():
    few, many = (betting.p_value(ternary(n, worse=2, better=1), 0.05) for n in (200, 2000))
    assert many < few < 1
    assert betting.p_value(ternary(200, worse=2, better=1), 0.1) < few


def test_less_scatter_is_more_evidence_at_the_same_mean():
    calm, wild = (betting.p_value(ternary(500, worse=d, better=d), 0.05) for d in (1, 10))
    assert calm < 1e-5
    assert wild > 1e-3


def test_losses_at_or_above_the_margin_refute_nothing():
    assert betting.p_value(ternary(1000, worse=5, better=0), 0.05) > 0.5
    assert betting.p_value([1.0] * 100, 0.05) == 1.0


def test_the_order_counts_only_where_it_is_asked_for():
    losses = ternary(400, worse=3, better=1)
    assert betting.p_value(losses, 0.05) == pytest.approx(betting.p_value(losses[::-1], 0.05))
    late, early = (
        betting.p_value(order, 0.05, anytime=True) for order in (losses[::-1], losses)
    )  # zeros first, then all the ones
    assert late < early
    assert early <= betting.p_value(losses, 0.05) * (1 + 1e-9)


def test_anytime_is_the_least_over_all_beginnings():
    losses = np.clip(np.random.default_rng(3).normal(0, 0.3, 60), -1, 1)
    least = min(betting.p_value(losses[:n], 0.1) for n in range(61))
    assert betting.p_value(losses, 0.1, anytime=True) == pytest.approx(least)


def test_anytime_carries_over_its_blocks():
    losses = np.zeros(9000)
    losses[-1] = 1.0
    whole = betting.p_value(losses[:-1], 0.001)
    assert betting.p_value(losses, 0.001, anytime=True) == pytest.approx(whole, rel=1e-6)


def test_the_upper_bound_is_where_the_test_turns():
    losses = ternary(700, worse=4, better=2)
    bound = betting.upper_bound(losses, confidence=0.9)
    assert betting.p_value(losses, bound) <= 0.1 < betting.p_value(losses, bound - 1e-5)
    assert betting.upper_bound(losses, confidence=0.99) > bound > 0.02


def test_certain_loss_has_no_bound_below_it():
    assert betting.upper_bound([1.0] * 50) == 1.0


def test_other_bounds_are_the_same_test_scaled():
    losses = np.asarray(ternary(300, worse=2, better=1))
    scaled = betting.p_value((losses + 1) * 5, 5.25, bounds=(0, 10))
    assert scaled == pytest.approx(betting.p_value(losses, 0.05))
    assert betting.upper_bound((losses + 1) * 5, bounds=(0, 10)) == pytest.approx(
        5 + 5 * betting.upper_bound(losses), abs=1e-4
    )


@pytest.mark.parametrize(
    ("worse", "better", "margin"), [(0, 0, 0.05), (1, 1, 0.05), (3, 0, 0.05), (5, 5, 0.1)]
)
def test_the_number_of_examples_needed_is_the_least_that_does(worse, better, margin):
    losses = ternary(100, worse=worse, better=better)
    needed = betting.examples_needed(losses, margin)
    assert log_wealth(losses, margin, needed) >= math.log(20) > log_wealth(losses, margin, needed - 1)


def test_needed_is_unknown_where_the_loss_is_no_lower_than_the_margin():
    assert betting.examples_needed(ternary(100, worse=5, better=0), 0.05) is None
    assert betting.examples_needed(ternary(100, worse=6, better=1), 0.05) is None
    barely = [1.0] * 49_999 + [-1.0] * 40_000 + [0.0] * 10_001
    assert betting.examples_needed(barely, 0.1) is None  # 10⁻⁵ below the margin


def test_a_hundred_thousand_losses_keep_their_evidence_finite():
    losses = np.tile([0.3, -0.2, 0.0, 0.0], 25_000)
    assert betting.p_value(losses, 0.05) < 1e-100
    assert 0.025 < betting.upper_bound(losses) < 0.03
    assert betting.p_value(np.ones(100_000), 0.9) == 1.0


@pytest.mark.parametrize("losses", [[1.1], [-1.5, 0.0], [math.nan], [[0.0]]])
def test_what_is_no_loss_is_refused(losses):
    with pytest.raises(ValueError, match="losses"):
        betting.p_value(losses, 0.05)


@pytest.mark.parametrize("margin", [1.0, -1.0, 2.0, math.nan])
def test_what_is_no_margin_is_refused(margin):
    with pytest.raises(ValueError, match="margin"):
        betting.p_value([0.0], margin)


def test_an_aimed_stake_is_as_large_as_the_scatter_and_the_number_of_examples_allow():
    few, many, calm = (
        betting.aimed(ternary(400, worse=d, better=d), 0.05, examples=n).item()
        for d, n in ((5, 500), (5, 5000), (1, 500))
    )
    assert calm > few > many
    rule = math.sqrt(2 * math.log(20) / (5000 * 0.1)) * 0.95  # stakes are shares of 1 / (1 − margin)
    assert many == pytest.approx(rule, rel=0.1)


def test_aimed_stakes_need_fewer_examples():
    losses = ternary(1000, worse=5, better=3)
    aimed = betting.examples_needed(losses, 0.05, expected=losses)
    assert aimed < 0.8 * betting.examples_needed(losses, 0.05)
    enough, fewer = (
        log_wealth(losses, 0.05, n, betting.aimed(losses, 0.05, examples=n)) for n in (aimed, aimed - 1)
    )
    assert enough >= math.log(20) > fewer
    assert betting.examples_needed(ternary(100, worse=6, better=1), 0.05, expected=[0.0]) is None


def test_evidence_that_was_never_seen_to_fail_is_not_staked_whole():
    assert betting.aimed([0.0] * 50, 0.05, examples=100).item() < 0.99
    assert betting.aimed([], 0.05, examples=100).shape == (1,)


def test_the_growth_rate_orders_losses_by_their_evidence():
    rates = [
        betting.growth_rate(ternary(500, worse=w, better=b), 0.05)
        for w, b in ((0, 0), (2, 1), (4, 0), (9, 0))
    ]
    assert rates == sorted(rates, reverse=True)
    assert rates[2] > 0 >= rates[3]
    assert betting.growth_rate([], 0.05) == 0.0
