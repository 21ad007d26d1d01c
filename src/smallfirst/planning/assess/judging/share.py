"""A share of calls, as it was measured on a sample."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable

import msgspec

from smallfirst.statistics.binomial import wilson

_Z = 1.96  # 95 percent, two-sided


class Share(msgspec.Struct, frozen=True):
    """In [0, 1], with a 95 % interval."""

    value: float
    low: float
    high: float
    of: int


def share(count: int, of: int) -> Share | None:
    """With Wilson's interval; None of nothing."""
    if not of:
        return None
    low, high = wilson(count, of)
    return Share(count / of, round(low, 6), round(high, 6), of)


def unseen(counts: Iterable[int], of: int) -> Share | None:
    """The share of calls of kinds that a sample of `of` lacks, by how often each kind came in it: as large as that of the kinds that came once
    (Good, Biometrika 40 (1953)). The interval is Esty's (Annals of Statistics 11 (1983)), for a binomial one is too narrow: the kinds that came
    twice make it wider. None of nothing.
    """
    if not of:
        return None
    seen = Counter(counts)
    once, twice = seen[1], seen[2]
    part = once / of
    half = _Z * math.sqrt(once * (1 - part) + 2 * twice) / of
    most = max(part + half, wilson(0, of)[1])
    return Share(part, round(max(0.0, part - half), 6), round(min(1.0, most), 6), of)


def covering(counts: list[int], part: float) -> int:
    """How many of the largest counts make up `part` of their sum."""
    wanted, seen = part * sum(counts), 0
    for number, count in enumerate(sorted(counts, reverse=True), start=1):
        seen += count
        if seen >= wanted - 1e-9:
            return number
    return len(counts)
