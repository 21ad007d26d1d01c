"""What moves a price, and what would have to be true."""

import pytest
from support.plans import OWN, basis, work

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.crossings import at_volume
from smallfirst.planning.costs.knobs import knobs_of
from smallfirst.planning.costs.sensitivity import sensitivity, turns, winner_of
from smallfirst.planning.costs.spot import Spot
from smallfirst.planning.costs.ways import day_usd

SMALL = basis(serverless=None, spot=None)


def test_the_largest_swing_comes_first_and_is_right():
    found = sensitivity("hosted", SMALL, knobs_of(SMALL))
    swings = [swing.swing_usd for swing in found.swings]
    assert swings == sorted(swings, reverse=True)
    assert found.year_usd == pytest.approx(8_568 * 365)
    by_name = {swing.range.name: swing for swing in found.swings}
    assert by_name["calls_per_day"].low_year_usd == pytest.approx(found.year_usd / 2)
    assert by_name["hosted_price"].high_year_usd == pytest.approx((7_560 + 2 * 1_008) * 365)
    assert "gpu_usd_per_hour" not in by_name  # it does not move this way


def test_ranges_of_the_users_take_the_place_of_plausible_ones():
    knobs = {knob.range.name: knob.range for knob in knobs_of(SMALL, {"frontier_share": (0.15, 0.25)})}
    assert (knobs["frontier_share"].low, knobs["frontier_share"].high, knobs["frontier_share"].why) == (
        0.15,
        0.25,
        "as given",
    )
    for wrong in (
        {"frontier_share": (0.3, 1.2)},
        {"frontier_share": (0.3, 0.2)},
        {"weather": (0, 1)},
        {"load": (float("nan"), 1)},
    ):
        with pytest.raises(ConfigError, match="--range"):
            knobs_of(SMALL, wrong)


UNUSUAL = basis(
    workload=work(peak_factor=500.0, frontier_share=0.9, cache_hit_rate=1.0, cached_share=0.95),
    own=OWN._replace(load=0.01, spare=40),
    spot=Spot(price_factor=0.005, floor_share=0.5, preemptions_per_gpu_hour=50, restart_s=1e5),
)


@pytest.mark.parametrize("whole", [basis(), UNUSUAL])
def test_every_range_holds_what_is_planned_within_what_can_be(whole):
    for knob in knobs_of(whole):
        range_ = knob.range
        assert range_.limits[0] <= range_.low <= range_.base <= range_.high <= range_.limits[1], range_.name
        assert knob.turned(whole, range_.base).workload == whole.workload


def test_a_turn_is_where_another_way_becomes_the_cheapest():
    low = at_volume(SMALL, 500_000)
    assert winner_of(low) == "hosted"
    knobs = {knob.range.name: knob for knob in knobs_of(low)}
    found = [turn for turn in turns(low, list(knobs.values())) if turn.way == "own"]
    assert {(turn.input, turn.side) for turn in found} >= {
        ("calls_per_day", "at least"),
        ("hosted_price", "at least"),
    }
    for turn in found:
        there = knobs[turn.input].turned(low, turn.value)
        assert winner_of(there) == "own", turn
    price = next(turn for turn in found if turn.input == "hosted_price")
    assert price.value == pytest.approx(
        96 / (500_000 * 0.56 * 0.00018), rel=1e-3
    )  # two GPUs, over what the calls cost hosted


def test_a_winner_at_any_value_has_no_turns():
    alone = basis(hosted=None, own=None, serverless=None, spot=None, workload=work(cache_hit_rate=0.0))
    assert [turn.way for turn in turns(alone, knobs_of(alone))] == [
        "frontier-cache"
    ]  # there would be a cache


def test_throughput_that_is_lower_needs_more_gpus():
    knobs = {knob.range.name: knob for knob in knobs_of(SMALL)}
    assert (
        day_usd("own", knobs["throughput"].turned(SMALL, 0.5)) == 7_560 + 17 * 48
    )  # 15.9 GPUs, so 16, and one
    assert day_usd("own", knobs["spare"].turned(SMALL, 0)) == 7_560 + 8 * 48
