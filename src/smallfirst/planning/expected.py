"""What a call is expected to cost and to take on each rung, by what the ledger remembers of such calls."""

from __future__ import annotations

import datetime
from typing import Protocol

import msgspec

from smallfirst.chat import Usage
from smallfirst.models.model import Model, Prices

_BYTES_PER_TOKEN = 4
_MEDIAN = 0.5


class Memory(Protocol):
    """What is asked of the ledger: `ledger.Queries`."""

    def output_tokens_quantile(self, task: str, model: str, q: float) -> int | None: ...


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt; None where it is not known: the price, or how long such answers are."""

    cost_nusd: int | None
    latency_ms: float | None


def expected(
    task: str,
    model: Model,
    *,
    prompt_bytes: int,
    prices: Prices,
    memory: Memory | None,
    latency_ms: float | None,
    on: datetime.date,
) -> Expected:
    """The median answer of this task by this model, to a prompt of this size, at the price of the day. `latency_ms` is what such calls have taken."""
    price = model.price(prices, on)
    if price is None:
        return Expected(cost_nusd=None, latency_ms=latency_ms)
    free = Usage(input_tokens=1_000_000, output_tokens=1_000_000)
    if price.cost_nusd(free) == 0:
        return Expected(cost_nusd=0, latency_ms=latency_ms)
    output = memory.output_tokens_quantile(task, model.name, _MEDIAN) if memory else None
    if output is None:
        return Expected(cost_nusd=None, latency_ms=latency_ms)
    usage = Usage(input_tokens=prompt_bytes // _BYTES_PER_TOKEN, output_tokens=output)
    return Expected(cost_nusd=price.cost_nusd(usage), latency_ms=latency_ms)
