"""Figures of a plan, as people say them."""

from __future__ import annotations

import math

from smallfirst.planning.costs.exact import MILLION

_FACTORS = ("frontier_price", "hosted_price", "throughput")
_HUNDRED_MILLION = 100 * MILLION


def dollars(usd: float, *, digits: int = 3) -> str:
    """For people: cents from a dollar on, so many significant digits below."""
    if usd == 0:
        return "$0"
    sign, size = ("-" if usd < 0 else ""), abs(usd)
    if size >= _HUNDRED_MILLION:
        return f"{sign}${size / MILLION:,.1f} M"
    if size >= 1000:
        return f"{sign}${size:,.0f}"
    if size >= 1:
        return f"{sign}${size:,.2f}"
    places = min(15, digits - 1 - math.floor(math.log10(size)))
    return f"{sign}${size:.{places}f}"


def about(usd: float) -> str:
    """A forecast's dollars, where three digits are all that is known."""
    size = abs(usd)
    for unit, letter in ((MILLION, " M"), (1000, " k")):
        if size >= unit:
            return f"{'-' if usd < 0 else ''}${size / unit:.{max(0, 2 - math.floor(math.log10(size / unit)))}f}{letter}"
    return dollars(usd)


def shares(hit_rate: float | None, frontier_share: float | None, *, ladder: bool) -> str:
    """h and f of a plan's ways; without a ladder there is no f."""
    h = f"h = {hit_rate or 0:.0%}"
    return f"{h}, f = {frontier_share or 0:.0%}" if ladder else f"{h}, no ladder"


def figure(name: str, value: float) -> str:
    """A figure of an input, as people say it."""
    if name in _FACTORS:
        return f"x {value:.3g}"
    if name.endswith("_share") or name in ("cache_hit_rate", "load"):
        return f"{value:.1%}"
    if "usd" in name:
        return dollars(value)
    return f"{value:,.0f}" if value >= 1000 else f"{value:.4g}"
