"""What a replica's clients wait for at a given rate, and the highest rate at which they wait no longer than they may.

Found by stepping through arrivals (`batching.py`): seeded, so that the same question has the same answer, and with the same draws at every
rate, so that rates compare. Percentiles are over requests.
"""

from __future__ import annotations

import math
from functools import lru_cache

import msgspec
import numpy as np

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.batching import Request, run
from smallfirst.planning.fleet.capacity import saturated
from smallfirst.planning.fleet.server import Load, Server

UTILISATION_MOST = 0.9  # of a saturated replica: above it queues grow with every wave
_REQUESTS, _WARM_SHARE, _TAIL_SHARE = 2000, 0.2, 0.05
_HALVINGS = 9


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds at `requests_per_s` for one replica: to the first token, between tokens (the mean of each request), in all.

    `utilisation` is of the saturated rate; from 1 on the queue grows without end, and the percentiles are those of the first 2,000 requests, no more.
    """

    requests_per_s: float
    utilisation: float
    ttft_p50_ms: float
    ttft_p95_ms: float
    between_p50_ms: float
    between_p95_ms: float
    total_p50_ms: float
    total_p95_ms: float

    @property
    def stable(self) -> bool:
        return self.utilisation < 1


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """What 95 of 100 requests may wait, in milliseconds; None: as long as it takes."""

    ttft_p95_ms: float | None = None
    total_p95_ms: float | None = None
    between_p95_ms: float | None = None

    def checked(self) -> Target:
        """Itself. Raises `ConfigError` that names the field which cannot be."""
        for name in self.__struct_fields__:
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise ConfigError(f"expected milliseconds above 0, not {value:g}", path=name)
        return self

    def met(self, latency: Latency) -> bool:
        """Whether nobody but the slowest 5 % waits longer."""
        limits = (
            (self.ttft_p95_ms, latency.ttft_p95_ms),
            (self.total_p95_ms, latency.total_p95_ms),
            (self.between_p95_ms, latency.between_p95_ms),
        )
        return all(most is None or waited <= most for most, waited in limits)


def served(
    server: Server, load: Load, rate_per_s: float | None = None, *, turns: int = 1, seed: int = 0
) -> Latency:
    """What requests wait for at one replica that gets `rate_per_s` of them (default: the load's own rate).

    `turns`: how many replicas share a stream and take turns; each then sees steadier arrivals than of a stream of its own. Balancing by least load is
    approximated so. Raises `ConfigError` where the rate is not above 0, or the model does not fit.
    """
    rate = load.requests_per_s if rate_per_s is None else rate_per_s
    if not (math.isfinite(rate) and rate > 0):
        raise ConfigError(f"expected a rate above 0 requests a second, not {rate:g}", path="requests_per_s")
    full = saturated(server, load).requests_per_s
    requests = _requests(load, rate, turns, seed)
    times = run(server, requests)
    kept = slice(int(_WARM_SHARE * len(requests)), int((1 - _TAIL_SHARE) * len(requests)))
    arrival = np.array([request.arrival_s for request in requests])[kept]
    first, last = np.array(times.first_s)[kept], np.array(times.last_s)[kept]
    grown = np.array([max(1, round(request.output_tokens) - 1) for request in requests])[kept]
    outside_ms = server.efficiency.request_ms
    ttft, total = outside_ms + 1000 * (first - arrival), outside_ms + 1000 * (last - arrival)
    between = 1000 * (last - first) / grown
    half, most = 50, 95
    return Latency(
        requests_per_s=rate,
        utilisation=rate / full,
        ttft_p50_ms=float(np.percentile(ttft, half)),
        ttft_p95_ms=float(np.percentile(ttft, most)),
        between_p50_ms=float(np.percentile(between, half)),
        between_p95_ms=float(np.percentile(between, most)),
        total_p50_ms=float(np.percentile(total, half)),
        total_p95_ms=float(np.percentile(total, most)),
    )


def rate_within(server: Server, load: Load, target: Target, *, seed: int = 0) -> float:
    """The highest rate of requests a second at which one replica keeps the target; 0 where not even an idle one keeps it.

    Never more than `UTILISATION_MOST` of the saturated rate.
    """
    target.checked()
    most = UTILISATION_MOST * saturated(server, load).requests_per_s
    return _rate_within(server, load, target, most, seed)


def why_not_kept(server: Server, load: Load, target: Target) -> str:
    """Why no number of replicas keeps a target: what 95 of 100 requests wait for at an idle one, in words."""
    idle = served(server, load, 0.01 * saturated(server, load).requests_per_s)
    limits = [
        f"{waited:,.0f} ms {what} where {most:,.0f} are allowed"
        for what, waited, most in (
            ("to the first token", idle.ttft_p95_ms, target.ttft_p95_ms),
            ("in all", idle.total_p95_ms, target.total_p95_ms),
            ("between tokens", idle.between_p95_ms, target.between_p95_ms),
        )
        if most is not None and waited > most
    ]
    return (
        f"no number of {server.gpu.name} keeps the target: even an idle one takes {' and '.join(limits) or 'longer'} for 95 of 100 requests; "
        "try a faster GPU, fp8, more GPUs a replica, a smaller model, or shorter answers"
    )


def idle_rate(saturated_rps: float) -> float:
    """The least rate that `rate_within` looks at: a replica that does not keep a target then never does."""
    return 0.01 * (UTILISATION_MOST * saturated_rps)


@lru_cache(maxsize=256)
def _rate_within(server: Server, load: Load, target: Target, most: float, seed: int) -> float:
    if target.met(served(server, load, most, seed=seed)):
        return most
    low, high = 0.01 * most, most
    if not target.met(served(server, load, low, seed=seed)):
        return 0.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if target.met(served(server, load, middle, seed=seed)):
            low = middle
        else:
            high = middle
    return low


def _requests(load: Load, rate: float, turns: int, seed: int) -> list[Request]:
    """A stream's requests, drawn and then scaled, so that another rate has the same draws. Lengths come before gaps: how many draws these take hangs
    on their shape, and who takes turns is asked the same.
    """
    draws = np.random.default_rng(seed)
    inputs, outputs = [_lengths(mean, load.spread, draws) for mean in (load.input_tokens, load.output_tokens)]
    shape = turns / load.burst if load.burst > 0 else math.inf
    gaps = draws.gamma(shape, 1 / shape, _REQUESTS) if math.isfinite(shape) else np.ones(_REQUESTS)
    arrivals = np.cumsum(gaps) / rate
    shared = load.input_tokens - load.prefilled_tokens
    return [
        Request(float(arrival), float(read), float(grown), min(shared, float(read) - 1))
        for arrival, read, grown in zip(arrivals, inputs, outputs, strict=True)
    ]


def _lengths(mean: float, spread: float, draws: np.random.Generator) -> np.ndarray:
    """Log-normal lengths of that mean, at least one token each."""
    if spread == 0:
        return np.full(_REQUESTS, mean)
    sigma = math.sqrt(math.log1p(spread**2))
    return np.maximum(1, np.round(mean * np.exp(sigma * draws.standard_normal(_REQUESTS) - sigma**2 / 2)))
