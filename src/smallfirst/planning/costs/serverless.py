"""GPUs by the second: replicas come with the calls and go when none come; a first call waits for a cold start.

While one replica suffices it lives until no call has come for T (a call's own time and `keep_warm_s`), and who then comes first waits for the
start, with all who come while it lasts. With Poisson arrivals at rate λ and a start of C seconds, such a cycle is C + (e^(λT) − 1) / λ seconds of a
paid replica and then 1 / λ of none. Above one, whole replicas follow the day's profile without delay, each started once a day. A start is paid.
"""

from __future__ import annotations

import math

import msgspec

from smallfirst.planning.costs.exact import SECONDS_PER_DAY
from smallfirst.planning.costs.own import Rate
from smallfirst.planning.costs.profile import SEGMENTS, day_profile
from smallfirst.planning.costs.workload import Workload


class Serverless(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider of GPUs by the second charges, and how fast it starts one."""

    usd_per_gpu_second: float
    cold_start_s: float
    keep_warm_s: float
    gpus_per_replica: int = 1


class ServerlessDay(msgspec.Struct, frozen=True, kw_only=True):
    """A day of it. `cold_share` of the calls wait for a start."""

    usd: float
    gpu_seconds: float
    cold_share: float
    most_replicas: int


def serverless_day(offer: Serverless, workload: Workload, rate: Rate) -> ServerlessDay:
    """What the workload's small calls cost a day, in dollars."""
    mean_rps, planned = float(workload.small_rps), rate.planned_rps
    step_s = SECONDS_PER_DAY / SEGMENTS
    stays_s = offer.keep_warm_s + 1 / rate.saturated_rps
    seconds = cold = 0.0
    most = 1
    for share in day_profile(workload.peak_factor):
        rps = mean_rps * share
        replicas = max(1, math.ceil(rps / planned - 1e-9))
        most = max(most, replicas)
        alone = math.exp(-rps * stays_s) if replicas == 1 else 0.0  # no call within T before this one
        within = rps * offer.cold_start_s  # calls that come while one starts
        cycle = 1 + within * alone
        seconds += replicas * step_s * (1 - alone / cycle)
        cold += rps * step_s * (1 + within) * alone / cycle
    seconds += (most - 1) * offer.cold_start_s
    seconds *= offer.gpus_per_replica
    calls = mean_rps * SECONDS_PER_DAY
    return ServerlessDay(
        usd=seconds * offer.usd_per_gpu_second,
        gpu_seconds=seconds,
        cold_share=min(1.0, cold / calls) if calls else 0.0,
        most_replicas=most,
    )
