"""How many examples a gate needs: about as many as theory says, and never too few for what was seen."""

import math

import numpy as np
import pytest

from smallfirst.statistics import power
from smallfirst.statistics.noninferiority import sample_of


def seen(n, *, disagree, groups=None):
    worse = n * disagree // 200
    return sample_of([1.0] * worse + [-1.0] * worse + [0.0] * (n - 2 * worse), groups)


def about(disagree, margin, alpha, wanted):
    """The normal approximation of a bet of the best size (docs/gate.md)."""
    from scipy import stats

    return disagree * ((math.sqrt(-2 * math.log(alpha)) + stats.norm.ppf(wanted)) / margin) ** 2


def test_it_is_what_theory_says_where_much_was_seen():
    needed = power.examples_needed(seen(20_000, disagree=10), 0.02, alpha=0.025)
    assert needed == pytest.approx(about(0.10, 0.02, 0.025, 0.92), rel=0.1)


def test_less_seen_asks_for_more():
    much, little = (power.examples_needed(seen(n, disagree=10), 0.02) for n in (20_000, 100))
    assert little > much


def test_it_passes_as_often_as_wanted_there_and_less_before():
    sample = seen(400, disagree=8)
    needed = power.examples_needed(sample, 0.05, power=0.9)
    assert power.power(sample, 0.05, examples=needed) >= 0.9
    assert power.power(sample, 0.05, examples=needed // 2) < 0.75


def test_a_narrower_margin_more_power_a_smaller_alpha_and_a_loss_need_more():
    sample = seen(400, disagree=8)
    usual = power.examples_needed(sample, 0.05)
    for harder in ({"margin": 0.04}, {"power": 0.97}, {"alpha": 0.01}, {"loss": 0.02}):
        options = {"margin": 0.05, **harder}
        assert power.examples_needed(sample, options.pop("margin"), **options) > usual


def test_a_loss_at_the_margin_never_passes():
    assert power.examples_needed(seen(400, disagree=8), 0.05, loss=0.05) is None
    assert power.examples_needed(seen(400, disagree=50), 0.001) is None  # nobody has so many


def test_never_having_disagreed_is_not_never_disagreeing():
    few, many = (power.examples_needed(seen(n, disagree=0), 0.05, alpha=0.025) for n in (30, 3000))
    least = math.log(40) / math.log1p(0.05 / 0.95)  # all staked, nothing ever lost
    assert few > many >= least - 1


def test_examples_in_groups_count_as_groups():
    alone = power.examples_needed(seen(600, disagree=10), 0.05)
    groups = [at // 6 for at in range(600)]  # whole conversations that go one way
    together = power.examples_needed(seen(600, disagree=10, groups=groups), 0.05)
    assert together > 3 * alone


def test_seeded():
    sample = sample_of(np.random.default_rng(1).uniform(-0.4, 0.4, 200))
    assert power.examples_needed(sample, 0.05) == power.examples_needed(sample, 0.05)
    assert power.examples_needed(sample, 0.05, seed=1) == pytest.approx(
        power.examples_needed(sample, 0.05), rel=0.1
    )


def test_nothing_seen_says_nothing():
    with pytest.raises(ValueError, match="seen"):
        power.examples_needed(sample_of([]), 0.05)
