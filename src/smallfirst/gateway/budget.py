"""Budgets of a day: the worst case of each attempt is set aside before it is sent, and replaced by its cost once, after it.

One event loop owns these numbers, and a reservation is made without giving way: no two calls can spend the same dollar. Days are UTC's.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from smallfirst.errors import BudgetExceeded, NotAllowed
from smallfirst.money import format_usd

Scope = tuple[str, str]
"""A kind ("key", "tenant" or "task", and each of them with " (frontier)" behind it) and a name."""

FRONTIER = " (frontier)"


class Limit(msgspec.Struct, frozen=True):
    """At most `nusd` a day for `scope`. `frontier`: only what is spent with frontier models counts."""

    scope: Scope
    nusd: int
    frontier: bool = False


class _Purse:
    __slots__ = ("day", "reserved_nusd", "spent_nusd")

    def __init__(self, day: int, spent_nusd: int) -> None:
        self.day = day
        self.spent_nusd = spent_nusd
        self.reserved_nusd = 0


class Reservation(msgspec.Struct, frozen=True):
    """What is set aside, and in which purses: settled once, with what it cost.

    It names the purses, not their day: a call that arrived before midnight may be paid from a purse of the next day.
    """

    nusd: int
    purses: tuple[_Purse, ...]


class Budgets:
    """What every limited scope has spent and set aside today. `spent_before` reads a scope's spending of a day from the ledger, once."""

    def __init__(self, spent_before: Callable[[Scope, int], int]) -> None:
        self._spent_before = spent_before
        self._purses: dict[Scope, _Purse] = {}

    def reserve(
        self, limits: tuple[Limit, ...], nusd: int | None, *, day: int, model: str
    ) -> Reservation | None:
        """Sets `nusd` aside in every scope, or in none.

        Raises `BudgetExceeded` that names the scope, and `NotAllowed` where a price is unknown (None): a budget cannot hold what it cannot count.
        Nothing is set aside, and nothing refused, for what is free.
        """
        if not limits or nusd == 0:
            return None
        if nusd is None:
            kind, name = limits[0].scope
            raise NotAllowed(
                f"model {model!r} has no known price, so the daily budget of {kind} {name!r} cannot be kept; "
                f"give its price in [[models.{model}.prices]]"
            )
        purses = [self._purse(limit.scope, day) for limit in limits]
        for limit, purse in zip(limits, purses, strict=True):
            if purse.spent_nusd + purse.reserved_nusd + nusd > limit.nusd:
                raise _exceeded(limit, purse, nusd)
        for purse in purses:
            purse.reserved_nusd += nusd
        return Reservation(nusd, tuple(purses))

    def settle(self, reservation: Reservation | None, cost_nusd: int | None) -> None:
        """Replaces a reservation by what the attempt cost; an unknown cost is counted at what was set aside."""
        if reservation is None:
            return
        cost = reservation.nusd if cost_nusd is None else cost_nusd
        for purse in reservation.purses:
            purse.reserved_nusd -= reservation.nusd
            purse.spent_nusd += cost

    def spent(self, scope: Scope, day: int) -> tuple[int, int]:
        """Nano-dollars spent and set aside today."""
        purse = self._purse(scope, day)
        return purse.spent_nusd, purse.reserved_nusd

    def _purse(self, scope: Scope, day: int) -> _Purse:
        purse = self._purses.get(scope)
        if purse is None or purse.day < day:
            purse = self._purses[scope] = _Purse(day, self._spent_before(scope, day))
        return purse


def _exceeded(limit: Limit, purse: _Purse, nusd: int) -> BudgetExceeded:
    kind, name = limit.scope
    return BudgetExceeded(
        f"the daily budget of {kind} {name!r} does not allow this call: {format_usd(purse.spent_nusd)} spent and "
        f"{format_usd(purse.reserved_nusd)} set aside of {format_usd(limit.nusd)}; this call may cost up to {format_usd(nusd)}. "
        "It starts anew at 00:00 UTC"
    )
