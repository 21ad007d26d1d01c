"""Sums that were done by hand, beside what the code makes of them."""

from fractions import Fraction

import pytest

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.exact import ceiling, exact
from smallfirst.planning.costs.own import provisioned_call_usd, replicas_for, saturated_call_usd
from smallfirst.planning.costs.quote import token_price
from smallfirst.planning.costs.ratio import bill_left, frontier_share_needed, hit_rate_needed, needs
from smallfirst.planning.costs.words import about, dollars, figure


def test_a_float_is_the_decimal_that_was_written():
    assert exact(0.1) + exact(0.2) == Fraction(3, 10)
    assert ceiling(exact(24.5) * 4) == 98
    with pytest.raises(ValueError, match="Invalid literal"):
        exact(float("nan"))


def test_a_call_costs_its_tokens():
    price = token_price("3/15/0.30")
    assert price.call(800, 200) == Fraction(54, 10_000)
    assert price.call(800, 200, cached_share=0.75) == (200 * 3 + 600 * Fraction(3, 10) + 200 * 15) / Fraction(
        10**6
    )
    assert token_price("$0.10/$0.50").call(800, 200) == Fraction(18, 100_000)
    assert token_price("3/15").call(800, 200, cached_share=1) == Fraction(54, 10_000)  # no discount is known


@pytest.mark.parametrize("text", ["3", "-3/15", "3/15/1/2", "1.2.3/4", "a/b", "", "3/", "1e3/2", "9999999/1"])
def test_figures_that_are_none_are_refused(text):
    with pytest.raises(ConfigError, match=r"^price: "):
        token_price(text)


def test_a_gpu_that_is_always_full():
    assert saturated_call_usd(2, 80) == pytest.approx(6.944e-6, rel=1e-3)
    assert saturated_call_usd(2, 120) == pytest.approx(4.630e-6, rel=1e-3)
    assert saturated_call_usd(2, 35) == pytest.approx(1.587e-5, rel=1e-3)
    assert saturated_call_usd(2, 35, gpus_per_replica=2) == pytest.approx(3.175e-5, rel=1e-3)


def test_whole_gpus_are_bought_for_the_peak():
    """10 M calls a day are 115.74 a second, 347.2 at the peak; at 24.5 a GPU that is 14.2, so 15, and one spare."""
    assert replicas_for(Fraction(10**7, 86_400) * 3, Fraction(245, 10)) == 16
    cost = provisioned_call_usd(10**7, usd_per_hour=2, rps=35, peak_factor=3, load=0.7, spare=1)
    assert cost == 16 * 2 * 24 / 10**7
    assert (
        replicas_for(49, exact(35) * exact(0.7), spare=0) == 2
    )  # exactly full, and not one more for a rounding
    assert replicas_for(0, 1, spare=0) == 1


@pytest.mark.parametrize(
    ("h", "f", "s", "c", "left"),
    [
        (0, 1, 0.5, 0, 1.0),
        (0, 0.2, 0.009, 0, 0.2072),
        (0.3, 0.2, 0.009, 0, 0.14504),
        (0.5, 0.2, 0.1, 1, 0.15),  # 0.5 x (0.2 + 0.08 + 0.02)
        (1, 0.2, 0.5, 0, 0.0),
    ],
)
def test_what_is_left_of_the_bill(h, f, s, c, left):
    assert bill_left(hit_rate=h, frontier_share=f, small_price=s, climbed_share=c) == left


def test_what_a_fortieth_needs():
    assert hit_rate_needed(40, frontier_share=0.2, small_price=0.009) == pytest.approx(0.8793, abs=1e-4)
    shares = [frontier_share_needed(40, hit_rate=h, small_price=0.009) for h in (0, 0.3, 0.5)]
    assert shares == [pytest.approx(share, abs=1e-4) for share in (0.0161, 0.0270, 0.0414)]
    assert (
        frontier_share_needed(40, hit_rate=0, small_price=0.03) is None
    )  # the small calls alone are more than a fortieth
    assert frontier_share_needed(40, hit_rate=1, small_price=0.5) == 1.0
    assert frontier_share_needed(2, hit_rate=0.6, small_price=1.0) is not None
    assert hit_rate_needed(2, frontier_share=0.2, small_price=0.01) == 0.0


def test_a_small_model_that_is_dearer_than_the_frontier_is_best_not_asked():
    """s = 1.9 at h = 0.6: 0.76 of the bill where nobody climbs to the frontier, 0.4 where all go there at once."""
    assert frontier_share_needed(2, hit_rate=0.6, small_price=1.9) == 1.0
    assert frontier_share_needed(3, hit_rate=0.6, small_price=1.9) is None


@pytest.mark.parametrize("c", [0.0, 0.4, 1.0])
def test_what_is_needed_leaves_just_that(c):
    h = hit_rate_needed(10, frontier_share=0.3, small_price=0.02, climbed_share=c)
    assert bill_left(hit_rate=h, frontier_share=0.3, small_price=0.02, climbed_share=c) == pytest.approx(0.1)
    f = frontier_share_needed(10, hit_rate=0.2, small_price=0.02, climbed_share=c)
    assert f is not None
    assert bill_left(hit_rate=0.2, frontier_share=f, small_price=0.02, climbed_share=c) == pytest.approx(0.1)


def test_a_factor_is_never_told_without_h_f_and_s():
    found = needs(40, small="mini", small_price=0.009, hit_rate=0.3, frontier_share=0.2)
    assert found.sentence == (
        "1/40 of the bill needs h = 88% at f = 20%, or f = 2.7% at h = 30% (s = 0.9%: a call to mini over a frontier call)"
    )
    assert [pair.hit_rate for pair in found.pairs] == [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]
    dear = needs(40, small="mini", small_price=0.05, hit_rate=0.0, frontier_share=0.2)
    assert "cannot be had at h = 0%" in dear.sentence


def test_figures_as_people_say_them():
    assert [about(usd) for usd in (0, 950, 1234, 16_152_272, -2.5e8)] == [
        "$0",
        "$950.00",
        "$1.23 k",
        "$16.2 M",
        "-$250 M",
    ]
    assert dollars(197_100_000) == "$197.1 M"
    assert [dollars(usd) for usd in (0, 1_234_567.8, 12.345, 0.0054, 7.68e-5, -2.5)] == [
        "$0", "$1,234,568", "$12.35", "$0.00540", "$0.0000768", "-$2.50",
    ]  # fmt: skip
    assert [figure(*one) for one in (("load", 0.7), ("frontier_price", 1.25), ("calls_per_day", 1e6), ("gpu_usd_per_hour", 2.0))] == [
        "70.0%", "x 1.25", "1,000,000", "$2.00",
    ]  # fmt: skip
