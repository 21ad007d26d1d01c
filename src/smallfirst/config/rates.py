"""How fast keys, tenants, tasks and the whole gateway may be called."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from smallfirst import limits
from smallfirst.config.strict import Strict

PerMinute = Annotated[int, Meta(ge=1, le=limits.MAX_RATE_PER_MINUTE)]


class RateLimits(Strict, frozen=True):
    """How fast a scope may call; what comes faster is refused with 429, and told when to come again."""

    requests_per_minute: PerMinute | None = None
    tokens_per_minute: PerMinute | None = None  # read and written together
    input_tokens_per_minute: PerMinute | None = None
    output_tokens_per_minute: PerMinute | None = None
    calls_at_once: Annotated[int, Meta(ge=1)] | None = None
    # how many seconds' worth may come at once after a pause; 1 lets hardly any burst through
    burst_s: Annotated[float, Meta(gt=0, le=limits.MAX_RATE_BURST_S)] = limits.RATE_BURST_S
