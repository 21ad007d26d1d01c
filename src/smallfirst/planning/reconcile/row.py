"""A row of a file as it was written, read field by field: what is wrong with it is said with the file, the line and the field."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from smallfirst.errors import ConfigError

_AMOUNT = re.compile(r"^-?\$?-?(\d{1,3}(,\d{3})+|\d*)(\.\d+)?([eE][-+]?\d+)?$")
_MS_PER_S = 1000
_MILLISECONDS_FROM = 10**11  # Unix seconds will not be that many for three thousand years
_LATEST_MS = 253_402_300_799_000  # the end of the year 9999
_MOST_TOKENS = 10**15
_MOST_USD = 10**12
_LEAST_EXPONENT = -60  # digits behind the point: more is not an amount of money


class Row:
    """One row of a CSV, or one object of a JSON file, flat: `{"amount": {"value": 1}}` has the field `amount_value`."""

    __slots__ = ("fields", "path", "where")

    def __init__(self, path: Path, where: str, fields: Mapping[str, Any]) -> None:
        self.path = path
        self.where = where
        self.fields = fields

    def wrong(self, field: str, expected: str) -> ConfigError:
        """The error that this field is not as it should be."""
        given = "None" if self.fields.get(field) is None else self.text(field)[:60]
        return ConfigError(
            f"expected {expected}, not {given!r}", path=f"{self.path.name}: {self.where}: {field}"
        )

    def text(self, field: str) -> str:
        """The field as text, halves of characters as `?`; empty where it is absent or null."""
        value = self.fields.get(field)
        return "" if value is None else str(value).strip().encode(errors="replace").decode()

    def count(self, field: str) -> int:
        """A number of tokens or requests; 0 where it is absent, null or empty. `3.0` is 3."""
        text = self.text(field)
        if not text:
            return 0
        try:
            number = Decimal(text.replace(",", ""))
        except InvalidOperation:
            raise self.wrong(field, "a whole number") from None
        if not number.is_finite() or not 0 <= number <= _MOST_TOKENS or number != number.to_integral_value():
            raise self.wrong(field, "a whole number of at least 0")
        return int(number)

    def amount(self, field: str) -> Decimal | None:
        """An amount of money, exactly as it is written; None where it is absent, null or empty."""
        text = self.text(field)
        if not text:
            return None
        if not _AMOUNT.match(text) or not any(letter.isdigit() for letter in text):
            raise self.wrong(field, "an amount in US dollars as 12.34")
        try:
            found = Decimal(text.replace(",", "").replace("$", ""))
        except InvalidOperation:
            raise self.wrong(field, "an amount in US dollars as 12.34") from None
        exponent = found.as_tuple().exponent
        if found.copy_abs() > _MOST_USD or not isinstance(exponent, int) or exponent < _LEAST_EXPONENT:
            raise self.wrong(field, "an amount of money")
        return found

    def moment_ms(self, field: str) -> int:
        """A moment: ISO 8601 (UTC unless it says otherwise), or Unix seconds or milliseconds."""
        text = self.text(field)
        expected = "a time as 2026-11-24T08:00:00Z or in Unix seconds"
        try:
            number = Decimal(text)
        except InvalidOperation:
            return self._iso_ms(field, text, expected)
        # before it is an int: `1e999999999` as one takes all memory
        if not number.is_finite() or not 0 <= number <= _LATEST_MS:
            raise self.wrong(field, expected)
        return int(number if number >= _MILLISECONDS_FROM else number * _MS_PER_S)

    def dollars_only(self, field: str) -> None:
        """Raises `ConfigError` where the field names another currency than the US dollar."""
        currency = self.text(field)
        if currency and currency.lower() not in ("usd", "us$", "$"):
            raise ConfigError(
                f"amounts are in {currency[:20]!r}: only US dollars are compared; export the account in USD",
                path=f"{self.path.name}: {self.where}: {field}",
            )

    def _iso_ms(self, field: str, text: str, expected: str) -> int:
        try:
            found = datetime.datetime.fromisoformat(text.removesuffix(" UTC").strip())
        except ValueError:
            raise self.wrong(field, expected) from None
        found = found if found.tzinfo else found.replace(tzinfo=datetime.UTC)
        try:
            found_ms = int(found.timestamp() * _MS_PER_S)
        except (OverflowError, ValueError):
            raise self.wrong(field, expected) from None
        if found_ms < 0:
            raise self.wrong(field, expected)
        return found_ms
