"""What share of a feature's calls a cache could answer."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.planning.assess.feature import Feature
from smallfirst.planning.assess.judging.share import Share, share
from smallfirst.planning.assess.observed import Observed

_ALIKE = 0.9  # cosine of wordllama's vectors from which two questions may be one in other words
_LEAST = 50
_S_PER_HOUR = 3600


class Cacheable(msgspec.Struct, frozen=True, kw_only=True):
    """`exact`: calls whose request had come before, anywhere in the stream: what an exact cache answers, were it to keep answers for as long as the
    stream is; None where nothing is known of the requests. `within_ttl` is what it answers at least where it keeps them for `ttl_hours`, counted
    over all calls that say their time; None where none does. `semantic_high` is exact and those of the sample whose most alike other input is so near
    that a semantic cache might answer; `semantic_agree` how many of those pairs have the same answer. The proven share lies between exact and that,
    and `smallfirst cache eval` measures it.
    """

    exact: float | None
    span_hours: int
    within_ttl: float | None = None
    ttl_hours: float = limits.CACHE_TTL_S / _S_PER_HOUR
    semantic_high: float | None = None
    semantic_agree: Share | None = None

    @property
    def hit_rates(self) -> tuple[float, float]:
        """What an exact cache answers, at least and at most; 0 where nothing is known."""
        most = self.exact or 0.0
        if self.within_ttl is None or self.span_hours <= self.ttl_hours:
            return most, most
        return min(most, self.within_ttl), most


def cacheable_of(
    feature: Feature,
    calls: Sequence[Observed],
    inputs: Sequence[str],
    vectors: np.ndarray,
    *,
    span_hours: int,
) -> Cacheable:
    exact, within_ttl = _exact(feature), _within_ttl(feature)
    rows = [at for at, text in enumerate(inputs) if text.strip()]
    if exact is None or len(rows) < _LEAST:
        return Cacheable(exact=exact, span_hours=span_hours, within_ttl=within_ttl)
    first: dict[str, int] = {}
    distinct = [at for at in rows if first.setdefault(inputs[at], at) == at]
    pairs = _pairs(distinct, vectors)
    agree = [
        calls[left].answer.strip() == calls[right].answer.strip()
        for left, right in pairs
        if calls[left].answer and calls[right].answer
    ]
    near = len(pairs) / len(distinct) if distinct else 0.0
    return Cacheable(
        exact=exact,
        span_hours=span_hours,
        within_ttl=within_ttl,
        semantic_high=min(1.0, exact + (1 - exact) * near),
        semantic_agree=share(sum(agree), len(agree)),
    )


def _exact(feature: Feature) -> float | None:
    return max(0.0, 1 - feature.distinct_requests / feature.requests) if feature.requests else None


def _within_ttl(feature: Feature) -> float | None:
    return feature.repeated_requests / feature.dated_requests if feature.dated_requests else None


def _pairs(rows: Sequence[int], vectors: np.ndarray) -> list[tuple[int, int]]:
    """Each row that has another so near, and the nearest."""
    if len(rows) < 2:
        return []
    likeness = vectors[rows] @ vectors[rows].T
    np.fill_diagonal(likeness, -1)
    best = likeness.argmax(axis=1)
    return [
        (rows[at], rows[other]) for at, other in enumerate(best.tolist()) if likeness[at, other] >= _ALIKE
    ]
