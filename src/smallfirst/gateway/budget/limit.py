"""What a scope may spend in a period: the limits that a configuration sets, and the purses that they limit."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Literal, NamedTuple

import msgspec

from smallfirst.config.budget import Alarms, Budget
from smallfirst.gateway.budget.period import ADJECTIVES, Period, first_day
from smallfirst.money import nusd_from_usd

GATEWAY = "gateway"
_OWN = ("key", "tenant")  # purses that only calls of the caller's own tenant are paid from


class PurseName(NamedTuple):
    """Whose purse ("key", "tenant", "task" or "gateway", and a name), of which period. `frontier`: only what is spent with frontier models counts."""

    kind: str
    name: str
    period: Period = "day"
    frontier: bool = False

    @property
    def words(self) -> str:
        """As in "the monthly frontier budget of tenant 'acme'"."""
        frontier = " frontier" if self.frontier else ""
        owner = "this gateway" if self.kind == GATEWAY else f"{self.kind} {self.name!r}"
        return f"the {ADJECTIVES[self.period]}{frontier} budget of {owner}"

    @property
    def is_shared(self) -> bool:
        """Whether tenants may share it, so that what is in it is not for any of them to know."""
        return self.kind not in _OWN

    def anew(self, number: int) -> datetime.date | None:
        """The day on which it starts anew after the period of that number; None: never."""
        return first_day(self.period, number + 1)


class Limit(msgspec.Struct, frozen=True):
    """At most `nusd` in a period. `at_limit` says what becomes of calls that do not fit; without `alarms` nobody is told."""

    purse: PurseName
    nusd: int
    at_limit: Literal["refuse", "small"] = "refuse"
    alarms: Alarms | None = None


def limits_of(kind: str, name: str, budget: Budget, alarms: Alarms) -> tuple[Limit, ...]:
    """The limits that a budget sets its owner. `alarms`: the whole gateway's, for what the budget leaves open."""
    told = budget.alarms.under(alarms)
    sums: tuple[tuple[Period, bool, Decimal | None], ...] = (
        ("day", False, budget.usd_per_day),
        ("day", True, budget.frontier_usd_per_day),
        ("month", False, budget.usd_per_month),
        ("month", True, budget.frontier_usd_per_month),
        ("total", False, budget.usd_total),
    )
    return tuple(
        Limit(PurseName(kind, name, period, frontier), nusd_from_usd(usd), budget.at_limit, told)
        for period, frontier, usd in sums
        if usd is not None
    )
