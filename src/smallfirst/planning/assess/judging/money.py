"""What a feature costs now, and would cost with a cache and a small model first: each figure beside what it is assumed from.

The arithmetic is that of `planning/costs`: what is left of the bill is (1 − h)(f + (1 − f)s).
"""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction

import msgspec

from smallfirst.chat import Usage
from smallfirst.money import NUSD_PER_USD
from smallfirst.planning.assess.feature import Feature
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.costs.break_even import Line, break_even
from smallfirst.planning.costs.exact import DAYS_PER_YEAR, HOURS_PER_DAY, SECONDS_PER_DAY
from smallfirst.planning.costs.quote import Quote, TokenPrice
from smallfirst.planning.costs.ratio import bill_left
from smallfirst.pricing.catalogue import Catalogue, Row

PEAK_FACTOR = 3.0  # where the stream is too short to tell
MOST_PEAK_FACTOR = 50.0
_NAMED = 5  # models without a price, at most


class Gpu(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU of one's own: how many calls like these it takes a second at its planned load, at what price, and how that is known."""

    name: str
    usd_per_hour: float
    planned_rps: float
    source: str


class Prices(msgspec.Struct, frozen=True, kw_only=True):
    """What calls are priced by. `instead`: the price that stands for those that nobody knows. `small`: the hosted small model. `gpu_for`: the GPU of
    one's own for calls like a feature's; without it none is looked at.
    """

    catalogue: Catalogue
    small: Quote | None = None
    instead: Quote | None = None
    gpu_for: Callable[[Feature], Gpu | None] | None = None
    simulated: frozenset[str] = frozenset()  # models whose provider is a simulator


class WithSmall(msgspec.Struct, frozen=True, kw_only=True):
    """The yearly bill with the cache's share h from `hit_rate_low` to `hit_rate_high`, and the frontier's share f of the rest as the small model's
    interval leaves it. `usd_per_year_low` is at the most of the one and the least of the other. `small_price` is s, a share of what a call costs now.
    """

    model: str
    version: str
    usd_per_call: float
    small_price: float
    hit_rate_low: float
    hit_rate_high: float
    frontier_share_low: float | None = None
    frontier_share_high: float | None = None
    left_low: float | None = None
    left_high: float | None = None
    usd_per_year_low: float | None = None
    usd_per_year_high: float | None = None
    rough: bool = False


class OwnGpus(msgspec.Struct, frozen=True, kw_only=True):
    """From how many calls a day GPUs of one's own, bought for the peak and one to spare, stay cheaper. None: at no volume, or the other price is
    unknown.
    """

    gpu: Gpu
    peak_factor: float
    peak_assumed: bool
    above_frontier: float | None
    above_small: float | None


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """`known_nusd` was recorded with the calls, `estimated_nusd` is from the prices `versions` for calls without a recorded cost, by the sample's
    tokens. `unknown_calls` are in no sum; `unknown_models` names their models. Failed calls that tell neither cost nor tokens count as free, of
    which the sample has `free_calls`. Yearly: today's prices and calls a day, 365 days.
    """

    known_nusd: int
    estimated_nusd: int
    priced_calls: int
    unknown_calls: int
    unknown_models: tuple[str, ...] = ()
    versions: tuple[str, ...] = ()
    free_calls: int = 0
    simulated: bool = False
    usd_per_call: float | None = None
    usd_per_day: float | None = None
    usd_per_year: float | None = None
    with_small: WithSmall | None = None
    own: OwnGpus | None = None


LABEL_HEAD = Quote(
    name="a label head, in process",
    price=TokenPrice(input=Decimal(0), cached_input=Decimal(0), output=Decimal(0)),
    version="in-process",
)
"""What a label head charges: nothing, for it answers in the gateway's own process."""


class _Priced(msgspec.Struct):
    """The calls of a sample whose cost was not recorded, priced."""

    nusd: int = 0
    calls: int = 0
    free: int = 0  # of the calls
    unknown: dict[str, int] = {}
    versions: dict[str, None] = {}


def money_of(feature: Feature, prices: Prices, *, calls_per_day: float | None) -> Money:
    """What it costs now."""
    known_calls = feature.calls - feature.unknown_cost_calls
    found = _priced(feature, prices) if feature.unknown_cost_calls else _Priced()
    tried = found.calls + sum(found.unknown.values())
    estimated_calls = round(feature.unknown_cost_calls * found.calls / tried) if tried else 0
    estimated = round(found.nusd * estimated_calls / found.calls) if found.calls else 0
    priced = known_calls + estimated_calls
    per_call = (feature.cost_nusd + estimated) / priced / NUSD_PER_USD if priced else None
    per_day = per_call * calls_per_day if per_call is not None and calls_per_day is not None else None
    nameless = sorted(found.unknown, key=lambda name: (-found.unknown[name], name))[:_NAMED]
    return Money(
        known_nusd=feature.cost_nusd,
        estimated_nusd=estimated,
        priced_calls=priced,
        unknown_calls=feature.calls - priced,
        unknown_models=tuple(nameless),
        versions=tuple(found.versions),
        free_calls=found.free,
        simulated=any(model in prices.simulated for model in feature.models),
        usd_per_call=per_call,
        usd_per_day=per_day,
        usd_per_year=None if per_day is None else per_day * DAYS_PER_YEAR,
    )


def _priced(feature: Feature, prices: Prices) -> _Priced:
    found = _Priced()
    rows: dict[str, Row | None] = {}
    for call in feature.sample:
        if call.cost_nusd is not None:
            continue
        if call.failed and not call.input_tokens and not call.output_tokens:
            found.free += 1
            found.calls += 1
            continue
        cost = _cost(call, _usage(call, feature), prices, rows)
        if cost is None:
            name = call.model or "(no model named)"
            found.unknown[name] = found.unknown.get(name, 0) + 1
            continue
        found.versions[cost[1]] = None
        found.nusd += cost[0]
        found.calls += 1
    return found


def _cost(
    call: Observed, usage: Usage | None, prices: Prices, rows: dict[str, Row | None]
) -> tuple[int, str] | None:
    """In nano-dollars, and by which price."""
    if usage is None:
        return None
    if call.model not in rows:
        rows[call.model] = prices.catalogue.find(call.model) if call.model else None
    row = rows[call.model]
    if row is not None and row.price is not None and row.hourly_usd is None:
        return row.price.cost_nusd(usage), row.price.version
    if prices.instead is None:
        return None
    read = usage.prompt_tokens
    cached = Fraction(usage.cache_read_tokens, read) if read else 0
    usd = prices.instead.price.call(read, usage.output_tokens, cached_share=cached)
    return round(usd * NUSD_PER_USD), f"{prices.instead.name} in its place ({prices.instead.version})"


def _usage(call: Observed, feature: Feature) -> Usage | None:
    """The call's own tokens, else the feature's mean; None where nobody knows."""
    if call.input_tokens is not None:
        cached = min(call.cached_tokens or 0, call.input_tokens)
        return Usage(
            input_tokens=call.input_tokens - cached,
            cache_read_tokens=cached,
            output_tokens=call.output_tokens or 0,
        )
    means = mean_tokens(feature)
    if means is None:
        return None
    return Usage(
        input_tokens=round(means[0] - means[1]),
        cache_read_tokens=round(means[1]),
        output_tokens=round(means[2]),
    )


def mean_tokens(feature: Feature) -> tuple[float, float, float] | None:
    """Of a call: read, read from a prompt cache, and written."""
    if not feature.token_calls:
        return None
    return (
        feature.input_tokens / feature.token_calls,
        min(feature.cached_tokens, feature.input_tokens) / feature.token_calls,
        feature.output_tokens / feature.token_calls,
    )


def with_small(
    money: Money,
    feature: Feature,
    small: Quote,
    *,
    hit_rates: tuple[float, float],
    shares: tuple[float, float] | None,
    rough: bool = False,
) -> WithSmall | None:
    """`hit_rates`: what the cache answers, from and to. `shares`: how much of what the cache misses the small model takes, from and to, or None. None
    where a call's price or tokens are unknown.
    """
    call = hosted_call_usd(feature, small)
    if call is None or not money.usd_per_call:
        return None
    part = call / money.usd_per_call
    told = WithSmall(
        model=small.name,
        version=small.version,
        usd_per_call=call,
        small_price=part,
        hit_rate_low=hit_rates[0],
        hit_rate_high=hit_rates[1],
        rough=rough,
    )
    if shares is None:
        return told
    dear, cheap = 1 - shares[0], 1 - shares[1]
    ends = zip((hit_rates[1], hit_rates[0]), (cheap, dear), strict=True)
    low, high = sorted(bill_left(hit_rate=h, frontier_share=f, small_price=part) for h, f in ends)
    year = money.usd_per_year
    return msgspec.structs.replace(
        told,
        frontier_share_low=cheap,
        frontier_share_high=dear,
        left_low=low,
        left_high=high,
        usd_per_year_low=None if year is None else year * low,
        usd_per_year_high=None if year is None else year * high,
    )


def hosted_call_usd(feature: Feature, quote: Quote | None) -> float | None:
    """What a call like the feature's costs by a quote, in dollars; None without one, or where the tokens are unknown."""
    means = mean_tokens(feature)
    if quote is None or means is None:
        return None
    cached = Fraction(means[1]) / Fraction(means[0]) if means[0] else 0
    return float(quote.price.call(means[0], means[2], cached_share=cached))


def own_gpus(money: Money, small_call_usd: float | None, gpu: Gpu, *, peak_factor: float | None) -> OwnGpus:
    """The volumes from which own GPUs stay cheaper, for calls like these."""
    factor = PEAK_FACTOR if peak_factor is None else min(max(1.0, peak_factor), MOST_PEAK_FACTOR)
    own = Line(
        name=gpu.name,
        per_call_usd=0,
        unit_usd_per_day=gpu.usd_per_hour * HOURS_PER_DAY,
        calls_per_unit=gpu.planned_rps * SECONDS_PER_DAY / factor,
        spare_units=1,
    )
    return OwnGpus(
        gpu=gpu,
        peak_factor=factor,
        peak_assumed=peak_factor is None,
        above_frontier=_above(own, money.usd_per_call),
        above_small=_above(own, small_call_usd),
    )


def _above(own: Line, usd_per_call: float | None) -> float | None:
    if not usd_per_call:
        return None
    return break_even(own, Line(name="hosted", per_call_usd=usd_per_call)).calls_per_day
