"""What a model sold by the token charges in a plan: a dated price of the table or the configuration, or the user's own figures."""

from __future__ import annotations

import datetime
import re
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import TYPE_CHECKING

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.exact import MILLION, Number, exact

if TYPE_CHECKING:
    from smallfirst.pricing import Price
    from smallfirst.pricing.catalogue import Catalogue, Row

_DEAREST = 10**6
_FIGURES = re.compile(r"\$?[0-9.]{1,20}/\$?[0-9.]{1,20}(/\$?[0-9.]{1,20})?")


class TokenPrice(msgspec.Struct, frozen=True, kw_only=True):
    """US dollars per million tokens, and per call."""

    input: Decimal
    cached_input: Decimal
    output: Decimal
    per_call: Decimal = Decimal(0)

    def call(self, input_tokens: Number, output_tokens: Number, *, cached_share: Number = 0) -> Fraction:
        """What one call costs, in dollars, exactly; of its prompt `cached_share` is read from the provider's prompt cache."""
        read, cached = exact(input_tokens), exact(cached_share)
        tokens = read * (1 - cached) * exact(self.input) + read * cached * exact(self.cached_input)
        return (tokens + exact(output_tokens) * exact(self.output)) / MILLION + exact(self.per_call)


class Quote(msgspec.Struct, frozen=True, kw_only=True):
    """One model's price. `version` says where it stands ("given" for the user's own figures), `effective` since when it holds, `checked` of when
    the table is. `batch` is None where no price for batches is known. `longer` is a remark where long prompts cost more.
    """

    name: str
    price: TokenPrice
    version: str
    batch: TokenPrice | None = None
    effective: datetime.date | None = None
    checked: datetime.date | None = None
    remark: str = ""

    def times(self, factor: Number) -> Quote:
        """The same at `factor` of the price."""
        return msgspec.structs.replace(
            self,
            price=_times(self.price, factor),
            batch=None if self.batch is None else _times(self.batch, factor),
        )


def read_quote(text: str, *, option: str, input_tokens: float, catalogue: Catalogue | None = None) -> Quote:
    """The price of a model by its name, or of figures: `3/15` or `$3/$15` are dollars per million tokens in and out, a third figure is that of cached
    input, which else costs as input does.

    A price that depends on the prompt's length is that of `input_tokens`. Raises `ConfigError` that names `option`: an unknown model or price.
    """
    text = text.strip()
    if _FIGURES.fullmatch(text):
        return _of_figures(text, option)
    if catalogue is None:
        raise ConfigError(f"expected dollars per million tokens, as 3/15, not {text!r}", path=option)
    row = catalogue.find(text)
    if row is None:
        near = catalogue.nearest(text)
        hint = f"; did you mean {', '.join(near)}?" if near else ""
        raise ConfigError(f"no model {text!r} in the configuration or the price table{hint}", path=option)
    return _of_row(row, text, option=option, input_tokens=round(input_tokens), today=catalogue.today)


def token_price(text: str) -> TokenPrice:
    """Figures as a price: `3/15` is dollars per million tokens in and out. Raises `ConfigError` for others."""
    return read_quote(text, option="price", input_tokens=0).price


def with_batch(quote: Quote, factor: float | None, *, option: str) -> Quote:
    """The quote with a price for batches: the table's where it has one, else `factor` of its own price. Raises `ConfigError` where there is
    neither.
    """
    if factor is not None:
        return msgspec.structs.replace(quote, batch=_times(quote.price, factor))
    if quote.batch is None:
        raise ConfigError(
            f"no price for batches of {quote.name} is known; give it as a share of its price", path=option
        )
    return quote


def _of_figures(text: str, option: str) -> Quote:
    try:
        figures = [Decimal(part.removeprefix("$")) for part in text.split("/")]
    except InvalidOperation:
        raise ConfigError(
            f"expected dollars per million tokens, as 3/15, not {text!r}", path=option
        ) from None
    if any(figure > _DEAREST for figure in figures):
        raise ConfigError(
            f"expected dollars per million tokens, at most {_DEAREST:,}, not {text!r}", path=option
        )
    input_, output = figures[0], figures[1]
    cached = figures[2] if len(figures) > 2 else input_
    name = "/".join(f"${figure.normalize():f}" for figure in figures)
    return Quote(
        name=name,
        price=TokenPrice(input=input_, cached_input=cached, output=output),
        version="given",
        remark="" if len(figures) > 2 else "cached input costs as input: no other price was given",
    )


def _of_row(row: Row, name: str, *, option: str, input_tokens: int, today: datetime.date) -> Quote:
    from smallfirst.pricing import staleness

    if row.hourly_usd is not None:
        raise ConfigError(
            f"{name} is billed by the hour: plan it with --own and --gpu-usd-per-hour", path=option
        )
    if row.price is None:
        raise ConfigError(
            f"the price of {name} is unknown; give it as dollars per million tokens in and out, as 3/15",
            path=option,
        )
    longer = (
        f"longer prompts cost more, from {row.price.tiers[0].above_tokens:,} tokens on"
        if row.price.tiers
        else ""
    )
    remarks = (longer, row.price.note, staleness(row.price, today) or "")
    return Quote(
        name=name,
        price=_at(row.price, input_tokens),
        version=row.price.version,
        batch=_batch(row, input_tokens, today),
        effective=row.price.effective,
        checked=row.price.checked,
        remark="; ".join(remark for remark in remarks if remark),
    )


def _at(price: Price, input_tokens: int) -> TokenPrice:
    rates = price.rates_at(input_tokens)
    return TokenPrice(
        input=_usd_per_million(rates.input),
        cached_input=_usd_per_million(rates.cache_read),
        output=_usd_per_million(rates.output),
        per_call=Decimal(price.per_call_fusd).scaleb(-15),
    )


def _batch(row: Row, input_tokens: int, today: datetime.date) -> TokenPrice | None:
    """What the price table says of batches today; a configuration's own prices say nothing of them."""
    from smallfirst.pricing import table

    seller = table.find_provider(row.provider)
    entry = table.find(seller, row.model) if seller is not None and not row.configured else None
    price = table.price_of_day(entry, today, tier="batch", today=today) if entry is not None else None
    return _at(price, input_tokens) if price is not None else None


def _usd_per_million(fusd: int) -> Decimal:
    return Decimal(fusd).scaleb(-9)


def _times(price: TokenPrice, factor: Number) -> TokenPrice:
    by = (
        Decimal(str(factor))
        if not isinstance(factor, Fraction)
        else Decimal(factor.numerator) / Decimal(factor.denominator)
    )
    return TokenPrice(**{name: getattr(price, name) * by for name in TokenPrice.__struct_fields__})
