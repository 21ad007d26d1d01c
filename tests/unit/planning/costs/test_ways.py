"""Ways beside each other: each sum by hand, and what must hold between them."""

from __future__ import annotations

import math
import random
from decimal import Decimal

import msgspec
import pytest
from support.plans import OWN, WORK, basis, work

from smallfirst.planning.costs.basis import Basis
from smallfirst.planning.costs.crossings import at_volume, crossings
from smallfirst.planning.costs.own import Throughput, given_throughput, use_of
from smallfirst.planning.costs.profile import SEGMENTS, day_profile
from smallfirst.planning.costs.quote import with_batch
from smallfirst.planning.costs.serverless import Serverless, serverless_day
from smallfirst.planning.costs.spot import Spot, spot_day
from smallfirst.planning.costs.ways import cheapest, day_usd, ways_of
from smallfirst.planning.costs.workload import Workload


def by_name(one: Basis):
    return {way.name: way for way in ways_of(one)}


def test_each_way_is_the_sum_of_its_parts_by_hand():
    ways = by_name(basis())
    assert list(ways) == [
        "frontier",
        "frontier-cache",
        "hosted",
        "own",
        "own-saturated",
        "serverless",
        "spot",
    ]
    assert ways["frontier"].day_usd == 54_000.0
    assert ways["frontier"].year_usd == 19_710_000.0
    assert ways["frontier-cache"].day_usd == 37_800.0
    assert ways["hosted"].parts_usd_per_day == {
        "frontier": 7_560.0,
        "hosted": 1_008.0,
    }  # 1.4 M and 5.6 M calls
    # 5.6 M are 64.8 a second, 194.4 at the peak: 7.9 GPUs at 24.5, so 8, and one spare, at $48 a day.
    assert ways["own"].parts_usd_per_day["gpus"] == 9 * 48
    assert ways["own-saturated"].parts_usd_per_day["gpus"] == pytest.approx(5.6e6 * 2 / 3600 / 35)
    for way in ways.values():
        assert way.day_usd == pytest.approx(sum(way.parts_usd_per_day.values()))
        assert way.million_calls_usd == pytest.approx(way.call_usd * 1e6)
        assert way.month_usd == pytest.approx(way.year_usd / 12)
        assert way.left == pytest.approx(way.day_usd / 54_000)


def other_hand(one: Workload, usd, rps, load) -> dict[str, float]:
    """The same sums in floats, written anew from the definitions: 3/15/0.30 and 0.1/0.5, batches at half, replicas of two GPUs and one spare."""
    read, cached = one.input_tokens * (1 - one.cached_share), one.input_tokens * one.cached_share
    frontier = (read * 3 + cached * 0.3 + one.output_tokens * 15) / 1e6
    hosted = (one.input_tokens * 0.1 + one.output_tokens * 0.5) / 1e6
    missed = one.calls_per_day * (1 - one.cache_hit_rate)
    small = missed * (1 - one.frontier_share + one.frontier_share * one.climbed_share)
    climbing = missed * one.frontier_share * frontier
    cheaper, replica = 1 - one.batch_share / 2, 2 * 24 * usd

    def bought(peak: float) -> float:
        return (max(1, math.ceil(peak / (rps * load) - 1e-9)) + 1) * replica

    peak = small / 86_400 * one.peak_factor
    return {
        "frontier": one.calls_per_day * frontier,
        "frontier-cache": missed * frontier,
        "frontier-batch": missed * frontier * cheaper,
        "hosted": climbing + small * hosted,
        "hosted-batch": (climbing + small * hosted) * cheaper,
        "own": climbing + bought(peak),
        "own-batch": climbing * cheaper + bought(max(peak * (1 - one.batch_share), small / 86_400)),
        "own-saturated": climbing + small / (rps * 86_400) * replica,
    }


@pytest.mark.parametrize("seed", range(40))
def test_the_ways_agree_with_sums_of_another_hand(seed):
    draws = random.Random(seed)
    usd, rps, load = draws.choice([0.5, 2.0, 3.9]), draws.choice([5.0, 35.0, 60.0]), draws.choice([0.5, 0.7])
    shares = {
        name: draws.choice([0.01, draws.random(), 1.0])
        for name in ("cached_share", "cache_hit_rate", "frontier_share", "climbed_share", "batch_share")
    }
    one = work(
        calls_per_day=round(10 ** draws.uniform(2, 8)), input_tokens=draws.randint(1, 5000),
        output_tokens=draws.randint(0, 1000), peak_factor=draws.uniform(1, 8), **shares,
    )  # fmt: skip
    own = OWN._replace(usd_per_hour=usd, throughput=given_throughput(rps), load=load, gpus_per_replica=2)
    cached = basis().frontier.price
    cached = msgspec.structs.replace(cached, cached_input=Decimal("0.3"))
    quote = with_batch(msgspec.structs.replace(basis().frontier, price=cached), 0.5, option="--x")
    found = by_name(basis(workload=one, own=own, frontier=quote, serverless=None, spot=None))
    for name, usd_per_day in other_hand(one, usd, rps, load).items():
        assert found[name].day_usd == pytest.approx(usd_per_day, rel=1e-9, abs=1e-9), name


