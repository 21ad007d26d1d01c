"""One rate's run: requests are sent when they are due, whether or not those before them have been answered.

A client that waits for answers sends less to an endpoint that is slow, and never sees the queue that real users would stand in. Here
arrivals are a Poisson stream drawn before, and every wait is counted from when its request was due, also where the sender itself was late.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from smallfirst.planning.fleet.calibrate.endpoint import Endpoint
from smallfirst.planning.fleet.calibrate.engine_metrics import EngineMetrics, Seen, engine_seen
from smallfirst.planning.fleet.calibrate.plan import Plan
from smallfirst.planning.fleet.calibrate.point import Point, Shot
from smallfirst.planning.fleet.calibrate.prompts import Prompts, TokenRate

_WARM_SHARE = 0.2
_MOST_AT_ONCE, _OTHER_FILES = 4096, 256
_LEAD_S, _LOOK_S = 0.05, 0.25


class Offer(msgspec.Struct, frozen=True, kw_only=True):
    """What is sent at one rate: for `seconds`, of which the first fifth is not counted; then `drain_s` more for answers to end."""

    rate_per_s: float
    seconds: float
    drain_s: float
    requests: tuple[tuple[Shot, bytes], ...]


def offer_of(
    endpoint: Endpoint, plan: Plan, prompts: Prompts, rate: TokenRate, *, rate_per_s: float, seconds: float
) -> Offer:
    """A Poisson stream of that rate, all its prompts made before the first is sent."""
    draws = np.random.default_rng([plan.seed, round(rate_per_s * 1e6)])
    lengths = plan.lengths
    due = _arrivals(rate_per_s, seconds, draws)
    shared = rate.words(lengths.shared_tokens) if lengths.shared_tokens > rate.fixed_tokens else 0
    requests = []
    for due_s, (read, written) in zip(due, lengths.drawn(len(due), draws), strict=True):
        prompt = prompts.make(rate.words(read), shared_words=shared)
        shot = Shot(due_s=due_s, input_tokens=read, output_tokens=written, wanted_tokens=written)
        requests.append((shot, endpoint.body(prompt, written)))
    return Offer(rate_per_s=rate_per_s, seconds=seconds, drain_s=seconds, requests=tuple(requests))


async def run_offer(
    endpoint: Endpoint,
    offer: Offer,
    metrics: EngineMetrics,
    told: Callable[[int, int], None] = lambda *_: None,
) -> Point:
    """Sends it all, waits for what ends in time, and gives up the rest. `told` hears how many of how many have been sent."""
    loop = asyncio.get_running_loop()
    start_s = loop.time() + _LEAD_S

    def now() -> float:
        return loop.time() - start_s

    looks: list[Seen] = []
    watching = asyncio.create_task(metrics.watch(looks))
    tasks: list[asyncio.Task[None]] = []
    try:
        stopped = await _send(endpoint, offer, tasks, now, told)
        if tasks:
            await asyncio.wait(tasks, timeout=max(0.0, offer.seconds + offer.drain_s - now()))
    finally:
        ended_s = now()
        await _end(tasks, watching)
    seconds = offer.seconds if not stopped else max(now_due(offer, len(tasks)), 1e-3)
    return Point(
        rate_per_s=offer.rate_per_s,
        seconds=seconds,
        warm_s=_WARM_SHARE * seconds,
        ended_s=ended_s,
        shots=tuple(shot for shot, _ in offer.requests[: len(tasks)]),
        engine=engine_seen(looks),
        stopped=stopped,
    )


def now_due(offer: Offer, sent: int) -> float:
    """Until when requests were sent, where not all were."""
    return offer.requests[sent - 1][0].due_s if sent else 0.0


async def _send(
    endpoint: Endpoint,
    offer: Offer,
    tasks: list[asyncio.Task[None]],
    now: Callable[[], float],
    told: Callable[[int, int], None],
) -> str:
    """Sends each request when it is due. Why it stopped before the last: with so many under way, nothing is learned by more."""
    most, under_way = _most_at_once(), 0

    def ended(_task: asyncio.Task[None]) -> None:
        nonlocal under_way
        under_way -= 1

    for shot, body in offer.requests:
        while (wait_s := shot.due_s - now()) > 0:
            await asyncio.sleep(min(wait_s, _LOOK_S))
            told(len(tasks), len(offer.requests))
        if under_way >= most:
            return f"{most:,} requests were under way at once"
        task = asyncio.create_task(endpoint.ask(body, shot, now))
        under_way += 1
        task.add_done_callback(ended)
        tasks.append(task)
    return ""


async def _end(tasks: Sequence[asyncio.Task[None]], watching: asyncio.Task[None]) -> None:
    for task in (*tasks, watching):
        task.cancel()
    for task in (*tasks, watching):
        with contextlib.suppress(asyncio.CancelledError):
            await task


def _arrivals(rate_per_s: float, seconds: float, draws: np.random.Generator) -> list[float]:
    """Times of a Poisson stream within the span, given how many come: as many as the rate says, so that chance does not offer more or less."""
    return sorted(float(each) for each in draws.uniform(0, seconds, max(1, round(rate_per_s * seconds))))


def _most_at_once() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return (
        max(16, min(_MOST_AT_ONCE, soft - _OTHER_FILES)) if soft != resource.RLIM_INFINITY else _MOST_AT_ONCE
    )
