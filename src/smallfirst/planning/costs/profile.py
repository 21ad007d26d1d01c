"""How the calls of a day are spread over its hours, where only the peak is known.

The rate follows ((1 + cos θ) / 2)^γ over the day, one peak and one valley, with γ such that the peak is `peak_factor` times the mean: flat for 1, a
plain cosine for 2. It is an assumption, and only what is paid by the second or lost by preemption depends on it.
"""

from __future__ import annotations

import math
from functools import lru_cache

SEGMENTS = 96  # quarters of an hour


@lru_cache(maxsize=256)
def day_profile(peak_factor: float) -> tuple[float, ...]:
    """The rate in each quarter of an hour, as a multiple of the mean; their mean is 1."""
    gamma = _gamma(peak_factor)
    shape = [((1 + math.cos(2 * math.pi * (n + 0.5) / SEGMENTS)) / 2) ** gamma for n in range(SEGMENTS)]
    mean = math.fsum(shape) / SEGMENTS
    return tuple(rate / mean for rate in shape)


def _gamma(peak_factor: float) -> float:
    """The mean of ((1 + cos θ) / 2)^γ is Γ(γ + ½) / (√π Γ(γ + 1)); it falls with γ, and the peak is 1."""
    low, high = 0.0, 1.0
    while _peak(high) < peak_factor and high < 1e6:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _peak(middle) < peak_factor else (low, middle)
    return (low + high) / 2


def _peak(gamma: float) -> float:
    return math.sqrt(math.pi) * math.exp(math.lgamma(gamma + 1) - math.lgamma(gamma + 0.5))
