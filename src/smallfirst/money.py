"""Money is a whole number of nano-dollars, and is rounded once an attempt.

Prices are quoted in US dollars per million tokens; $0.0375 per million is 37.5 nano-dollars a token, so a token's price is held in
*femto-dollars* (10⁻¹⁵ USD), which is exact for any quotation of up to nine decimal places. An attempt's parts are added up in
femto-dollars and rounded to nano-dollars once, half to even.

An unknown price is `None` all the way to the reports: it is never zero.
"""

from __future__ import annotations

from decimal import Decimal

NUSD_PER_USD = 10**9
FUSD_PER_NUSD = 10**6
_FUSD_PER_TOKEN_AT_ONE_USD_PER_MILLION = 10**9


def fusd_per_token(usd_per_million: Decimal) -> int:
    """The exact price of one token in femto-dollars.

    Raises `ValueError` where the quotation is negative, not finite or has more than nine decimal places.
    """
    if not usd_per_million.is_finite() or usd_per_million < 0:
        raise ValueError(f"a price must be a finite number of at least 0, not {usd_per_million}")
    scaled = usd_per_million * _FUSD_PER_TOKEN_AT_ONE_USD_PER_MILLION
    whole = int(scaled)
    if scaled != whole:
        raise ValueError(
            f"a price per million tokens may have nine decimal places, {usd_per_million} has more"
        )
    return whole


def nusd_from_fusd(fusd: int) -> int:
    """Femto-dollars to nano-dollars, rounded half to even."""
    quotient, remainder = divmod(fusd, FUSD_PER_NUSD)
    half = FUSD_PER_NUSD // 2
    if remainder > half or (remainder == half and quotient & 1):
        return quotient + 1
    return quotient


def nusd_from_usd(usd: Decimal) -> int:
    """Dollars to nano-dollars, exactly; raises `ValueError` below a nano-dollar's resolution."""
    scaled = usd * NUSD_PER_USD
    if not scaled.is_finite() or scaled != int(scaled):
        raise ValueError(f"{usd} USD is not a whole number of nano-dollars")
    return int(scaled)


def usd_from_nusd(nusd: int) -> Decimal:
    """Nano-dollars to dollars, exactly."""
    return Decimal(nusd).scaleb(-9)


def format_usd(nusd: int | None) -> str:
    """For people: cents for large sums, significant digits for small ones, `unknown` where the price is unknown."""
    if nusd is None:
        return "unknown"
    usd = usd_from_nusd(abs(nusd))
    sign = "-" if nusd < 0 else ""
    if usd == 0:
        return "$0"
    if usd >= 1:
        return f"{sign}${usd:,.2f}"
    places = min(9, 3 - usd.adjusted())
    text = f"{usd:.{max(places, 2)}f}"
    return f"{sign}${text}"
