"""Budgets: the worst case of each attempt is set aside before it is sent, and replaced by its cost once, after it.

One event loop owns these numbers, and a reservation is made without giving way: no two calls can spend the same dollar. A call is paid from the
purses of the day and month in which it arrived, however long it takes: they are the ledger's days and months too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import msgspec

from smallfirst.errors import BudgetExceeded, NotAllowed
from smallfirst.gateway.budget.alarm import Alarms
from smallfirst.gateway.budget.limit import Limit, PurseName
from smallfirst.gateway.budget.period import MS_PER_DAY, PERIODS, Period, number
from smallfirst.gateway.budget.purse import Purse
from smallfirst.money import format_usd


class Reservation(msgspec.Struct, frozen=True):
    """What is set aside, and in which purses: settled once, with what it cost."""

    nusd: int
    purses: tuple[Purse, ...]


class _Pair:
    """The purse that was asked for last, and the one of another period before it: calls over midnight, and clocks that step back, need both."""

    __slots__ = ("before", "now")

    def __init__(self, now: Purse) -> None:
        self.now = now
        self.before: Purse | None = None


class Budgets:
    """Every limited purse. `spent_before` reads from the ledger, once, what was spent from a purse in the period of that number."""

    def __init__(
        self, spent_before: Callable[[PurseName, int], int], *, alarms: Alarms | None = None
    ) -> None:
        self._spent_before = spent_before
        self.alarms = alarms or Alarms()
        self._pairs: dict[PurseName, _Pair] = {}
        self._day = -1
        self._numbers: dict[Period, int] = {}
        self.refused: Counter[tuple[str, str]] = Counter()  # reservations, by kind of scope and period
        self.kept_small = 0  # calls that a budget left to small rungs, and that these answered

    def reserve(
        self, limits: tuple[Limit, ...], nusd: int | None, *, at_ms: int, model: str
    ) -> Reservation | None:
        """Sets `nusd` aside in every purse, or in none. `at_ms`: when the call arrived.

        Raises `BudgetExceeded` that names the purse, and `NotAllowed` where a price is unknown (None): a budget cannot hold what it cannot count.
        Nothing is set aside, and nothing refused, for what is free.
        """
        if not limits or nusd == 0:
            return None
        if nusd is None:
            raise NotAllowed(
                f"model {model!r} has no known price, so {limits[0].purse.words} cannot be kept; "
                f"give its price in [[models.{model}.prices]]"
            )
        purses = tuple([self._purse(limit, at_ms) for limit in limits])
        if any(purse.spent_nusd + purse.reserved_nusd + nusd > purse.limit.nusd for purse in purses):
            raise self._refusal(purses, nusd)
        for purse in purses:
            purse.reserved_nusd += nusd
        return Reservation(nusd, purses)

    def settle(self, reservation: Reservation | None, cost_nusd: int | None) -> None:
        """Replaces a reservation by what the attempt cost; an unknown cost is counted at what was set aside."""
        if reservation is None:
            return
        cost = reservation.nusd if cost_nusd is None else cost_nusd
        for purse in reservation.purses:
            purse.reserved_nusd -= reservation.nusd
            purse.spent_nusd += cost
            if purse.spent_nusd >= purse.alarm_nusd:
                self.alarms.look(purse)

    def open(self, limits: tuple[Limit, ...], *, at_ms: int) -> None:
        """Reads what was spent from these purses, so that no call waits for it, and tells what is to be told of it."""
        for limit in limits:
            self._purse(limit, at_ms)

    def spent(self, limit: Limit, *, at_ms: int) -> tuple[int, int]:
        """Nano-dollars spent and set aside in the period of a moment."""
        purse = self._purse(limit, at_ms)
        return purse.spent_nusd, purse.reserved_nusd

    def known(self, name: PurseName, *, at_ms: int) -> int:
        """Nano-dollars spent in the period of a moment, as far as it is known without reading: nothing, where no call has been paid in it yet."""
        pair = self._pairs.get(name)
        wanted = number(name.period, at_ms // MS_PER_DAY)
        purses = (pair.now, pair.before) if pair is not None else ()
        return next((one.spent_nusd for one in purses if one is not None and one.number == wanted), 0)

    def _purse(self, limit: Limit, at_ms: int) -> Purse:
        day = at_ms // MS_PER_DAY
        if day != self._day:
            self._day = day
            self._numbers = {period: number(period, day) for period in PERIODS}
        wanted = self._numbers[limit.purse.period]
        pair = self._pairs.get(limit.purse)
        if pair is None:
            purse = self._opened(limit, wanted)
            self._pairs[limit.purse] = _Pair(purse)
            return purse
        purse = pair.now
        if purse.number != wanted:
            other = pair.before
            purse = other if other is not None and other.number == wanted else self._opened(limit, wanted)
            pair.now, pair.before = purse, pair.now
        if purse.limit is not limit and purse.limit != limit:
            purse.limit = limit  # a reload has moved it
            self.alarms.look(purse)
        return purse

    def _opened(self, limit: Limit, number: int) -> Purse:
        purse = Purse(limit, number, self._spent_before(limit.purse, number))
        self.alarms.begin(purse)
        return purse

    def _refusal(self, purses: tuple[Purse, ...], nusd: int) -> BudgetExceeded:
        """Names the purse that does not allow it: one that refuses before one that leaves the call to small rungs."""
        over = [purse for purse in purses if purse.spent_nusd + purse.reserved_nusd + nusd > purse.limit.nusd]
        for purse in over:
            self.alarms.refused(purse)
        hard = [purse for purse in over if purse.limit.at_limit == "refuse"]
        named = (hard or over)[0]
        self.refused[(named.limit.purse.kind, named.limit.purse.period)] += 1
        return _exceeded(named, nusd)


def _exceeded(purse: Purse, nusd: int) -> BudgetExceeded:
    limit, name = purse.limit, purse.limit.purse
    sums = f"{format_usd(purse.spent_nusd)} spent and {format_usd(purse.reserved_nusd)} set aside of {format_usd(limit.nusd)}"
    if name.is_shared:
        sums = f"{format_usd(limit.nusd)} may be spent by all together"
    anew = name.anew(purse.number)
    starts = f"It starts anew at {anew} 00:00 UTC" if anew else "It does not start anew"
    return BudgetExceeded(
        f"{name.words} does not allow this call: {sums}; this call may cost up to {format_usd(nusd)}. {starts}",
        budget=name.words,
        leaves_small=limit.at_limit == "small",
    )
