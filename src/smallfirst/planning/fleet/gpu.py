"""A GPU as its vendor describes it: how fast it computes, how fast it reads its memory, and how much of that there is."""

from __future__ import annotations

import math
from statistics import median

import msgspec

from smallfirst.errors import ConfigError


class GPU(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One GPU. Arithmetic is *dense*: data sheets print twice as much, for matrices of which half is zero.

    TFLOP/s are 1e12 operations a second with sums in FP32, GB are 1e9 bytes. `fp8_tflops_per_s` is None where the chip has no FP8: weights in FP8 are
    then only stored so, and computed with in BF16. `link_gb_per_s` is one way, from one GPU to its neighbours. `offers_usd_per_hour` are US dollars
    for an hour on demand, as `price_source` asked for it on `price_date`; none is unknown, and has to be given.
    """

    name: str
    bf16_tflops_per_s: float
    memory_gb: float
    bandwidth_gb_per_s: float
    fp8_tflops_per_s: float | None = None
    link_gb_per_s: float = 32.0
    sustained_share: float = 1.0
    title: str = ""
    source: str = ""
    offers_usd_per_hour: tuple[float, ...] = ()
    price_source: str = ""
    price_date: str = ""

    def checked(self, where: str) -> GPU:
        """Itself. Raises `ConfigError` that names `where` and the field which cannot be."""
        for name in (
            "bf16_tflops_per_s",
            "memory_gb",
            "bandwidth_gb_per_s",
            "fp8_tflops_per_s",
            "link_gb_per_s",
        ):
            _positive(getattr(self, name), f"{where}: gpus.{self.name}.{name}")
        if not 0 < self.sustained_share <= 1:
            raise ConfigError(
                f"expected a share in (0, 1], not {self.sustained_share:g}",
                path=f"{where}: gpus.{self.name}.sustained_share",
            )
        for price in self.offers_usd_per_hour:
            _positive(price, f"{where}: gpus.{self.name}.offers_usd_per_hour")
        return self

    @property
    def usd_per_hour(self) -> float | None:
        """What a plan takes for an hour where nothing else is known: the middle of the offers, neither a bargain nor a list price."""
        return median(self.offers_usd_per_hour) if self.offers_usd_per_hour else None


def _positive(value: float | None, path: str) -> None:
    if value is not None and not (math.isfinite(value) and value > 0):
        raise ConfigError(f"expected a number above 0, not {value:g}", path=path)
