"""Where ways cross: by hand, and against looking at many volumes."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.planning.costs.break_even import Line, break_even

HOSTED = Line(name="hosted", per_call_usd=0.00018)
ONE_H100 = {
    "name": "own",
    "per_call_usd": 0,
    "unit_usd_per_day": 48,
    "calls_per_unit": Fraction(245, 10) * 86_400 / 3,
}


def test_one_gpu_without_a_spare_wins_from_267_thousand_calls():
    found = break_even(Line(**ONE_H100), HOSTED)
    assert found.calls_per_day == found.first_calls_per_day == pytest.approx(48 / 0.00018)


def test_with_a_spare_the_third_gpu_is_dearer_once_more():
    """Two GPUs pay off at 533,333; at 705,600 a third is bought, and pays off at 800,000; the fourth is never dearer again."""
    found = break_even(Line(**ONE_H100, spare_units=1), HOSTED)
    assert found.first_calls_per_day == pytest.approx(96 / 0.00018)
    assert found.calls_per_day == pytest.approx(144 / 0.00018)


def test_what_is_dearer_in_the_end_never_wins():
    found = break_even(HOSTED, Line(**ONE_H100))
    assert (found.calls_per_day, found.first_calls_per_day) == (None, None)
    assert break_even(HOSTED, HOSTED).calls_per_day == 0.0  # no dearer than itself
    assert break_even(Line(name="dear", per_call_usd=0.1), HOSTED).calls_per_day is None


def test_what_is_cheaper_at_any_volume_wins_at_once():
    assert break_even(HOSTED, Line(name="frontier", per_call_usd=0.0054)).calls_per_day == 0.0


def test_a_fixed_cost_is_paid_without_a_call():
    fixed = Line(name="fixed", per_call_usd=0, fixed_usd_per_day=10)
    assert fixed.day_usd(5) == 10
    assert break_even(fixed, Line(name="hosted", per_call_usd=1)).calls_per_day == 10.0


@pytest.mark.parametrize("gain", [Fraction(1, 1000), Fraction(1, 10**5), Fraction(1, 10**7)])
def test_where_millions_of_units_are_bought_nothing_is_said_too_early(gain):
    """A hosted call that costs a hair more than a full GPU's: with one spare the own way is first no dearer at 1 / gain units."""
    share = Fraction(48) / ONE_H100["calls_per_unit"]
    hosted = Line(name="hosted", per_call_usd=share * (1 + gain))
    found = break_even(Line(**ONE_H100, spare_units=1), hosted)
    assert found.first_calls_per_day >= float(1 / gain * ONE_H100["calls_per_unit"]) * (1 - 1e-12)
    assert found.calls_per_day >= found.first_calls_per_day


def lines(name: str) -> st.SearchStrategy[Line]:
    money = st.integers(0, 30)
    return st.builds(
        Line,
        name=st.just(name),
        per_call_usd=st.integers(0, 8).map(lambda n: Fraction(n, 4)),
        unit_usd_per_day=money,
        calls_per_unit=st.integers(0, 12),
        spare_units=st.integers(0, 2),
        fixed_usd_per_day=money,
    )


@settings(max_examples=100, deadline=None)
@given(lines("one"), lines("other"))
def test_it_agrees_with_looking(one, other):
    """At all volumes in quarters up to 60: dearer somewhere above the volume found is wrong, and so is not being dearer just below it."""
    found = break_even(one, other)
    volumes = [Fraction(n, 4) for n in range(1, 240)]
    dearer = [volume for volume in volumes if one.day_usd(volume) > other.day_usd(volume)]
    if found.calls_per_day is None:
        end = Fraction(10_000_000)  # dearer there too, somewhere in a stretch that has every step
        assert any(
            one.day_usd(end + Fraction(n, 4)) > other.day_usd(end + Fraction(n, 4))
            for n in range(12 * 11 * 4)
        )
        return
    above = [volume for volume in dearer if volume > found.calls_per_day + 1e-9]
    assert above == []
    if 0.5 < found.calls_per_day < 59:
        just = exactly_below(found.calls_per_day)
        assert one.day_usd(just) > other.day_usd(just)
    not_dearer = next((volume for volume in volumes if volume not in set(dearer)), None)
    if not_dearer is not None and found.first_calls_per_day is not None:
        assert found.first_calls_per_day <= not_dearer


def exactly_below(volume: float) -> Fraction:
    return Fraction(volume) - Fraction(1, 10**9)
