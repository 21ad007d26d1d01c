"""What the simulated provider charges: exact decimal arithmetic, rounded once a request."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, fields
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from pathlib import Path

from .settings import InputError

_NUSD_PER_TOKEN = Decimal(1000)  # one USD per million tokens is 1000 nano-dollars a token
_NUSD_PER_USD = Decimal(1_000_000_000)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request in classes that do not overlap: their sum is all that was processed."""

    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    cache_write_1h_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    @property
    def prompt_tokens(self) -> int:
        """All tokens of the prompt, cached or not."""
        return (
            self.input_tokens + self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens
        )

    @property
    def generated_tokens(self) -> int:
        """All tokens that the model made, shown or not."""
        return self.output_tokens + self.reasoning_tokens


@dataclass(frozen=True, slots=True)
class Price:
    """USD per million tokens of each class of one model."""

    kind: str
    input: Decimal
    cache_read: Decimal
    cache_write: Decimal
    cache_write_1h: Decimal
    output: Decimal

    def cost_nusd(self, usage: Usage) -> int:
        """The charge for one request in nano-dollars, rounded once, half to even."""
        usd_per_million = (
            self.input * usage.input_tokens
            + self.cache_read * usage.cache_read_tokens
            + self.cache_write * usage.cache_write_tokens
            + self.cache_write_1h * usage.cache_write_1h_tokens
            + self.output * (usage.output_tokens + usage.reasoning_tokens)
        )
        return int((usd_per_million * _NUSD_PER_TOKEN).to_integral_value(rounding=ROUND_HALF_EVEN))


def usd_text(nusd: int) -> str:
    """``nusd`` nano-dollars as a plain decimal string in dollars with nine places."""
    return f"{Decimal(nusd) / _NUSD_PER_USD:.9f}"


def load_prices(path: Path | None = None) -> Mapping[str, Price]:
    """The price table by model name; ``InputError`` names the entry that is wrong."""
    source = path or Path(__file__).with_name("prices.toml")
    table = tomllib.loads(source.read_text("utf-8"))
    return {model: _price(model, row) for model, row in table.items()}


def _price(model: str, row: object) -> Price:
    names = [field.name for field in fields(Price)]
    if not isinstance(row, dict) or sorted(row) != sorted(names):
        raise InputError(f"prices.{model}: expected exactly the fields {', '.join(names)}")
    if row["kind"] not in ("chat", "embedding"):
        raise InputError(f"prices.{model}.kind: expected chat or embedding")
    amounts: dict[str, Decimal] = {}
    for name in names[1:]:
        try:
            amounts[name] = Decimal(row[name])
        except (InvalidOperation, TypeError) as problem:
            raise InputError(f"prices.{model}.{name}: expected a decimal string") from problem
        if not isinstance(row[name], str) or not amounts[name].is_finite() or amounts[name] < 0:
            raise InputError(f"prices.{model}.{name}: expected a decimal string that is not negative")
    return Price(kind=row["kind"], **amounts)
