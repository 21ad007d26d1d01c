"""Which rates are measured: those that were named, or doubled until the endpoint falls behind and then halved in between. Within bounds."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from smallfirst.planning.fleet.calibrate.endpoint import Endpoint, Known
from smallfirst.planning.fleet.calibrate.engine_metrics import EngineMetrics
from smallfirst.planning.fleet.calibrate.open_loop import offer_of, run_offer
from smallfirst.planning.fleet.calibrate.plan import LEAST_RATE, MOST_RATE, Plan
from smallfirst.planning.fleet.calibrate.point import Point, summary_of
from smallfirst.planning.fleet.calibrate.prompts import Prompts

_BISECTIONS, _NEAR = 3, 1.15
_FIRST_SHARE = 0.25  # of what the endpoint does one call after the other
_IDLE_S, _MINUTE_S = 20.0, 60.0
_MOST_PROMPT_TOKENS = 100_000_000  # of one rate: its prompts are made before the first is sent


class Swept(NamedTuple):
    """What is measured: an endpoint, what is known of it, and what is sent there."""

    endpoint: Endpoint
    known: Known
    plan: Plan
    prompts: Prompts


class Watch(NamedTuple):
    """Who hears of a sweep: `keep` each point as soon as it is there, `told` the step, what is done of it and how much there is; `should_stop` says
    before each rate whether it is the end.
    """

    keep: Callable[[Point], None]
    told: Callable[[str, int, int], None]
    should_stop: Callable[[], bool]


def first_rate_of(plan: Plan, known: Known) -> float:
    """A rate that an endpoint bears: a quarter of what it does one call after the other."""
    if plan.first_rate is not None:
        return plan.first_rate
    return min(MOST_RATE, max(LEAST_RATE, float(f"{_FIRST_SHARE / alone_s(plan, known):.2g}")))


def alone_s(plan: Plan, known: Known) -> float:
    """Seconds that an answer takes alone, about: the prompt's part is not known yet."""
    return max(1e-3, known.first_s + known.token_s * plan.lengths.output_tokens)


def next_rate(plan: Plan, first: float, points: Sequence[Point]) -> float | None:
    """The rate to measure after these; None: it is enough."""
    done = {point.rate_per_s for point in points}
    if plan.rates:
        return next((rate for rate in plan.rates if rate not in done), None)
    if not points:
        return first
    full = {point.rate_per_s: summary_of(point).saturated or bool(point.stopped) for point in points}
    behind = [rate for rate, saturated in full.items() if saturated]
    if not behind:
        highest = 2 * max(done)
        return _rounded(highest) if highest <= MOST_RATE else None
    high = min(behind)
    below = [rate for rate, saturated in full.items() if not saturated and rate < high]
    if not below:
        return _rounded(high / 2) if high / 2 > max(LEAST_RATE, first / 64) else None
    low = max(below)
    halved = sum(not _is_doubled(rate, first) for rate in done)
    middle = _rounded(math.sqrt(low * high))
    return middle if high / low > _NEAR and halved < _BISECTIONS and middle not in done else None


async def run_sweep(swept: Swept, points: list[Point], watch: Watch) -> str:
    """Measures what is left to measure, and adds each point to `points` as soon as it is there.

    Why it ended: empty where the sweep is complete.
    """
    endpoint, known, plan, prompts = swept
    loop = asyncio.get_running_loop()
    metrics = EngineMetrics(endpoint.session, endpoint.base_url)
    first = min((point.rate_per_s for point in points), default=first_rate_of(plan, known))
    begun_s = loop.time()
    while (rate := next_rate(plan, first, points)) is not None:
        if watch.should_stop():
            return "stopped by hand"
        seconds = plan.seconds_at(rate, alone_s(plan, known))
        if why := _too_much(plan, points, rate, seconds, loop.time() - begun_s):
            return why
        offer = offer_of(endpoint, plan, prompts, known.rate, rate_per_s=rate, seconds=seconds)
        step = f"{rate:g} a second"
        point = await run_offer(
            endpoint, offer, metrics, lambda sent, of, step=step: watch.told(step, sent, of)
        )
        points.append(point)
        watch.keep(point)
        await metrics.until_idle(_IDLE_S)
    return ""


def _too_much(plan: Plan, points: Sequence[Point], rate: float, seconds: float, gone_s: float) -> str:
    bounds, calls = plan.bounds, sum(len(point.shots) for point in points)
    more = rate * seconds
    if calls + more > bounds.calls:
        return f"{rate:g} a second for {seconds:g} s would be more than {bounds.calls:,} calls in all (--max-calls)"
    if more * plan.lengths.input_tokens > _MOST_PROMPT_TOKENS:
        return f"{rate:g} a second for {seconds:g} s would be more than {_MOST_PROMPT_TOKENS:,} tokens of prompts at once: take fewer --seconds"
    if gone_s + seconds > bounds.minutes * _MINUTE_S:
        return f"{rate:g} a second for {seconds:g} s would take longer than {bounds.minutes:g} minutes in all (--max-minutes)"
    if bounds.usd is not None:
        spent = usd_of(plan, points)
        after = spent + more * bounds.usd_of(plan.lengths.input_tokens, plan.lengths.output_tokens)
        if after > bounds.usd:
            return (
                f"{rate:g} a second would come to ${after:.2f} in all, more than ${bounds.usd:g} (--max-usd)"
            )
    return ""


def usd_of(plan: Plan, points: Sequence[Point]) -> float:
    """What was asked so far costs by the price that was given. What was given up counts whole."""
    shots = [shot for point in points for shot in point.shots]
    return plan.bounds.usd_of(
        sum(shot.input_tokens for shot in shots), sum(shot.output_tokens for shot in shots)
    )


def _is_doubled(rate: float, first: float) -> bool:
    steps = math.log2(rate / first)
    return abs(steps - round(steps)) < 0.02


def _rounded(rate: float) -> float:
    return float(f"{rate:.3g}")
