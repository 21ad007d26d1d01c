"""Which price an account follows where its tokens are ours and its money is not."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import NamedTuple, Protocol

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger.attempt_queries import Charged
from smallfirst.pricing.price import LengthTier, Price

_SAMPLES_MAX = 500  # of one model and version
_FUSD_PER_USD = 10**15
_MILLION = 10**6
_RATE_PLACES = 6
_HALF_A_NUSD_FUSD = 500_000
_MS_PER_DAY = 86_400_000
_DAYS_BACK, _DAYS_ON, _DAYS_STEP = 400, 60, 1
_FACTORS = {
    Decimal("0.5"): "half of our price for every token, as batch and flex tiers cost",
    Decimal(2): "twice our price for every token, as priority tiers cost",
}
_Group = tuple[str, str, int]


_UNKNOWN = "a price that is none of those which we know"


class PriceOf(Protocol):
    """Where a model's price of a day is found; `tier` None: that which is configured."""

    def __call__(
        self, model: str, provider: str, on: datetime.date, *, tier: str | None = None
    ) -> Price | None: ...


class Sample(NamedTuple):
    """What was charged, in `lines` lines, for a usage that both agree on, which `attempts` attempts had together."""

    usage: Usage
    theirs_usd: Decimal
    attempts: int = 1
    lines: int = 1


