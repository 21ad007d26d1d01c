"""How long a feature's calls take, and whether that is within what is wanted."""

from __future__ import annotations

import msgspec

from smallfirst.ledger.buckets import middle, quantile
from smallfirst.planning.assess.feature import Feature

_US_PER_MS = 1000


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds, to within 4.5 percent; None where no call says it. `budget_ms` is for the whole answer, and for the first token of calls that
    are streamed.
    """

    streamed_share: float
    measured_calls: int = 0
    total_p50_ms: float | None = None
    total_p95_ms: float | None = None
    first_token_calls: int = 0
    first_token_p50_ms: float | None = None
    first_token_p95_ms: float | None = None
    budget_ms: float | None = None

    @property
    def felt_p95_ms(self) -> float | None:
        """What a user waits for: the first token where most calls are streamed and say it, else the whole answer."""
        first = self.streamed_share > 0.5 and self.first_token_p95_ms is not None
        return self.first_token_p95_ms if first else self.total_p95_ms

    @property
    def felt(self) -> str:
        first = self.streamed_share > 0.5 and self.first_token_p95_ms is not None
        return "to the first token" if first else "to the whole answer"


def latency_of(feature: Feature, budget_ms: float | None = None) -> Latency:
    return Latency(
        streamed_share=feature.streamed_calls / feature.calls if feature.calls else 0.0,
        measured_calls=sum(feature.latency.values()),
        total_p50_ms=_at(feature.latency, 0.5),
        total_p95_ms=_at(feature.latency, 0.95),
        first_token_calls=sum(feature.first_token.values()),
        first_token_p50_ms=_at(feature.first_token, 0.5),
        first_token_p95_ms=_at(feature.first_token, 0.95),
        budget_ms=budget_ms,
    )


def _at(histogram: dict[int, int], q: float) -> float | None:
    found = quantile(histogram.items(), q)
    return None if found is None else middle(found) / _US_PER_MS
