"""How much is asked, and of whom: what the ways are priced for."""

from __future__ import annotations

import math
from fractions import Fraction

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.exact import SECONDS_PER_DAY, exact

_SHARES = ("cached_share", "cache_hit_rate", "frontier_share", "climbed_share", "batch_share")
_MOST = {"calls_per_day": 1e11, "input_tokens": 1e8, "output_tokens": 1e8, "peak_factor": 1e4}
_LEAST = {"input_tokens": 1, "peak_factor": 1}


class Workload(msgspec.Struct, frozen=True, kw_only=True):
    """Calls and tokens. Shares are between 0 and 1.

    `cache_hit_rate` (h) of all calls the cache answers; of the rest `frontier_share` (f) the frontier; of those `climbed_share` (c) were asked of
    the small model first. `cached_share` of a prompt's tokens come from a prompt cache. The busiest hour has `peak_factor` times the mean hour's
    calls. `batch_share` of the calls can wait for a batch.
    """

    calls_per_day: float
    input_tokens: float
    output_tokens: float
    peak_factor: float = 3.0
    cached_share: float = 0.0
    cache_hit_rate: float = 0.0
    frontier_share: float = 0.2
    climbed_share: float = 0.0
    batch_share: float = 0.0

    def checked(self) -> Workload:
        """Itself. Raises `ConfigError` that names the option which cannot be."""
        for name in Workload.__struct_fields__:
            value, option = getattr(self, name), "--" + name.replace("_", "-")
            if not math.isfinite(value):
                raise ConfigError(f"expected a number, not {value}", path=option)
            if name in _SHARES and not 0 <= value <= 1:
                raise ConfigError(f"expected a share in [0, 1], not {value:g}", path=option)
            if name in _MOST and not (
                _LEAST.get(name, 0) <= value <= _MOST[name] and (value or name == "output_tokens")
            ):
                least = f"at least {_LEAST[name]:g}" if name in _LEAST else "more than 0"
                raise ConfigError(
                    f"expected {least} and at most {_MOST[name]:,.0f}, not {value:g}", path=option
                )
        return self

    @property
    def missed_per_day(self) -> Fraction:
        """Calls a day that the cache does not answer."""
        return exact(self.calls_per_day) * (1 - exact(self.cache_hit_rate))

    @property
    def frontier_per_day(self) -> Fraction:
        """Calls a day that the frontier answers."""
        return self.missed_per_day * exact(self.frontier_share)

    @property
    def small_share(self) -> Fraction:
        """Of the missed calls, the share that the small model is asked: those that it answers and those that climb from it."""
        f = exact(self.frontier_share)
        return (1 - f) + f * exact(self.climbed_share)

    @property
    def small_per_day(self) -> Fraction:
        """Calls a day that the small model is asked."""
        return self.missed_per_day * self.small_share

    @property
    def small_rps(self) -> Fraction:
        """The same a second, on the mean of the day."""
        return self.small_per_day / SECONDS_PER_DAY

    @property
    def small_peak_rps(self) -> Fraction:
        """And in the busiest hour."""
        return self.small_rps * exact(self.peak_factor)
