"""When the simulated model speaks: a seeded time to the first token, then a steady pace."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

from .settings import Latency


@dataclass(frozen=True, slots=True)
class Pace:
    """The timing of one answer, drawn before it starts."""

    headers_s: float
    first_token_s: float
    seconds_per_token: float

    def spent_tokens(self, elapsed_s: float, limit: int) -> int:
        """How many of ``limit`` tokens are made in ``elapsed_s`` of steady generation."""
        if elapsed_s <= 0:
            return 0
        if self.seconds_per_token <= 0:
            return limit
        return min(limit, int(elapsed_s / self.seconds_per_token))


def draw_pace(latency: Latency, rng: Random) -> Pace:
    """The pace of one answer: lognormal time to first token around the configured median."""
    spread = math.exp(latency.ttft_sigma * rng.gauss(0, 1)) if latency.ttft_sigma else 1.0
    per_token_s = 1 / latency.tokens_per_second if latency.tokens_per_second > 0 else 0.0
    return Pace(latency.latency_ms / 1000, latency.ttft_ms / 1000 * spread, per_token_s)
