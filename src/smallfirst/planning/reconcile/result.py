"""What comes of holding a provider's account against the ledger."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

import msgspec

from smallfirst.money import NUSD_PER_USD

CauseKind = Literal[
    "only-theirs",
    "doubled",
    "only-ours",
    "tokens",
    "price",
    "unknown-price",
    "estimated",
    "midnight",
    "unexplained",
    "rounding",
]
"""`only-theirs`: they charge what the ledger does not know. `doubled`: they charge a request twice. `only-ours`: the ledger has what they do not
charge. `tokens`: the same call, other tokens. `price`: the same tokens, another price. `estimated`: usage was not reported to us. `midnight`: the
call is on the other side of a day's end. `rounding`: less than both sides' rounding can make; not a difference.
"""

MEANINGS: dict[CauseKind, str] = {
    "only-theirs": "only in their account",
    "doubled": "twice in their account",
    "only-ours": "only in the ledger",
    "tokens": "the same call, other tokens",
    "price": "the same tokens, another price",
    "unknown-price": "we do not know the price",
    "estimated": "usage was not reported to us: estimated",
    "midnight": "on the other side of midnight (UTC)",
    "unexplained": "nothing that we know of explains it",
    "rounding": "rounding",
}


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """One of the two accounts. `usd` is exact, and None where it tells no money; `count` is lines or attempts that something was charged for."""

    count: int
    usd: Decimal | None
    tokens: dict[str, int]


class Reported(msgspec.Struct, frozen=True, kw_only=True):
    """The requests that both accounts have, whose usage was reported to us and whose price we know: what must be equal."""

    count: int
    theirs_usd: Decimal
    ours_usd: Decimal


class Cause(msgspec.Struct, frozen=True, kw_only=True):
    """All that differs for one reason. Differences are theirs less ours; the causes' add up to the whole difference."""

    kind: CauseKind
    count: int
    theirs_usd: Decimal
    ours_usd: Decimal
    difference_usd: Decimal
    tokens: dict[str, int]
    what: tuple[str, ...] = ()  # as far as it could be found out


class Differing(msgspec.Struct, frozen=True, kw_only=True):
    """One call, or one day of one model, on which the accounts differ. `at` is ISO 8601 in UTC; empty and None is what a side does not have."""

    kind: CauseKind
    at: str
    model: str
    where: str = ""  # in their file
    request_id: str = ""
    group: str = ""
    call: str = ""
    seq: int | None = None
    status: str = ""
    theirs_usd: Decimal | None = None
    ours_usd: Decimal | None = None
    difference_usd: Decimal = Decimal(0)
    tokens: dict[str, int] = {}
    what: str = ""
    calls: tuple[str, ...] = ()  # of a day: the calls that it could be


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """`equal`: nothing differs but by rounding. `differing` are the dearest, at most `limits.DIFFERENCES_KEPT`; `left_out` says how many more there
    are.

    `by` is "request" or "day and model". The span is in Unix milliseconds. `difference_usd` is theirs less ours, exact, and None where their
    account tells no money. `reported` is None where their account has no line for each request, or no money.
    """

    file: str
    format: str
    title: str
    by: str
    providers: tuple[str, ...]
    simulated: bool
    since_ms: int
    until_ms: int
    theirs: Side
    ours: Side
    ours_estimated: int
    ours_estimated_usd: Decimal
    ours_unknown: int
    matched: int
    reported: Reported | None
    difference_usd: Decimal | None
    difference_nusd: int | None
    difference_tokens: dict[str, int]
    causes: tuple[Cause, ...]
    differing: tuple[Differing, ...]
    left_out: int
    remarks: tuple[str, ...]
    equal: bool


def usd(nusd: int | None) -> Decimal:
    """Nano-dollars as exact dollars; unknown is nothing in a sum."""
    return Decimal(nusd or 0) / NUSD_PER_USD


def nusd(amount: Decimal) -> int:
    """Dollars as whole nano-dollars, rounded half to even."""
    return int((amount * NUSD_PER_USD).to_integral_value())
