"""Numbers in text: the last one, as people write them."""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation
from typing import Any

# a sign, digits with or without separators of thousands, a decimal part, an exponent; not the end of a word such as "x86"
_NUMBER = re.compile(
    r"(?<![\w.,])[-+−]?(?:[$€£¥]\s?)?(?:\d{1,3}(?:[,.'’ \u00a0\u202f]\d{3})+|\d+)(?:[.,]\d+)?(?:[eE][-+]?\d{1,3})?",
)
_SPACES = re.compile(r"['’ \u00a0\u202f]")
_MAX_CHARS = 100_000


def last_number(text: str) -> Decimal | None:
    """The last number of a text; None where it has none. What stands around it does not count: units, currencies, `%`.

    `1,234`, `1.234.567`, `1 234` and `1'234` are thousands; of `1,5` and `1.234,5` the comma is the decimal sign. A single point is always
    the decimal sign, and a single comma before exactly three digits never is.
    """
    found = None
    for found in _NUMBER.finditer(text[-_MAX_CHARS:]):  # noqa: B007 (the last one is wanted)
        pass
    return None if found is None else _value(found.group())


def number_of(value: Any) -> Decimal | None:
    """The number that a JSON value is or holds as text; None for others, and for NaN."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(repr(value)) if math.isfinite(value) else None
    return last_number(value) if isinstance(value, str) else None


def close(given: Decimal, truth: Decimal, tolerance: float) -> bool:
    """Whether the two differ by no more than `tolerance` of the truth."""
    return given == truth or abs(given - truth) <= abs(truth) * Decimal(repr(tolerance))


def _value(text: str) -> Decimal | None:
    text = re.sub(r"[$€£¥]", "", text).replace("−", "-").strip()
    mantissa, _, exponent = text.lower().partition("e")
    mantissa = _SPACES.sub("", mantissa)
    try:
        return Decimal(_pointed(mantissa) + (f"e{exponent}" if exponent else ""))
    except InvalidOperation:
        return None


def _pointed(digits: str) -> str:
    """The digits with a point for the decimal sign, and no separators of thousands."""
    commas, points = digits.count(","), digits.count(".")
    if commas and points:
        decimal, other = (",", ".") if digits.rindex(",") > digits.rindex(".") else (".", ",")
        if digits.count(decimal) > 1:
            return digits.replace(",", "").replace(".", "")
        return digits.replace(other, "").replace(decimal, ".")
    if commas:
        thousands = commas > 1 or re.search(r",\d{3}$", digits)
        return digits.replace(",", "") if thousands else digits.replace(",", ".")
    return digits.replace(".", "") if points > 1 else digits
