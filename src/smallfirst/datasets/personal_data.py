"""Personal data that has a form of its own, found in text: e-mail addresses, telephone numbers, account and card numbers, addresses of machines.

A candidate's form is not enough: telephone numbers are checked against Google's plans of numbers (phonenumbers), IBAN by country and check
digits and US social security numbers by their rules (python-stdnum), card numbers by the issuer's range and Luhn's digit, IP addresses by
the standard library. All of it works offline. Names and postal addresses have no such form and are not found.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from smallfirst.errors import ConfigError

_EMAIL = re.compile(
    r"(?<![\w.!#$%&'*+/=?^`{|}~-])[\w.!#$%&'*+/=?^`{|}~-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_][\w-]{1,62}"
)
_IBAN = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}(?![A-Za-z0-9])")
_CARD = re.compile(r"(?<![\d.,])\d(?:[ -]?\d){12,18}(?![\d])")
_ISSUERS = re.compile(
    r"4(?:\d{12}|\d{15}|\d{18})|5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01]|720)\d{12,13}|3[47]\d{13}|3(?:0[0-5]|[689]\d)\d{11}|35\d{14}|6\d{15,18}"
)
_SSN = re.compile(r"(?<![\d-])\d{3}[- ]\d{2}[- ]\d{4}(?![\d-])")
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:.])(?:[0-9A-Fa-f]{0,4}:){2,7}[0-9A-Fa-f]{0,4}(?![\w:])")
_DIGITS_IN_A_ROW = re.compile(r"\d(?:[^\w\n]{0,3}\d){6}")
_SEPARATED = re.compile(r"\d[^\w\n]+\d")
_LEAST_NATIONAL_DIGITS = 9
# Numbers without a country's code are taken for one of these; `phone:FR` in the configuration takes the place of the list.
_REGIONS = ("US", "GB", "DE")


class Found(NamedTuple):
    """One finding. `value` is the same for the same thing, however it is written; `digits` are those by which it may be written otherwise."""

    start: int
    end: int
    kind: str
    value: str
    digits: str = ""


Finder = Callable[[str], Iterator[Found]]


def finders(kinds: tuple[str, ...]) -> list[Finder]:
    """What finds each kind, in the order in which they have the word. Raises `ConfigError` for a kind that is not known."""
    if kinds == ("none",):
        return []
    regions = tuple(kind.removeprefix("phone:") for kind in kinds if kind.startswith("phone:"))
    wanted = {kind.partition(":")[0] for kind in kinds}
    strange = sorted(wanted - _FINDERS.keys() - {"phone"})
    if strange:
        known = ", ".join([*_FINDERS, "phone", "phone:FR (and other countries)"])
        raise ConfigError(
            f"{strange[0]!r} is not known (known: {known}; or none alone)", path="learning.redact"
        )
    found = [finder for kind, finder in _FINDERS.items() if kind in wanted]
    return [*found, _phone_finder(regions or _REGIONS)] if "phone" in wanted else found


def _emails(text: str) -> Iterator[Found]:
    if "@" not in text:
        return
    for match in _EMAIL.finditer(text):
        yield Found(match.start(), match.end(), "EMAIL", match[0].casefold())


def _ibans(text: str) -> Iterator[Found]:
    for match in _IBAN.finditer(text):
        end = _iban_end(match[0])
        if end:
            value = re.sub(r"[ -]", "", match[0][:end]).upper()
            yield Found(match.start(), match.start() + end, "IBAN", value, value)


def _iban_end(text: str) -> int:
    """How much of a candidate is an account number: words that follow it may look as if they belonged to it."""
    from stdnum import iban

    for end in range(len(text), 14, -1):
        if text[end - 1].isalnum() and iban.is_valid(text[:end]):
            return end
    return 0


def _cards(text: str) -> Iterator[Found]:
    from stdnum import luhn

    for match in _CARD.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if _ISSUERS.fullmatch(digits) and luhn.is_valid(digits):
            yield Found(match.start(), match.end(), "CREDIT_CARD", digits, digits)


def _ssns(text: str) -> Iterator[Found]:
    from stdnum.us import ssn

    for match in _SSN.finditer(text):
        digits = re.sub(r"\D", "", match[0])
        if ssn.is_valid(digits):
            yield Found(match.start(), match.end(), "SSN", digits, digits)


def _ips(text: str) -> Iterator[Found]:
    patterns = (_IPV4, _IPV6) if text.count(":") > 1 else (_IPV4,)
    for pattern in patterns:
        for match in pattern.finditer(text):
            try:
                value = ipaddress.ip_address(match[0])
            except ValueError:
                continue
            if any(char.isdigit() for char in match[0]):  # `a::b` and `::` are names in code
                yield Found(match.start(), match.end(), "IP", str(value))


def _phone_finder(regions: tuple[str, ...]) -> Finder:
    """Numbers with a country's code anywhere; national ones only where they are written in groups, for a row of digits is an order's number."""
    import phonenumbers

    strange = [region for region in regions if region not in phonenumbers.SUPPORTED_REGIONS]
    if strange:
        raise ConfigError(f"'phone:{strange[0]}': expected a country as in phone:FR", path="learning.redact")
    valid = phonenumbers.Leniency.VALID

    def phones(text: str) -> Iterator[Found]:
        if not _DIGITS_IN_A_ROW.search(text):
            return
        for region in (None, *regions) if "+" in text else regions:
            for match in phonenumbers.PhoneNumberMatcher(text, region, leniency=valid):
                raw = match.raw_string
                national = "+" not in raw and not raw.startswith("00")
                if national and (
                    len(re.sub(r"\D", "", raw)) < _LEAST_NATIONAL_DIGITS or not _SEPARATED.search(raw)
                ):
                    continue
                value = phonenumbers.format_number(match.number, phonenumbers.PhoneNumberFormat.E164)
                digits = phonenumbers.national_significant_number(match.number)
                yield Found(match.start, match.end, "PHONE", value, digits)

    return phones


_FINDERS: dict[str, Finder] = {
    "email": _emails,
    "iban": _ibans,
    "credit-card": _cards,
    "ssn": _ssns,
    "ip": _ips,
}
