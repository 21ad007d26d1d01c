"""The user's own GPUs: what a replica takes, how many are bought for the peak, and what that costs a call. A full GPU is priced beside it."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

import msgspec

from smallfirst.planning.costs.exact import (
    HOURS_PER_DAY,
    SECONDS_PER_DAY,
    SECONDS_PER_HOUR,
    Number,
    ceiling,
    exact,
)
from smallfirst.planning.costs.workload import Workload


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica answers of a workload's calls: a second, with its queue never empty, and as many as keep the latency target (None: none is
    set).
    """

    saturated_rps: float
    within_target_rps: float | None = None


class Rate(msgspec.Struct, frozen=True, kw_only=True):
    """What one replica is given in the busiest hour, and which of load and latency target was the `bound`."""

    saturated_rps: float
    planned_rps: float
    bound: str


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of the calls that a replica answers. `at` says at what rate."""

    at: str
    ttft_p50_ms: float
    ttft_p95_ms: float
    total_p50_ms: float
    total_p95_ms: float


class Own(NamedTuple):
    """A kind of replica. `throughput` is asked for each workload: other lengths make another rate. `load` is the share of it that a replica is
    given in the busiest hour. `latency`, where there is a model of it, is asked with a workload, the calls a second that one replica gets, and how
    many replicas take turns. `offers_usd_per_hour` are those that an assumed price is the middle of.
    """

    model: str
    gpu: str
    usd_per_hour: Number  # of one GPU
    throughput: Callable[[Workload], Throughput]
    load: float = 0.7
    gpus_per_replica: int = 1
    spare: int = 1
    latency: Callable[[Workload, float, int], Latency] | None = None
    offers_usd_per_hour: tuple[float, ...] = ()
    source: str = "given"

    def rate(self, workload: Workload) -> Rate:
        """What a replica is given of a workload."""
        found = self.throughput(workload)
        by_load = float(exact(found.saturated_rps) * exact(self.load))
        within = found.within_target_rps
        if within is not None and within < by_load:
            return Rate(saturated_rps=found.saturated_rps, planned_rps=within, bound="latency target")
        return Rate(saturated_rps=found.saturated_rps, planned_rps=by_load, bound=f"{self.load:.0%} load")

    @property
    def replica_usd_per_day(self) -> Fraction:
        """What a replica costs a day, used or not."""
        return exact(self.usd_per_hour) * self.gpus_per_replica * HOURS_PER_DAY


class Use(msgspec.Struct, frozen=True, kw_only=True):
    """A fleet: how many GPUs, and how busy. Utilisation is of what the working replicas and the spare could take, saturated."""

    gpus: int
    replicas: int
    spare: int
    peak_rps: float
    saturated_rps: float  # of one replica
    planned_rps: float
    bound: str
    utilisation_mean: float
    utilisation_peak: float
    latency: tuple[Latency, ...] = ()


def given_throughput(rps: float) -> Callable[[Workload], Throughput]:
    """A rate that was measured or assumed, whatever the lengths."""
    found = Throughput(saturated_rps=rps)
    return lambda _: found


def saturated_call_usd(usd_per_hour: Number, rps: Number, *, gpus_per_replica: int = 1) -> float:
    """What a call costs on a replica that is full day and night, in dollars. Nobody has one: it is the floor under the price of a fleet."""
    return float(exact(usd_per_hour) * gpus_per_replica / SECONDS_PER_HOUR / exact(rps))


def replicas_for(peak_rps: Number, planned_rps: Number, *, spare: int = 1) -> int:
    """Whole replicas for the busiest hour, and the spare ones."""
    return max(1, ceiling(exact(peak_rps) / exact(planned_rps))) + spare


def provisioned_call_usd(
    calls_per_day: Number,
    *,
    usd_per_hour: Number,
    rps: Number,
    peak_factor: Number = 1,
    load: Number = 1,
    spare: int = 0,
) -> float:
    """What a call costs on GPUs that are bought for the peak and paid every hour, in dollars: each takes `load` of `rps` in the busiest hour."""
    peak = exact(calls_per_day) / SECONDS_PER_DAY * exact(peak_factor)
    gpus = replicas_for(peak, exact(rps) * exact(load), spare=spare)
    return float(gpus * exact(usd_per_hour) * HOURS_PER_DAY / exact(calls_per_day))


def use_of(own: Own, workload: Workload, *, peak_rps: Fraction | None = None) -> Use:
    """The fleet for a workload. `peak_rps` where it is not the workload's own: batches are put into the valleys."""
    rate = own.rate(workload)
    peak = workload.small_peak_rps if peak_rps is None else peak_rps
    replicas = replicas_for(peak, rate.planned_rps, spare=own.spare)
    capacity = replicas * exact(rate.saturated_rps)
    return Use(
        gpus=replicas * own.gpus_per_replica,
        replicas=replicas,
        spare=own.spare,
        peak_rps=float(peak),
        saturated_rps=rate.saturated_rps,
        planned_rps=rate.planned_rps,
        bound=rate.bound,
        utilisation_mean=float(workload.small_rps / capacity),
        utilisation_peak=float(peak / capacity),
    )


def with_latency(use: Use, own: Own, workload: Workload) -> Use:
    """The same, with what its calls take: in the busiest hour with the spare replicas gone, and on the mean of the day with all of them there."""
    if own.latency is None or not use.peak_rps:
        return use
    working = use.replicas - use.spare
    asked = {
        "peak, spare gone": (use.peak_rps / working, working),
        "mean": (float(workload.small_rps) / use.replicas, use.replicas),
    }
    found = tuple(
        msgspec.structs.replace(own.latency(workload, rps, replicas), at=at)
        for at, (rps, replicas) in asked.items()
    )
    return msgspec.structs.replace(use, latency=found)
