"""genai-prices' table, read as `Price`s. Nothing here reaches a network: the table is the one that the
installed package carries.

How its entries are read:

- A provider that quotes no cache price gives no discount, so that cached tokens cost as input (see
  `price.py`); only Anthropic's models, whose hour-long cache writes cost twice the input wherever they are
  served, are charged so where the table lacks that price.
- No price of output means that output is not charged (embeddings, rerankers). No price of input means that
  the model is not sold by the token (or that the table does not know): it is unknown, not free.
- A model of another processing tier than the standard one is priced only where the table has that tier on
  that day: genai-prices itself would give the standard price.
- Prices by the hour of the day hold in UTC. Asked for a whole day, the dearest of its hours is given.
- A quotation of more than nine decimal places is a division that somebody made; it is rounded to nine.

What it does not know, as of 0.2.3: that DeepSeek's peak hours hold on Chinese working days only (its weekends
are charged too much here), and that Claude Sonnet 5.5 read its cache at $0.20 before 2026-10-07. Overrides
mend the second.

Web searches, images and hours of audio are not tokens, and are not counted.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from decimal import ROUND_HALF_EVEN, Decimal
from functools import cache
from importlib.metadata import version
from typing import NamedTuple

import msgspec
from genai_prices.types import (
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    StartDateConstraint,
    Tier,
    TieredPrices,
    TimeOfDateConstraint,
)

from smallfirst.money import fusd_per_token
from smallfirst.pricing.price import AS_PARENT, LengthTier, Price

_CONTEXT_OF_TIER: dict[str, dict[str, str] | None] = {
    "standard": None,
    "batch": {"processing": "batch"},
    "priority": {"service_tier": "priority"},
    "flex": {"service_tier": "flex"},
}
_KEYS = {
    "input": "input_mtok",
    "output": "output_mtok",
    "cache_read": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "cache_write_1h": "cache_write_1h_mtok",
    "input_audio": "input_audio_mtok",
    "reasoning": "output_reasoning_mtok",
    "output_audio": "output_audio_mtok",
}
_NINE_PLACES = Decimal("1e-9")
_FUSD_A_CALL_AT_ONE_USD_A_THOUSAND = 10**12

Quotation = Decimal | TieredPrices

# The package does not say of which day its table is. This is the newest day from which a price in that
# release holds, as seen on 2026-11-24: the later days in it are announcements, which must not make an old
# table look young once they have passed.
_NEWEST_CHANGE = {"0.2.3": datetime.date(2026, 11, 9)}


class Entry(NamedTuple):
    """A model in the table, and the provider that was asked for it: Azure, say, for a model of OpenAI's."""

    provider: Provider
    model: ModelInfo


@cache
def providers() -> list[Provider]:
    """All providers of the table; the first call takes a third of a second."""
    from genai_prices.data import providers as table

    return table


@cache
def name() -> str:
    """The table's name and version."""
    return f"genai-prices-{version('genai-prices')}"


@cache
def checked(today: datetime.date) -> datetime.date | None:
    """The day of which the table is at the earliest: the newest past one from which a price in it holds."""
    known = _NEWEST_CHANGE.get(version("genai-prices"))
    if known is not None:
        return known
    starts = (start for provider in providers() for model in provider.models for start in _starts(model))
    return max((day for day in starts if day <= today), default=None)


def find_provider(provider_id: str) -> Provider | None:
    """By its id in the table, exactly: a near miss could be somebody else's prices."""
    return next((provider for provider in providers() if provider.id == provider_id), None)


def find_provider_at(base_url: str) -> Provider | None:
    """By the address of its API."""
    return next((provider for provider in providers() if re.match(provider.api_pattern, base_url)), None)


def find(provider: Provider, model: str) -> Entry | None:
    """A model that the provider sells, by any id that its API takes, dated ones included."""
    found = provider.find_model(model, all_providers=providers())
    return Entry(provider, found) if found is not None else None


def price_of_day(entry: Entry, day: datetime.date, *, tier: str, today: datetime.date) -> Price | None:
    """The price in force on a day; where it changes by the hour, the dearest, and its note says so."""
    hours = sorted({datetime.time(), *_changes(entry.model)})
    moments = [datetime.datetime.combine(day, hour, datetime.UTC) for hour in hours]
    found = [price_at(entry, moment, tier=tier, today=today) for moment in moments]
    priced = [price for price in found if price is not None]
    if not priced or len(priced) < len(found):
        return None
    dearest = max(priced, key=lambda price: price.worst_case_nusd(10**6, 10**6))
    if len(priced) == 1:
        return dearest
    return msgspec.structs.replace(dearest, note=_joined("the dearest hours of the day", dearest.note))