def test_a_saturated_fleet_is_cheaper_than_any_and_never_chosen():
    ways = ways_of(basis(hosted=None, serverless=None, spot=None))
    chosen = cheapest(ways)
    assert chosen.name == "own"
    assert min(ways, key=lambda way: way.day_usd).name == "own-saturated"


def test_calls_that_climb_pay_the_small_model_too():
    climbing = by_name(basis(workload=work(climbed_share=1.0)))
    assert climbing["hosted"].parts_usd_per_day["hosted"] == 7e6 * 0.00018
    assert (
        climbing["own"].parts_usd_per_day["gpus"] == 11 * 48
    )  # 7 M calls: 243 a second at the peak, 9.9 GPUs


def test_batches_are_cheaper_tokens_and_a_flatter_day():
    ways = by_name(basis(workload=work(batch_share=0.5)))
    assert ways["frontier-batch"].day_usd == 37_800 * 0.75
    assert ways["hosted-batch"].day_usd == (7_560 + 1_008) * 0.75
    assert ways["own-batch"].use.peak_rps == pytest.approx(5.6e6 / 86_400 * 1.5)
    patient = by_name(basis(workload=work(batch_share=1.0)))
    assert patient["own-batch"].use.peak_rps == pytest.approx(5.6e6 / 86_400)  # the mean is still to be done


def test_a_fleet_is_as_busy_as_its_calls_make_it():
    use = use_of(OWN, WORK)
    assert (use.gpus, use.replicas, use.spare) == (9, 9, 1)
    assert use.utilisation_peak == pytest.approx(3 * use.utilisation_mean)
    assert use.utilisation_mean == pytest.approx(5.6e6 / 86_400 / (9 * 35))


def test_a_latency_target_binds_where_it_is_stricter_than_the_load():
    strict = OWN._replace(throughput=lambda _: Throughput(saturated_rps=35, within_target_rps=10))
    assert strict.rate(WORK).bound == "latency target"
    assert use_of(strict, WORK).replicas == 21  # 194.4 / 10, and one
    loose = OWN._replace(throughput=lambda _: Throughput(saturated_rps=35, within_target_rps=30))
    assert loose.rate(WORK).planned_rps == 24.5


@pytest.mark.parametrize("peak", [1.0, 1.5, 2.0, 3.0, 10.0])
def test_a_days_profile_has_its_mean_and_its_peak(peak):
    profile = day_profile(peak)
    assert sum(profile) / SEGMENTS == pytest.approx(1)
    assert max(profile) == pytest.approx(peak, rel=0.01)


# By the second.


def test_a_replica_that_is_always_asked_is_always_paid():
    offer = Serverless(usd_per_gpu_second=0.001, cold_start_s=100, keep_warm_s=60)
    day = serverless_day(
        offer,
        work(calls_per_day=1_000_000, peak_factor=1.0, cache_hit_rate=0, frontier_share=0),
        OWN.rate(WORK),
    )
    assert day.gpu_seconds == pytest.approx(86_400, rel=1e-6)  # 11.6 a second: one replica, day and night
    assert day.usd == pytest.approx(86.4)
    assert day.cold_share < 1e-12


def test_rare_calls_each_wait_for_a_start_and_pay_it():
    offer = Serverless(usd_per_gpu_second=0.001, cold_start_s=100, keep_warm_s=60)
    rare = work(calls_per_day=24, peak_factor=1.0, cache_hit_rate=0, frontier_share=0)
    day = serverless_day(offer, rare, OWN.rate(WORK))
    # An hour between calls on the mean: off for 3,600 s, then 100 s of start and 60.5 s until a minute without a call.
    cycles = 86_400 / (3600 + 100 + 60.5)
    assert day.gpu_seconds == pytest.approx(cycles * 160.5, rel=1e-3)
    assert day.cold_share == pytest.approx(cycles * (1 + 100 / 3600) / 24, rel=1e-3)


def test_one_start_serves_all_who_come_while_it_lasts():
    """At ten calls a second and nothing kept warm, a replica is nearly always there or starting: not a start for each call."""
    offer = Serverless(usd_per_gpu_second=0.001, cold_start_s=176, keep_warm_s=0)
    busy = work(calls_per_day=864_000, peak_factor=1.0, cache_hit_rate=0, frontier_share=0)
    day = serverless_day(offer, busy, OWN.rate(WORK))
    assert 86_000 < day.gpu_seconds <= 86_400
    assert day.cold_share > 0.99


def simulated_day(offer, rps, seconds, seed):
    """The same, call by call."""
    draws, now, paid, cold, calls = random.Random(seed), 0.0, 0.0, 0, 0
    alive_until = ready = -1.0
    stays = offer.keep_warm_s + 1 / 35
    while now < seconds:
        now += draws.expovariate(rps)
        calls += 1
        if now > alive_until:
            ready, began = now + offer.cold_start_s, now
            cold += 1
        elif now < ready:
            cold += 1
        until = max(ready, now) + stays if now >= ready else ready + stays
        paid += max(0.0, until - (began if now > alive_until else alive_until))
        alive_until = max(alive_until, until)
    return paid / now, cold / calls