class Found:
    """Collects where prices differ, by model and the version of our price, and says which price of theirs it is."""

    def __init__(self, price_of: PriceOf | None) -> None:
        self._price_of = price_of
        self._samples: dict[_Group, list[Sample]] = {}
        self._counts: dict[_Group, int] = {}

    def add(self, attempt: Charged, sample: Sample) -> None:
        """An attempt that was charged otherwise."""
        self.add_to(attempt.provider, attempt.model, day=attempt.at_ms // _MS_PER_DAY, sample=sample)

    def add_to(self, provider: str, model: str, *, day: int, sample: Sample) -> None:
        """The same of a day's attempts together; `day` counts from 1970."""
        group = (provider, model, day)
        self._counts[group] = self._counts.get(group, 0) + sample.attempts
        samples = self._samples.setdefault(group, [])
        if len(samples) < _SAMPLES_MAX:
            samples.append(sample)

    def told(self, rounding_usd: Decimal) -> Iterator[str]:
        """A sentence for each model; days on which the same is found are told together. `rounding_usd`: by which an amount of theirs is off at
        most.
        """
        found: dict[tuple[str, str, str], list[int]] = {}
        counts: dict[tuple[str, str, str], int] = {}
        for group, samples in self._samples.items():
            provider, model, day = group
            said = self.name(provider, model, day=day, samples=samples, rounding_usd=rounding_usd) or _UNKNOWN
            found.setdefault((provider, model, said), []).append(day)
            counts[provider, model, said] = counts.get((provider, model, said), 0) + self._counts[group]
        for (provider, model, said), days in found.items():
            first, last = _date(min(days)), _date(max(days))
            span = f"on {first}" if first == last else f"from {first} to {last}"
            count = counts[provider, model, said]
            yield f"{model} at {provider}, {span}, {count:,} {'attempt' if count == 1 else 'attempts'}: they follow {said}"

    def name(
        self, provider: str, model: str, *, day: int, samples: Sequence[Sample], rounding_usd: Decimal
    ) -> str | None:
        """The price that all samples follow; None where it is none that is known."""
        if self._price_of is None or (price := self._price_of(model, provider, _date(day))) is None:
            return None
        for what, other in self._others(price, model, provider, _date(day)):
            if _follows(other, samples, rounding_usd):
                return what
        for factor, what in _FACTORS.items():
            if all(_is(sample, _fusd(price, sample.usage) * factor, rounding_usd) for sample in samples):
                return what
        factor = _common_factor(price, samples, rounding_usd)
        if factor is not None:
            return f"{factor} times our price for every token"
        rates = fitted_rates(samples, rounding_usd)
        return None if rates is None else f"a price of its own: {rates}"

    def _others(
        self, price: Price, model: str, provider: str, on: datetime.date
    ) -> Iterator[tuple[str, Price]]:
        replace = msgspec.structs.replace
        yield (
            "the price of input for cached tokens, too",
            replace(price, cache_read=price.input, tiers=_tiers(price, "cache_read", "input")),
        )
        yield "no charge for cached tokens", replace(price, cache_read=0, tiers=_free(price, "cache_read"))
        yield (
            "the price of input for cache writes, too",
            replace(price, cache_write=price.input, cache_write_1h=price.input, tiers=()),
        )
        yield (
            "the price of five-minute cache writes for those of an hour, too",
            replace(
                price, cache_write_1h=price.cache_write, tiers=_tiers(price, "cache_write_1h", "cache_write")
            ),
        )
        yield "no charge for reasoning tokens", replace(price, reasoning=0, tiers=_free(price, "reasoning"))
        if price.tiers:
            yield "the price of short prompts for long ones, too", replace(price, tiers=())
            for tier in price.tiers:
                rates = {name: getattr(tier, name) for name in _RATES}
                yield (
                    f"the price of prompts above {tier.above_tokens:,} tokens",
                    replace(price, **rates, tiers=()),
                )
        yield from self._by_tier(model, provider, on)
        yield from self._by_day(price, model, provider, on)

    def _by_tier(self, model: str, provider: str, on: datetime.date) -> Iterator[tuple[str, Price]]:
        assert self._price_of is not None
        for tier in ("standard", "batch", "flex", "priority"):
            other = self._price_of(model, provider, on, tier=tier)
            if other is not None:
                yield f"the {tier} tier's price ({other.version})", other

    def _by_day(
        self, price: Price, model: str, provider: str, on: datetime.date
    ) -> Iterator[tuple[str, Price]]:
        """Prices that were, or will be, in force on other days: the nearest first."""
        assert self._price_of is not None
        seen = {price.version}
        days = sorted(range(-_DAYS_BACK, _DAYS_ON, _DAYS_STEP), key=abs)
        for day in days:
            other = self._price_of(model, provider, on + datetime.timedelta(days=day))
            if other is not None and other.version not in seen:
                seen.add(other.version)
                yield f"the price of {'before' if day < 0 else 'after'} its change ({other.version})", other


_RATES = (
    "input", "output", "cache_read", "cache_write", "cache_write_1h", "input_audio", "reasoning", "output_audio",
)  # fmt: skip


def _tiers(price: Price, name: str, other: str) -> tuple[LengthTier, ...]:
    return tuple(msgspec.structs.replace(tier, **{name: getattr(tier, other)}) for tier in price.tiers)


def _free(price: Price, name: str) -> tuple[LengthTier, ...]:
    return tuple(msgspec.structs.replace(tier, **{name: 0}) for tier in price.tiers)


def _fusd(price: Price, usage: Usage) -> int:
    return sum(price.parts_fusd(usage).values())


def _follows(price: Price, samples: Sequence[Sample], rounding_usd: Decimal) -> bool:
    return all(_is(sample, Decimal(_fusd(price, sample.usage)), rounding_usd) for sample in samples)


def _is(sample: Sample, fusd: Decimal, rounding_usd: Decimal) -> bool:
    apart = abs(sample.theirs_usd * _FUSD_PER_USD - fusd)
    return apart <= sample.attempts * _HALF_A_NUSD_FUSD + sample.lines * rounding_usd * _FUSD_PER_USD


def _common_factor(price: Price, samples: Sequence[Sample], rounding_usd: Decimal) -> Decimal | None:
    """By what every amount is larger than ours, where that is one number of at most three decimals."""
    largest = max(samples, key=lambda sample: sample.theirs_usd)
    ours = _fusd(price, largest.usage)
    if not ours or len(samples) < 2:  # one amount has a factor always
        return None
    factor = round(largest.theirs_usd * _FUSD_PER_USD / ours, 3)
    if factor and all(_is(sample, _fusd(price, sample.usage) * factor, rounding_usd) for sample in samples):
        return factor.normalize()
    return None


def fitted_rates(samples: Sequence[Sample], rounding_usd: Decimal) -> str | None:
    """The price of a million tokens of each class that was used, where one price explains every amount; None where none does, or many do."""
    import numpy as np

    used = [name for name in Usage.__struct_fields__ if any(getattr(each.usage, name) for each in samples)]
    counts = [[getattr(each.usage, name) for name in used] for each in samples]
    solved = np.linalg.lstsq(
        np.array(counts, float), np.array([float(each.theirs_usd) for each in samples]), rcond=None
    )
    if solved[2] < len(used):
        return None  # the calls are too much alike to tell the classes apart
    rates = [round(Decimal(float(rate)) * _MILLION, _RATE_PLACES) for rate in solved[0]]
    for row, sample in zip(counts, samples, strict=True):
        due_usd = sum((rate * count for rate, count in zip(rates, row, strict=True)), Decimal(0)) / _MILLION
        if not _is(sample, due_usd * _FUSD_PER_USD, rounding_usd):
            return None
    told = [
        f"${rate.normalize():f} {name.removesuffix('_tokens').replace('_', ' ')}"
        for name, rate in zip(used, rates, strict=True)
    ]
    return f"{', '.join(told)} a million tokens"


def _date(day: int) -> datetime.date:
    return datetime.date(1970, 1, 1) + datetime.timedelta(days=day)
