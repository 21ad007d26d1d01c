"""Exact bounds for shares against known values (scipy's `beta.ppf` and `binom.cdf`)."""

import pytest

from smallfirst.statistics import binomial


@pytest.mark.parametrize(
    ("failures", "trials", "upper", "lower"),
    [
        (0, 100, 0.029513049607039925, 0.0),
        (3, 50, 0.14783717636418123, 0.01655185918923134),
        (17, 60, 0.39415843144475143, 0.18926288776254188),
        (999, 1000, 0.999948708021091, 0.9952650064245002),
        (120, 100_000, 0.0013963010336155335, 0.0010257612032112512),
    ],
)
def test_clopper_and_pearson(failures, trials, upper, lower):
    assert binomial.upper_bound(failures, trials) == pytest.approx(upper, rel=1e-9)
    assert binomial.lower_bound(failures, trials) == pytest.approx(lower, rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(
    ("failures", "trials", "margin", "probability"),
    [
        (0, 100, 0.05, 0.005920529220334023),
        (3, 50, 0.05, 0.7604079609501001),
        (120, 100_000, 0.002, 6.538201566472685e-10),
        (50, 50, 0.5, 1.0),
    ],
)
def test_the_p_value_is_the_binomial_probability(failures, trials, margin, probability):
    assert binomial.p_value(failures, trials, margin=margin) == pytest.approx(probability, rel=1e-9)


def test_bounds_of_nothing_and_of_everything():
    assert (binomial.lower_bound(0, 0), binomial.upper_bound(0, 0)) == (0.0, 1.0)
    assert binomial.upper_bound(7, 7) == 1.0
    assert binomial.p_value(0, 0, margin=0.05) == 1.0
    assert binomial.wilson(0, 0) == (0.0, 1.0)


def test_the_number_of_examples_needed():
    assert binomial.examples_needed(0, 10, margin=0.05) == 59  # .95⁵⁹ < .05 < .95⁵⁸
    needed = binomial.examples_needed(2, 100, margin=0.05)
    assert binomial.p_value(-(-2 * needed // 100), needed, margin=0.05) <= 0.05
    assert binomial.examples_needed(5, 100, margin=0.05) is None
    assert binomial.examples_needed(0, 0, margin=0.05) is None
    assert binomial.examples_needed(49_999, 1_000_000, margin=0.05) is None  # 10⁻⁶ below the margin


def test_wilson_against_a_printed_value():
    """Newcombe, Statistics in Medicine 17 (1998), table I: 81 of 263 is .2553 to .3662, 0 of 20 is 0 to .1611."""
    assert binomial.wilson(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert binomial.wilson(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


@pytest.mark.parametrize(("failures", "trials"), [(-1, 5), (6, 5)])
def test_impossible_counts_are_refused(failures, trials):
    with pytest.raises(ValueError, match="failures"):
        binomial.upper_bound(failures, trials)


@pytest.mark.parametrize("margin", [0.0, 1.0])
def test_a_margin_that_is_no_share_is_refused(margin):
    with pytest.raises(ValueError, match="margin"):
        binomial.p_value(0, 5, margin=margin)