@pytest.mark.parametrize("gap_s", [20, 100, 1000])
def test_it_agrees_with_calls_one_by_one(gap_s):
    offer = Serverless(usd_per_gpu_second=0.001, cold_start_s=100, keep_warm_s=60)
    calls = 86_400 / gap_s
    day = serverless_day(
        offer, work(calls_per_day=calls, peak_factor=1.0, cache_hit_rate=0, frontier_share=0), OWN.rate(WORK)
    )
    paid, cold = simulated_day(offer, 1 / gap_s, gap_s * 20_000, seed=3)
    assert day.gpu_seconds / 86_400 == pytest.approx(paid, rel=0.05)
    assert day.cold_share == pytest.approx(cold, rel=0.08)


def test_scaling_to_zero_wins_at_few_calls_and_loses_at_many():
    few, many = (basis(workload=work(calls_per_day=calls), hosted=None) for calls in (100, 50_000_000))
    assert day_usd("serverless", few) < day_usd("own", few)
    dear = many._replace(serverless=msgspec.structs.replace(many.serverless, usd_per_gpu_second=0.003))
    assert day_usd("serverless", dear) > day_usd("own", dear)


# Spot.


def test_spot_is_cheaper_by_what_is_spot_and_up():
    use = use_of(OWN, WORK)
    day = spot_day(
        Spot(price_factor=0.5, floor_share=0.5, preemptions_per_gpu_hour=0, restart_s=300), OWN, use, WORK
    )
    assert (day.floor_replicas, day.spot_replicas) == (5, 4)
    assert day.usd == pytest.approx(5 * 48 + 4 * 24)
    assert (day.overflow_calls, day.lost_share, day.preemptions) == (0, 0, 0)


def test_what_finds_no_room_overflows():
    """A GPU that is away half of the time, of two without a spare, at a flat full load: a quarter of the calls finds none, half finds one of two."""
    flat = work(calls_per_day=24.5 * 2 * 86_400, peak_factor=1.0, cache_hit_rate=0, frontier_share=0)
    own = OWN._replace(spare=0)
    use = use_of(own, flat)
    assert use.replicas == 2
    day = spot_day(
        Spot(price_factor=0.5, floor_share=0, preemptions_per_gpu_hour=1, restart_s=3600), own, use, flat
    )
    assert day.lost_share == 0.5
    assert day.overflow_calls == pytest.approx((0.25 + 0.5 / 2) * flat.calls_per_day)
    assert day.usd == pytest.approx(2 * 48 * 0.5 * 0.5)


def test_a_floor_of_all_is_the_fleet_itself():
    one = basis(spot=Spot(price_factor=0.1, floor_share=1, preemptions_per_gpu_hour=1, restart_s=3600))
    assert day_usd("spot", one) == day_usd("own", one)


def test_overflow_is_answered_by_the_frontier_where_nothing_else_is_there():
    shaky = Spot(price_factor=0.5, floor_share=0, preemptions_per_gpu_hour=1, restart_s=3600)
    with_hosted, without = by_name(basis(spot=shaky)), by_name(basis(spot=shaky, hosted=None))
    overflow = [one["spot"].parts_usd_per_day["overflow"] for one in (with_hosted, without)]
    assert overflow[1] == pytest.approx(30 * overflow[0])


def test_thousands_of_spot_replicas_are_quick():
    huge = work(calls_per_day=1e11)
    day = spot_day(
        Spot(price_factor=0.5, floor_share=0.1, preemptions_per_gpu_hour=2, restart_s=900),
        OWN,
        use_of(OWN, huge),
        huge,
    )
    assert 0 < day.overflow_calls < 1e11


# Where they cross.


def test_crossings_are_where_the_costs_are_equal():
    whole = basis()
    found = {(one.way, one.than): one.calls_per_day for one in crossings(whole)}
    for way, than in (("own", "frontier"), ("own", "hosted"), ("serverless", "hosted"), ("spot", "hosted")):
        volume = found[way, than]
        assert volume is not None
        for factor in (1.002, 1.5, 2, 5, 20):
            there = at_volume(whole, volume * factor)
            assert day_usd(way, there) <= day_usd(than, there), (way, than, factor)
        just = at_volume(whole, volume * 0.998)
        assert day_usd(way, just) > day_usd(than, just)


def test_each_pair_is_told_once():
    pairs = [frozenset((one.way, one.than)) for one in crossings(basis(workload=work(batch_share=0.3)))]
    assert len(pairs) == len(set(pairs)) == 9 * 8 // 2


def test_no_small_calls_at_all_are_no_division_by_zero():
    alone = basis(workload=work(frontier_share=1.0))
    assert by_name(alone)["own"].day_usd > by_name(alone)["frontier-cache"].day_usd
    assert crossings(alone)
    assert by_name(basis(workload=work(cache_hit_rate=1.0)))["hosted"].day_usd == 0
