"""Histograms on a logarithmic scale: sixteen buckets to each doubling, so that a quantile is known to within
4.5 percent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

BUCKETS_PER_DOUBLING = 16
_LEAST = -1  # the bucket of 0, and of what is below 1


def bucket(value: float) -> int:
    """The bucket of a value: whole numbers of microseconds, or of tokens."""
    return int(math.log2(value) * BUCKETS_PER_DOUBLING) if value >= 1 else _LEAST


def middle(number: int) -> float:
    """The geometric middle of a bucket."""
    return 0.0 if number == _LEAST else 2 ** ((number + 0.5) / BUCKETS_PER_DOUBLING)


def upper(number: int) -> int:
    """A whole number that nothing in the bucket exceeds."""
    return 0 if number == _LEAST else math.ceil(2 ** ((number + 1) / BUCKETS_PER_DOUBLING))


def quantile(histogram: Iterable[tuple[int, int]], q: float) -> int | None:
    """The bucket that holds the `q` quantile of (bucket, count) pairs; None where there are none."""
    counts = sorted(histogram)
    rank = q * sum(count for _, count in counts)
    seen = 0
    for number, count in counts:
        seen += count
        if seen >= rank:
            return number
    return None
