"""A purse: what was spent of one limit in one period, and what of that was told."""

from __future__ import annotations

from smallfirst.gateway.budget.limit import Limit

NEVER = 2**63
"""More than can be spent."""

Mark = tuple[float, bool, int]
"""A threshold, whether it is told since a call did not fit (the first refusal and the last dollar are told each), and of which limit: whoever
raises one that is reached is told of the new one too."""


class Purse:
    """What was spent and is set aside of one limit in one period; at `alarm_nusd` spent somebody is told."""

    __slots__ = ("alarm_nusd", "fired", "limit", "number", "reserved_nusd", "spent_nusd")

    def __init__(self, limit: Limit, number: int, spent_nusd: int) -> None:
        self.limit = limit
        self.number = number
        self.spent_nusd = spent_nusd
        self.reserved_nusd = 0
        self.fired: set[Mark] = set()
        self.alarm_nusd = NEVER
