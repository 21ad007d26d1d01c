"""Where every budget stands: what is spent of it in the period that lasts, by the ledger, and what was told of it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

import msgspec

from smallfirst.config.schema import Config
from smallfirst.gateway.budget.configured import all_limits
from smallfirst.gateway.budget.limit import Limit, PurseName
from smallfirst.gateway.budget.opening import spent_before, told
from smallfirst.gateway.budget.period import MS_PER_DAY, Period, first_day, number
from smallfirst.gateway.budget.webhook import FAILED, SENT
from smallfirst.ledger.keys import StoredKey
from smallfirst.ledger.queries import Queries

Delivery = Literal["none", "waiting", "sent", "failed"]
"""Of an alarm to its webhook; `none`: it had none."""


_Of = tuple[PurseName, str, int]
"""A purse, the day with which its period began, and its limit."""


class ToldAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm of the period that lasts, and of the limit that holds."""

    at: float
    at_ms: int
    refused: bool
    delivery: Delivery
    why: str = ""  # it failed


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One limit. `begins` and `anew` are the first days of this period and of the next, empty of a total budget. What calls under way have set
    aside is not in `spent_nusd`.
    """

    scope: str
    name: str
    period: Period
    frontier: bool
    begins: str
    anew: str
    spent_nusd: int
    limit_nusd: int
    at_limit: str
    alarms: tuple[ToldAlarm, ...]

    @property
    def share(self) -> float:
        """What is spent of the limit; 1 of a limit of 0."""
        return self.spent_nusd / self.limit_nusd if self.limit_nusd else 1.0


def standings(
    config: Config, keys: Iterable[StoredKey], queries: Queries | None, *, at_ms: int
) -> list[Standing]:
    """Every limit of a configuration and of keys that were made, the whole gateway's first. Without `queries` (there is no ledger yet) nothing is
    spent.
    """
    read = spent_before(queries) if queries else lambda purse, number: 0
    alarms = _alarms(queries) if queries else {}
    day = at_ms // MS_PER_DAY
    return [
        _standing(limit, day, read(limit.purse, number(limit.purse.period, day)), alarms)
        for limit in all_limits(config, keys)
    ]


def _standing(limit: Limit, day: int, spent_nusd: int, alarms: dict[_Of, list[ToldAlarm]]) -> Standing:
    purse = limit.purse
    of = number(purse.period, day)
    begins, anew = first_day(purse.period, of), purse.anew(of)
    since = begins.isoformat() if begins else ""
    return Standing(
        scope=purse.kind,
        name=purse.name,
        period=purse.period,
        frontier=purse.frontier,
        begins=since,
        anew=anew.isoformat() if anew else "",
        spent_nusd=spent_nusd,
        limit_nusd=limit.nusd,
        at_limit=limit.at_limit,
        alarms=tuple(alarms.get((purse, since, limit.nusd), ())),
    )


def _alarms(queries: Queries) -> dict[_Of, list[ToldAlarm]]:
    """What was told, by what it was told of."""
    ended: dict[str, tuple[Delivery, str]] = {}
    results: tuple[tuple[str, Delivery], ...] = ((SENT, "sent"), (FAILED, "failed"))
    for kind, result in results:
        for event in queries.events(kind=kind, limit=None):
            ended[str(event.detail.get("alarm"))] = (result, str(event.detail.get("why", "")))
    found: dict[_Of, list[ToldAlarm]] = {}
    for alarm in told(queries):
        delivery, why = ended.get(alarm.id, ("waiting" if alarm.webhook else "none", ""))
        one = ToldAlarm(at=alarm.at, at_ms=alarm.at_ms, refused=alarm.refused, delivery=delivery, why=why)
        found.setdefault((alarm.purse, alarm.begins, alarm.limit_nusd), []).append(one)
    return found
