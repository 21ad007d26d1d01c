"""What models cost and can do, side by side: the rows of `smallfirst prices`.

Prices and context windows are genai-prices'; capabilities are those of `capabilities.toml`, which says where
each was read and when. What neither knows is None: unknown.
"""

from __future__ import annotations

import datetime
import difflib
import fnmatch
from collections.abc import Iterable, Iterator
from decimal import Decimal
from functools import cache
from importlib import resources
from typing import Any

import msgspec

from smallfirst.chat import Usage
from smallfirst.config.schema import Config
from smallfirst.money import NUSD_PER_USD, usd_from_nusd
from smallfirst.pricing import table
from smallfirst.pricing.book import PriceBook
from smallfirst.pricing.price import Price, Rates, staleness

MILLION = 10**6
CLASSES = (
    "input",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "output",
    "reasoning",
    "output_audio",
)
_MAKERS = ("anthropic", "openai", "google", "mistral", "deepseek", "x-ai")


class Capabilities(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a model can do, by `source` as read on the day `checked`; None is unknown."""

    family: str
    provider: str
    id: str
    context_tokens: int | None = None
    tools: bool | None = None
    vision: bool | None = None
    structured_output: bool | None = None
    note: str = ""
    source: str = ""
    checked: datetime.date | None = None


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One model at one provider. `configured` rows bear the names that the configuration gives them."""

    provider: str
    model: str
    price: Price | None
    context_tokens: int | None = None
    capabilities: Capabilities | None = None
    hourly_usd: Decimal | None = None
    configured: bool = False

    def cost_nusd(self, *, input_tokens: int, output_tokens: int) -> int | None:
        """What one call costs, nothing of it cached; None where it is unknown or billed by the hour."""
        if self.price is None or self.hourly_usd is not None:
            return None
        return self.price.cost_nusd(Usage(input_tokens=input_tokens, output_tokens=output_tokens))


class Catalogue:
    """The models of the table, and of a configuration if there is one, at their prices `on` a day; `today`
    tells stale ones.
    """

    def __init__(self, config: Config | None = None, *, on: datetime.date, today: datetime.date) -> None:
        self._config = config or Config()
        self._book = PriceBook(self._config, today=today)
        self.on = on
        self.today = today

    def rows(self, *, provider: str | None = None, model: str = "*") -> Iterator[Row]:
        """The configured models, then the table's, of one provider and by a pattern with `*`, whose case does
        not matter.
        """
        pattern = model.lower()
        for row in (*self.configured(), *self._all()):
            if provider in (None, row.provider) and fnmatch.fnmatchcase(row.model.lower(), pattern):
                yield row

    def configured(self) -> Iterator[Row]:
        """The models of the configuration, under its names."""
        for name, model in self._config.models.items():
            price = self._book.at(name, model.provider, self.on)
            entry = self._book.entry(name, model.provider)
            known = capabilities().get((entry.provider.id, entry.model.id)) if entry is not None else None
            yield Row(
                provider=model.provider,
                model=name,
                price=price,
                context_tokens=model.context_tokens
                or (_context(entry, known) if entry is not None else None),
                capabilities=known,
                hourly_usd=model.hourly_usd if price is not None and price.version == "own" else None,
                configured=True,
            )

    def families(self) -> Iterator[Row]:
        """At least one current model of each of the nine families of `capabilities.toml`."""
        for known in capabilities().values():
            found = self.find(f"{known.provider}/{known.id}")
            yield (
                found
                if found is not None
                else Row(provider=known.provider, model=known.id, price=None, capabilities=known)
            )

    def find(self, name: str) -> Row | None:
        """A model by its configured name, as PROVIDER/ID, or by any id that its maker's API, or else another
        provider's, takes.
        """
        for row in self.configured():
            if row.model == name:
                return row
        before, _, after = name.partition("/")
        if (
            after
            and (seller := next((one for one in table.providers() if one.id == before), None)) is not None
        ):
            entry = table.find(seller, after)
            if entry is not None:
                return self._row(entry)
        makers = [maker for maker in map(table.find_provider, _MAKERS) if maker is not None]
        for seller in (*makers, *table.providers()):
            own = seller.find_model(name)
            if own is not None:
                return self._row(table.Entry(seller, own))
        return None

    def nearest(self, name: str) -> list[str]:
        """Names like one that was not found."""
        names = [*self._config.models, *(model.id for one in table.providers() for model in one.models)]
        return difflib.get_close_matches(name, dict.fromkeys(names), n=3)

    def _all(self) -> Iterator[Row]:
        for seller in table.providers():
            for model in seller.models:
                yield self._row(table.Entry(seller, model))

    def _row(self, entry: table.Entry) -> Row:
        known = capabilities().get((entry.provider.id, entry.model.id))
        return Row(
            provider=entry.provider.id,
            model=entry.model.id,
            price=table.price_of_day(entry, self.on, tier="standard", today=self.today),
            context_tokens=_context(entry, known),
            capabilities=known,
        )


@cache
def capabilities() -> dict[tuple[str, str], Capabilities]:
    """`capabilities.toml`, by provider and model."""
    text = resources.files("smallfirst.pricing").joinpath("capabilities.toml").read_text(encoding="utf-8")
    models = msgspec.toml.decode(text, type=dict[str, tuple[Capabilities, ...]])["models"]
    return {(model.provider, model.id): model for model in models}


def by_cost(rows: Iterable[Row], *, input_tokens: int, output_tokens: int) -> list[Row]:
    """Cheapest call first; those billed by the hour after them, unknown prices last."""

    def order(row: Row) -> tuple[int, int, str, str]:
        cost = row.cost_nusd(input_tokens=input_tokens, output_tokens=output_tokens)
        group = 0 if cost is not None else 1 if row.hourly_usd is not None else 2
        return group, cost or 0, row.provider, row.model

    return sorted(rows, key=order)


def usd_per_million(fusd: int) -> str:
    """A token's price as it is quoted: dollars per million tokens, exactly."""
    return _plain(Decimal(fusd).scaleb(-9))


def row_json(row: Row, *, today: datetime.date) -> dict[str, Any]:
    """A row for scripts: money as decimal strings in dollars, days as ISO 8601, None where something is
    unknown.
    """
    known = row.capabilities
    return {
        "provider": row.provider,
        "model": row.model,
        "configured": row.configured,
        "family": known.family if known else None,
        "context_tokens": row.context_tokens,
        "tools": known.tools if known else None,
        "vision": known.vision if known else None,
        "structured_output": known.structured_output if known else None,
        "capabilities_source": known.source or None if known else None,
        "capabilities_checked": known.checked.isoformat() if known and known.checked else None,
        "capabilities_note": known.note or None if known else None,
        "hourly_usd": _plain(row.hourly_usd) if row.hourly_usd is not None else None,
        "price": _price_json(row.price, today=today) if row.price is not None else None,
    }


def cost_json(row: Row, *, input_tokens: int, output_tokens: int) -> dict[str, Any]:
    """What one call and a million of them cost, in dollars, as decimal strings."""
    nusd = row.cost_nusd(input_tokens=input_tokens, output_tokens=output_tokens)
    return {
        "input_tokens": input_tokens,
        "output_tokens": output_tokens,
        "call_usd": None if nusd is None else _plain(usd_from_nusd(nusd)),
        "million_calls_usd": None if nusd is None else _plain(usd_from_nusd(nusd * MILLION)),
    }


def _price_json(price: Price, *, today: datetime.date) -> dict[str, Any]:
    return {
        "version": price.version,
        "usd_per_million_tokens": _rates_json(price),
        "usd_per_call": _plain(Decimal(price.per_call_fusd) / MILLION / NUSD_PER_USD),
        "length_tiers": [
            {"above_prompt_tokens": tier.above_tokens, "usd_per_million_tokens": _rates_json(tier)}
            for tier in price.tiers
        ],
        "tier": price.tier,
        "effective": price.effective.isoformat() if price.effective else None,
        "checked": price.checked.isoformat() if price.checked else None,
        "stale": staleness(price, today) is not None,
        "source": price.source or None,
        "note": price.note or None,
    }


def _rates_json(rates: Rates) -> dict[str, str]:
    return {name: usd_per_million(getattr(rates, name)) for name in CLASSES}


def _context(entry: table.Entry, known: Capabilities | None) -> int | None:
    return entry.model.context_window or (known.context_tokens if known is not None else None)


def _plain(value: Decimal) -> str:
    return f"{value.normalize():f}"