def price_at(entry: Entry, at: datetime.datetime, *, tier: str, today: datetime.date) -> Price | None:
    """The price in force at a moment, which knows its time zone; None where the table does not know it."""
    context = _CONTEXT_OF_TIER[tier]
    effective = _effective(entry.model, at)
    if context is not None:
        started = _variant_start(entry, at, context)
        if started is None:
            return None
        effective = max(effective or datetime.date.min, started)
    resolved = entry.model.get_prices(at, context)
    quoted: dict[str, Quotation] = {key: value for key, value in vars(resolved).items() if value is not None}
    if "input_mtok" not in quoted:
        return None
    lengths = sorted({step.start for value in quoted.values() for step in _steps(value)})
    doubles = entry.provider.id == "anthropic" or "claude" in entry.model.id.lower()
    return Price(
        **_rates(quoted, 0, doubles=doubles),
        tiers=tuple(
            LengthTier(above_tokens=start, **_rates(quoted, start + 1, doubles=doubles)) for start in lengths
        ),
        per_call_fusd=int(_quotation(quoted.get("requests_kcount"), 0) * _FUSD_A_CALL_AT_ONE_USD_A_THOUSAND),
        version=_version(entry, effective, tier=tier, hour=_hour(entry.model, at)),
        effective=None if effective == datetime.date.min else effective,
        checked=checked(today),
        source=(entry.provider.pricing_urls or [""])[0],
        tier=tier,
        note=_note(entry.model, quoted),
    )


def _conditional(model: ModelInfo) -> list[ConditionalPrice]:
    return [ConditionalPrice(prices=model.prices)] if isinstance(model.prices, ModelPrice) else model.prices


def _in_force(model: ModelInfo, at: datetime.datetime) -> list[ConditionalPrice]:
    return [item for item in _conditional(model) if item.constraint is None or item.constraint.active(at)]


def _effective(model: ModelInfo, at: datetime.datetime) -> datetime.date | None:
    """The day from which the price of a moment holds, None if it always did. Off-peak hours hold from the day
    of the price before them.
    """
    days = [
        item.constraint.start_date
        for item in _in_force(model, at)
        if isinstance(item.constraint, StartDateConstraint)
    ]
    return days[-1] if days else None


def _hour(model: ModelInfo, at: datetime.datetime) -> datetime.time | None:
    """The hour of the day from which the price of a moment holds, None if it does not depend on it."""
    in_force = _in_force(model, at)
    constraint = in_force[-1].constraint if in_force else None
    return constraint.start_time if isinstance(constraint, TimeOfDateConstraint) else None


def _changes(model: ModelInfo) -> Iterator[datetime.time]:
    """The times of the day, in UTC, at which the price changes."""
    for item in _conditional(model):
        if isinstance(item.constraint, TimeOfDateConstraint):
            for time in (item.constraint.start_time, item.constraint.end_time):
                moment = datetime.datetime.combine(datetime.date(2000, 1, 2), time)
                yield (moment.astimezone(datetime.UTC) if moment.tzinfo else moment).time()


def _starts(model: ModelInfo) -> Iterator[datetime.date]:
    for item in (*_conditional(model), *(model.price_variants or ())):
        if isinstance(item.constraint, StartDateConstraint):
            yield item.constraint.start_date


def _variant_start(entry: Entry, at: datetime.datetime, context: dict[str, str]) -> datetime.date | None:
    """The day from which the provider itself sells the model in that tier; `date.min` if it always did, None
    if it does not.
    """
    if not any(entry.model is model for model in entry.provider.models):
        return None  # a tier of another provider's says nothing of this one's
    for variant in entry.model.price_variants or ():
        active = variant.constraint is None or variant.constraint.active(at)
        if active and all(context.get(key) == value for key, value in variant.when.items()):
            constraint = variant.constraint
            return constraint.start_date if isinstance(constraint, StartDateConstraint) else datetime.date.min
    return None


def _steps(value: Quotation) -> list[Tier]:
    return value.tiers if isinstance(value, TieredPrices) else []


def _quotation(value: Quotation | None, prompt_tokens: int) -> Decimal:
    """Dollars, for a prompt of that length; zero where there is no quotation."""
    if isinstance(value, TieredPrices):
        reached = [step.price for step in value.tiers if prompt_tokens > step.start]
        value = reached[-1] if reached else value.base
    return Decimal(0) if value is None else value.quantize(_NINE_PLACES, ROUND_HALF_EVEN)


def _rates(quoted: dict[str, Quotation], prompt_tokens: int, *, doubles: bool) -> dict[str, int]:
    """Femto-dollars for each class; `doubles`: hour-long cache writes cost twice the input where they are not
    quoted.
    """
    rates = {
        name: fusd_per_token(_quotation(quoted[key], prompt_tokens)) if key in quoted else AS_PARENT
        for name, key in _KEYS.items()
    }
    if "output_mtok" not in quoted:
        rates["output"] = 0
    if doubles and "cache_write_mtok" in quoted and "cache_write_1h_mtok" not in quoted:
        rates["cache_write_1h"] = 2 * rates["input"]
    return rates


def _version(entry: Entry, effective: datetime.date | None, *, tier: str, hour: datetime.time | None) -> str:
    known = effective is not None and effective != datetime.date.min
    day = f"@{effective.isoformat()}" if effective is not None and known else ""
    of_tier = "" if tier == "standard" else f"+{tier}"
    of_hour = "" if hour is None else f"~{hour:%H:%M}"
    return f"{name()}/{entry.provider.id}/{entry.model.id}{day}{of_tier}{of_hour}"


def _note(model: ModelInfo, quoted: dict[str, Quotation]) -> str:
    exact = all(
        price == price.quantize(_NINE_PLACES)
        for key in _KEYS.values()
        if (value := quoted.get(key)) is not None
        for price in (
            [value] if isinstance(value, Decimal) else [value.base, *(step.price for step in value.tiers)]
        )
    )
    return _joined(
        "deprecated" if model.deprecated else "",
        "" if "output_mtok" in quoted else "output is not charged",
        "" if exact else "rounded to nine decimal places",
    )


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
