"""GPUs that are taken away: some of the fleet is bought by the hour, the rest is spot, and what does not fit overflows to a model sold by the token.

Each spot replica is preempted `preemptions_per_gpu_hour` times an hour for each of its GPUs and back after `restart_s`: it is there for 1 / (1 +
q·T) of the time, each independently of the others. That is the kind assumption: a market that takes one takes more.
"""

from __future__ import annotations

import math

import msgspec

from smallfirst.planning.costs.exact import HOURS_PER_DAY, SECONDS_PER_DAY, SECONDS_PER_HOUR, ceiling, exact
from smallfirst.planning.costs.own import Own, Use
from smallfirst.planning.costs.profile import SEGMENTS, day_profile
from smallfirst.planning.costs.workload import Workload

_SIGMAS, _MOST_TERMS = 9, 150


class Spot(msgspec.Struct, frozen=True, kw_only=True):
    """`price_factor` is a spot hour's price as a share of an hour's; at least `floor_share` of the replicas are not spot."""

    price_factor: float
    floor_share: float
    preemptions_per_gpu_hour: float
    restart_s: float


class SpotDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day of it. `overflow_calls` found no room; `lost_share` of the spot capacity is missing on the mean."""

    usd: float
    floor_replicas: int
    spot_replicas: int
    lost_share: float
    preemptions: float
    overflow_calls: float


def spot_day(offer: Spot, own: Own, use: Use, workload: Workload) -> SpotDay:
    """What a fleet of `use.replicas` costs a day where some are spot, in dollars without the overflow."""
    floor = min(use.replicas, ceiling(exact(offer.floor_share) * use.replicas))
    spot = use.replicas - floor
    away = offer.preemptions_per_gpu_hour * own.gpus_per_replica * offer.restart_s / SECONDS_PER_HOUR
    lost = away / (1 + away)
    chances = _binomial(spot, 1 - lost)
    mean_rps, step_s = float(workload.small_rps), SECONDS_PER_DAY / SEGMENTS
    overflow = math.fsum(
        step_s * chance * max(0.0, mean_rps * share - (floor + there) * use.planned_rps)
        for share in day_profile(workload.peak_factor)
        for there, chance in chances
    )
    hour_usd = float(own.usd_per_hour) * own.gpus_per_replica
    return SpotDay(
        usd=HOURS_PER_DAY * hour_usd * (floor + spot * offer.price_factor * (1 - lost)),
        floor_replicas=floor,
        spot_replicas=spot,
        lost_share=lost,
        preemptions=HOURS_PER_DAY * spot * own.gpus_per_replica * offer.preemptions_per_gpu_hour * (1 - lost),
        overflow_calls=overflow,
    )


def _binomial(n: int, p: float) -> list[tuple[int, float]]:
    """(how many are there, its probability), without what is as good as impossible; for thousands of replicas their mean, from which they hardly
    stray.
    """
    if p >= 1 or n == 0:
        return [(n, 1.0)]
    mean, half = n * p, _SIGMAS * math.sqrt(n * p * (1 - p)) + 10
    if half > _MOST_TERMS:
        return [(round(mean), 1.0)]
    log_p, log_q, log_n = math.log(p), math.log1p(-p), math.lgamma(n + 1)
    found = []
    for k in range(max(0, math.floor(mean - half)), min(n, math.ceil(mean + half)) + 1):
        ways = log_n - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        found.append((k, math.exp(ways + k * log_p + (n - k) * log_q)))
    return found
