"""A plan's figures for tests: ten million calls of 800/200 tokens a day, h = 30 %, f = 20 %, at prices that a hand can reckon with."""

from __future__ import annotations

import msgspec

from smallfirst.planning.costs.basis import Basis
from smallfirst.planning.costs.own import Own, given_throughput
from smallfirst.planning.costs.quote import read_quote, with_batch
from smallfirst.planning.costs.serverless import Serverless
from smallfirst.planning.costs.spot import Spot
from smallfirst.planning.costs.workload import Workload

WORK = Workload(
    calls_per_day=10_000_000, input_tokens=800, output_tokens=200, frontier_share=0.2, cache_hit_rate=0.3
)
OWN = Own("8b", "H100", 2, given_throughput(35))


def basis(**changed) -> Basis:
    def quote(text):
        return with_batch(read_quote(text, option="--x", input_tokens=800), 0.5, option="--x")

    whole = Basis(
        workload=WORK,
        frontier=quote("3/15"),
        hosted=quote("0.1/0.5"),
        own=OWN,
        serverless=Serverless(usd_per_gpu_second=0.001, cold_start_s=176, keep_warm_s=60),
        spot=Spot(price_factor=0.5, floor_share=0.5, preemptions_per_gpu_hour=0.02, restart_s=300),
    )
    return whole._replace(**changed)


def work(**changed) -> Workload:
    return msgspec.structs.replace(WORK, **changed)
