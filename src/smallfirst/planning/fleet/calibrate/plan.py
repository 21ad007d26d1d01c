"""What a sweep is to measure, and what it may use at most."""

from __future__ import annotations

import math

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.calibrate.lengths import Lengths

LEAST_RATE, MOST_RATE = 1e-3, 10_000.0
_FEWEST_REQUESTS, _FEWEST_ANSWERS, _LONGEST = 40, 20, 4
_MOST_RATES = 50
_MILLION = 1_000_000


class Bounds(msgspec.Struct, frozen=True, kw_only=True):
    """What a sweep may use at most. `usd_per_million` are dollars for a million tokens read and written, where the endpoint is paid by them."""

    calls: int = 10_000
    minutes: float = 20.0
    usd: float | None = None
    usd_per_million: tuple[float, float] | None = None

    def checked(self) -> Bounds:
        """Itself. Raises `ConfigError` that names the option which cannot be."""
        if self.calls < 1:
            raise ConfigError(f"expected at least 1, not {self.calls}", path="--max-calls")
        if not (math.isfinite(self.minutes) and self.minutes > 0):
            raise ConfigError(f"expected minutes above 0, not {self.minutes:g}", path="--max-minutes")
        if self.usd is not None and not (math.isfinite(self.usd) and self.usd > 0):
            raise ConfigError(f"expected dollars above 0, not {self.usd:g}", path="--max-usd")
        if self.usd is not None and self.usd_per_million is None:
            raise ConfigError("needs the price: --price IN/OUT, dollars per million tokens", path="--max-usd")
        return self

    def usd_of(self, input_tokens: float, output_tokens: float) -> float:
        """What so many tokens cost; 0 where no price is given."""
        read, written = self.usd_per_million or (0.0, 0.0)
        return (input_tokens * read + output_tokens * written) / _MILLION


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be measured. `rates` empty: found by doubling and halving, from `first_rate` on (None: from what the endpoint does alone)."""

    lengths: Lengths
    rates: tuple[float, ...] = ()
    first_rate: float | None = None
    seconds: float = 30.0
    seed: int = 0
    bounds: Bounds = Bounds()

    def checked(self) -> Plan:
        """Itself. Raises `ConfigError` that names the option which cannot be."""
        if len(self.rates) > _MOST_RATES:
            raise ConfigError(f"expected at most {_MOST_RATES} rates, not {len(self.rates)}", path="--rates")
        for rate in self.rates:
            _checked_rate(rate, "--rates")
        if self.first_rate is not None:
            _checked_rate(self.first_rate, "--first-rate")
        if not (math.isfinite(self.seconds) and 1 <= self.seconds <= 3600):
            raise ConfigError(f"expected 1 to 3600 seconds, not {self.seconds:g}", path="--seconds")
        self.lengths.checked()
        self.bounds.checked()
        return self

    def seconds_at(self, rate_per_s: float, alone_s: float) -> float:
        """How long requests are sent at that rate: longer where few come, or answers take long, at most four times as long."""
        wanted = max(self.seconds, _FEWEST_REQUESTS / rate_per_s, _FEWEST_ANSWERS * alone_s)
        return min(wanted, _LONGEST * self.seconds)


def _checked_rate(rate: float, option: str) -> None:
    if not (math.isfinite(rate) and LEAST_RATE <= rate <= MOST_RATE):
        raise ConfigError(
            f"expected {LEAST_RATE:g} to {MOST_RATE:g} requests a second, not {rate:g}", path=option
        )
