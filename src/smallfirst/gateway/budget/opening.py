"""Budgets as a gateway opens them: what was spent before, which alarms were told, and which of them did not reach their webhook."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from smallfirst.gateway.budget.alarm import EVENT, Alarm, Alarms, alarm_of
from smallfirst.gateway.budget.budgets import Budgets
from smallfirst.gateway.budget.limit import Limit, PurseName
from smallfirst.gateway.budget.period import MS_PER_DAY, first_day, hours, number
from smallfirst.gateway.budget.webhook import FAILED, SENT, Webhooks
from smallfirst.ledger.queries import Queries

_log = logging.getLogger(__name__)


def spent_before(queries: Queries) -> Callable[[PurseName, int], int]:
    """What the ledger says was spent from a purse in the period of that number, in nano-dollars."""

    def read(purse: PurseName, number: int) -> int:
        since_hour, until_hour = hours(purse.period, number)
        return queries.spent_nusd(
            (purse.kind, purse.name), since_hour=since_hour, until_hour=until_hour, frontier=purse.frontier
        )

    return read


def open_budgets(
    queries: Queries, webhooks: Webhooks, note: Callable[[str, dict[str, Any]], None]
) -> Budgets:
    """Budgets that read what was spent from the ledger, and whose alarms become events and go to their webhooks."""
    return Budgets(spent_before(queries), alarms=Alarms(note, before=told(queries), deliver=webhooks.deliver))


def begin_budgets(budgets: Budgets, webhooks: Webhooks, limits: tuple[Limit, ...], queries: Queries) -> None:
    """Before the first call: reads what was spent, tells what is to be told of it, and begins anew to send what an earlier gateway could not."""
    at_ms = int(time.time() * 1000)
    waiting = unsent(limits, queries, at_ms=at_ms)
    budgets.open(limits, at_ms=at_ms)
    for alarm, limit in waiting:
        webhooks.deliver(alarm, limit)


def unsent(limits: tuple[Limit, ...], queries: Queries, *, at_ms: int) -> list[tuple[Alarm, Limit]]:
    """Alarms of periods that last still which had a webhook, and of which no event says how their delivery went."""
    ended = {
        event.detail.get("alarm")
        for kind in (SENT, FAILED)
        for event in queries.events(kind=kind, limit=None)
    }
    by_purse = {limit.purse: limit for limit in limits}
    found = []
    for alarm in told(queries):
        limit = by_purse.get(alarm.purse)
        if limit is None or not alarm.webhook or alarm.id in ended:
            continue
        begins = first_day(alarm.purse.period, number(alarm.purse.period, at_ms // MS_PER_DAY))
        if alarm.begins == (begins.isoformat() if begins else ""):
            found.append((alarm, limit))
    return found


def told(queries: Queries) -> list[Alarm]:
    """The alarms in the ledger, oldest first."""
    return list(_told(queries))


def _told(queries: Queries) -> Iterator[Alarm]:
    for event in reversed(queries.events(kind=EVENT, limit=None)):
        try:
            yield alarm_of(event.detail)
        except msgspec.ValidationError as error:  # of another version's
            _log.warning("an alarm in the ledger cannot be read, and may be told again: %s", error)
