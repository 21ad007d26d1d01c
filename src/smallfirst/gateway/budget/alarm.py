"""Alarms: somebody is told once for each purse, period, limit and threshold, also over restarts.

An alarm is an event of the ledger first (`budget-alarm`), which is on the disk before anybody is told; then a line in the log and, where there is a
webhook, a delivery.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from smallfirst.gateway.budget.limit import Limit, PurseName
from smallfirst.gateway.budget.period import first_day
from smallfirst.gateway.budget.purse import NEVER, Mark, Purse
from smallfirst.money import format_usd

_log = logging.getLogger(__name__)
EVENT = "budget-alarm"
_PARTS = 1_000_000  # to which a threshold is exact


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One alarm, as the ledger keeps it and a webhook is sent it. `begins` is the first day of the period, empty for all time."""

    scope: str
    name: str
    period: str
    frontier: bool
    begins: str
    at: float
    spent_nusd: int
    limit_nusd: int
    refused: bool = False  # told since a call did not fit, whatever was spent
    at_ms: int = 0
    webhook: str = ""  # where it was to be sent: `env:NAME`

    @property
    def purse(self) -> PurseName:
        return PurseName(self.scope, self.name, self.period, self.frontier)  # pyright: ignore[reportArgumentType]

    @property
    def mark(self) -> Mark:
        """What of its purse and period it tells: nothing is told twice."""
        return self.at, self.refused, self.limit_nusd

    @property
    def id(self) -> str:
        """The same for every delivery of it."""
        of = (
            self.scope,
            self.name,
            self.period,
            "frontier" if self.frontier else "all",
            self.begins or "ever",
        )
        return "/".join((*of, "refused" if self.refused else f"{self.at:g}", str(self.limit_nusd)))

    @property
    def text(self) -> str:
        """In a sentence."""
        words, spent, limit = self.purse.words, format_usd(self.spent_nusd), format_usd(self.limit_nusd)
        since = f" since {self.begins}" if self.begins else ""
        if self.refused:
            return f"a call did not fit {words}: {spent} of {limit} spent{since}"
        return f"{self.at:.0%} of {words} reached: {spent} of {limit} spent{since}"


Deliver = Callable[[Alarm, Limit], None]
"""Sends an alarm to the webhook of its limit, if it has one. Never waits, never raises."""


class Alarms:
    """`note` writes an event; `before` are the alarms that earlier runs told."""

    def __init__(
        self,
        note: Callable[[str, dict[str, Any]], None] = lambda kind, detail: None,
        *,
        before: Iterable[Alarm] = (),
        deliver: Deliver = lambda alarm, limit: None,
    ) -> None:
        self._note = note
        self._deliver = deliver
        self._before: dict[tuple[PurseName, str], set[Mark]] = {}
        for alarm in before:
            self._before.setdefault((alarm.purse, alarm.begins), set()).add(alarm.mark)
        self.told: Counter[tuple[str, str, str]] = Counter()
        """How many were told, by kind of scope, period and threshold."""

    def begin(self, purse: Purse) -> None:
        """A purse is opened: what was told of it before is not told again."""
        purse.fired |= self._before.pop((purse.limit.purse, _begins(purse)), set())
        self.look(purse)

    def look(self, purse: Purse) -> None:
        """Tells what has been reached, and sets at which sum to look again."""
        limit = purse.limit
        if limit.alarms is None or not limit.nusd:
            purse.alarm_nusd = NEVER
            return
        purse.alarm_nusd = NEVER
        for at in sorted(limit.alarms.at or ()):
            due_nusd = -(-round(at * _PARTS) * limit.nusd // _PARTS)
            if (at, False, limit.nusd) in purse.fired:
                continue
            if purse.spent_nusd < due_nusd:
                purse.alarm_nusd = due_nusd
                return
            self._tell(purse, at)

    def refused(self, purse: Purse) -> None:
        """A call did not fit: the limit is as good as reached, whatever was spent."""
        alarms = purse.limit.alarms
        mark = (1.0, True, purse.limit.nusd)
        if alarms is not None and 1.0 in (alarms.at or ()) and mark not in purse.fired:
            self._tell(purse, 1.0, refused=True)

    def _tell(self, purse: Purse, at: float, *, refused: bool = False) -> None:
        limit, name = purse.limit, purse.limit.purse
        purse.fired.add((at, refused, limit.nusd))
        alarm = Alarm(
            scope=name.kind,
            name=name.name,
            period=name.period,
            frontier=name.frontier,
            begins=_begins(purse),
            at=at,
            spent_nusd=purse.spent_nusd,
            limit_nusd=limit.nusd,
            refused=refused,
            at_ms=int(time.time() * 1000),
            webhook=(limit.alarms.webhook if limit.alarms is not None else None) or "",
        )
        self._note(EVENT, msgspec.to_builtins(alarm))
        _log.warning("budget alarm: %s", alarm.text)
        self.told[(name.kind, name.period, f"{at:g}")] += 1
        self._deliver(alarm, limit)


def alarm_of(detail: Mapping[str, Any]) -> Alarm:
    """An alarm as the ledger keeps it. Raises `msgspec.ValidationError`."""
    return msgspec.convert(detail, Alarm)


def _begins(purse: Purse) -> str:
    date = first_day(purse.limit.purse.period, purse.number)
    return date.isoformat() if date else ""
