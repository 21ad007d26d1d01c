"""What the month will come to: what was spent, what the coming days are expected to cost, and between what that lies.

Days are UTC's, as budgets' are. Of the day that is under way, what is spent counts as it is, and of what is expected
the share that is spent after this hour on other days. The day on which the first call came is no whole day, and those
before it were not of smallfirst's: they are left out. Own models' hours go on as in the last day; they are no guess
from traffic, and stand apart.
"""

from __future__ import annotations

import calendar
import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import msgspec

from smallfirst.ledger.records import OWN_PURSE
from smallfirst.ledger.reports import Group, Reports, Span
from smallfirst.planning.bill.daily_model import CONFIDENCE, LEAST_DAYS, Band, cumulated, has_weekdays

HISTORY_DAYS = 56
_HOUR_PATTERN_DAYS = 7
_HOURS_PER_DAY = 24
_EPOCH = datetime.date(1970, 1, 1)
Scope = Literal["gateway", "tenant", "key", "task"]
_GROUPS: dict[Scope, Group | None] = {"gateway": None, "tenant": "tenant", "key": "key", "task": "task"}


class DayAhead(msgspec.Struct, frozen=True, kw_only=True):
    """A coming day (or what is left of this one), and what the month will have come to at its end."""

    day: datetime.date
    total_nusd: int
    low_nusd: int
    high_nusd: int


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """A month, of attempts at known prices. `total_nusd` and the band around it are None where `missing_days` more
    whole days are needed first; `days` is then empty.

    `weekdays`: whether the days of the week are told apart. `own_models_total_nusd` is what own models' hours will have
    come to; it is in no other sum. `unknown_attempts` of this month are in none.
    """

    month: str
    at: datetime.datetime
    so_far_nusd: int
    total_nusd: int | None
    low_nusd: int | None
    high_nusd: int | None
    history_days: int
    missing_days: int
    weekdays: bool
    spent: tuple[tuple[datetime.date, int], ...]
    days: tuple[DayAhead, ...]
    own_models_so_far_nusd: int
    own_models_total_nusd: int
    unknown_attempts: int
    simulated: bool
    confidence: float = CONFIDENCE


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A budget of a month. `name` is empty for the whole gateway's."""

    scope: Scope
    name: str
    nusd: int


class LimitAhead(msgspec.Struct, frozen=True, kw_only=True):
    """Whether and when a budget of this month will be reached: on the day on which the expected sum gets there, at the
    earliest on that on which the band's upper end does; None: not in this month. `spent_nusd` is what clients' calls cost.
    """

    limit: Limit
    spent_nusd: int
    total_nusd: int | None
    low_nusd: int | None
    high_nusd: int | None
    reached_on: datetime.date | None
    earliest_on: datetime.date | None
    missing_days: int


def forecast(reports: Reports, only: Span, now: datetime.datetime) -> Forecast:
    """This month's, of the calls that `only` asks for; its hours do not count. `now` knows its time zone."""
    now = now.astimezone(datetime.UTC)
    span = _history(only, now)
    rows = reports.spend(span, "day")
    spent: dict[datetime.date, int] = defaultdict(int)
    month = f"{now:%Y-%m}"
    for row in rows:
        spent[datetime.date.fromisoformat(row.name)] += row.cost_nusd
    ahead = _ahead(spent, now, _left_of_day(reports, only, now))
    of_month = [row for row in rows if row.name.startswith(month)]
    so_far, coming = _own_models(reports, only, now)
    return Forecast(
        month=month,
        at=now,
        so_far_nusd=sum(row.cost_nusd for row in of_month),
        total_nusd=ahead.days[-1].total_nusd if ahead.days else None,
        low_nusd=ahead.days[-1].low_nusd if ahead.days else None,
        high_nusd=ahead.days[-1].high_nusd if ahead.days else None,
        history_days=ahead.history_days,
        missing_days=max(0, LEAST_DAYS - ahead.history_days),
        weekdays=has_weekdays(ahead.history_days),
        spent=tuple(sorted((day, nusd) for day, nusd in spent.items() if f"{day:%Y-%m}" == month)),
        days=ahead.days,
        own_models_so_far_nusd=so_far,
        own_models_total_nusd=so_far + coming,
        unknown_attempts=sum(row.unknown_attempts for row in of_month),
        simulated=any(row.simulated and row.cost_nusd for row in of_month),
    )


def limits_ahead(reports: Reports, limits: Iterable[Limit], now: datetime.datetime) -> list[LimitAhead]:
    """When each of these budgets will be reached, in their order. What smallfirst spends for itself counts against none."""
    now = now.astimezone(datetime.UTC)
    wanted = list(limits)
    left = _left_of_day(reports, Span(), now) if wanted else 0.0
    spent: dict[tuple[str, str], dict[datetime.date, int]] = defaultdict(lambda: defaultdict(int))
    scopes = {limit.scope for limit in wanted}
    for scope, then in _GROUPS.items():
        for row in reports.spend(_history(Span(), now), "day", then) if scope in scopes else ():
            if row.origin not in OWN_PURSE:
                spent[scope, row.then][datetime.date.fromisoformat(row.name)] += row.cost_nusd
    return [_limit_ahead(limit, spent[limit.scope, limit.name], now, left) for limit in wanted]


class _Ahead(msgspec.Struct, frozen=True):
    history_days: int
    days: tuple[DayAhead, ...]


def _ahead(spent: Mapping[datetime.date, int], now: datetime.datetime, left: float) -> _Ahead:
    """The coming days of the month; none where the known ones are too few."""
    today = now.date()
    so_far = sum(nusd for day, nusd in spent.items() if day >= today.replace(day=1) and day <= today)
    history = _whole_days(spent, today)
    coming = [today + datetime.timedelta(days=at) for at in range(_days_of_month(today) - today.day + 1)]
    if len(history) < LEAST_DAYS:
        return _Ahead(len(history), ())
    first = (today - datetime.timedelta(days=len(history))).weekday()
    bands = cumulated(history, first, [left, *[1.0] * (len(coming) - 1)])
    return _Ahead(
        len(history), tuple(_day_ahead(day, so_far, band) for day, band in zip(coming, bands, strict=True))
    )


def _day_ahead(day: datetime.date, so_far_nusd: int, band: Band) -> DayAhead:
    """Nothing that is spent comes back: below what was spent there is nothing."""
    mean, low, high = (so_far_nusd + max(0, round(nusd)) for nusd in band)
    return DayAhead(day=day, total_nusd=mean, low_nusd=low, high_nusd=high)


def _whole_days(spent: Mapping[datetime.date, int], today: datetime.date) -> list[float]:
    """The days up to yesterday, without the first on which there was a call, and those before it."""
    before = [day for day in spent if day < today]
    if not before:
        return []
    days = min((today - min(before)).days - 1, HISTORY_DAYS)
    return [float(spent.get(today - datetime.timedelta(days=ago), 0)) for ago in range(days, 0, -1)]


def _history(only: Span, now: datetime.datetime) -> Span:
    first = min(now.date() - datetime.timedelta(days=HISTORY_DAYS + 1), now.date().replace(day=1))
    return msgspec.structs.replace(
        only, since_hour=_hour(first), until_hour=_hour(now.date()) + _HOURS_PER_DAY
    )


def _left_of_day(reports: Reports, only: Span, now: datetime.datetime) -> float:
    """The share of a day's money that is spent after this moment, by the hours of the last week; by the clock where
    nothing was spent in it.
    """
    today = _hour(now.date())
    week = msgspec.structs.replace(
        only, since_hour=today - _HOUR_PATTERN_DAYS * _HOURS_PER_DAY, until_hour=today
    )
    hours = reports.by_hour_of_day(week)
    total = sum(hours)
    if total <= 0:
        hours, total = [1] * _HOURS_PER_DAY, _HOURS_PER_DAY
    left_of_hour = 1 - now.minute / 60
    return (sum(hours[now.hour + 1 :]) + hours[now.hour] * left_of_hour) / total


def _own_models(reports: Reports, only: Span, now: datetime.datetime) -> tuple[int, int]:
    """What own models' hours cost in this month so far, and will cost until its end if they go on as in the last day."""
    hour = _hour(now.date()) + now.hour
    month = _hour(now.date().replace(day=1))
    end = month + _days_of_month(now.date()) * _HOURS_PER_DAY

    def spent(since_hour: int, until_hour: int) -> int:
        span = msgspec.structs.replace(only, since_hour=since_hour, until_hour=until_hour)
        return sum(model.cost_nusd for model in reports.own_models(span))

    known = [spent(hour - ago, hour - ago + 1) for ago in range(1, _HOURS_PER_DAY + 1)]
    while known and not known[-1]:  # it was not there yet
        known.pop()
    rate = sum(known) / len(known) if known else 0.0
    return spent(month, hour + 1), round(rate * (end - hour - now.minute / 60))


def _limit_ahead(
    limit: Limit, spent: Mapping[datetime.date, int], now: datetime.datetime, left: float
) -> LimitAhead:
    ahead = _ahead(spent, now, left)
    today = now.date()
    so_far = sum(nusd for day, nusd in spent.items() if today.replace(day=1) <= day <= today)
    reached = today if so_far >= limit.nusd else None
    last = ahead.days[-1] if ahead.days else None
    return LimitAhead(
        limit=limit,
        spent_nusd=so_far,
        total_nusd=last.total_nusd if last else None,
        low_nusd=last.low_nusd if last else None,
        high_nusd=last.high_nusd if last else None,
        reached_on=reached or _first(ahead.days, "total_nusd", limit.nusd),
        earliest_on=reached or _first(ahead.days, "high_nusd", limit.nusd),
        missing_days=max(0, LEAST_DAYS - ahead.history_days),
    )


def _first(days: Sequence[DayAhead], field: str, nusd: int) -> datetime.date | None:
    return next((day.day for day in days if getattr(day, field) >= nusd), None)


def _days_of_month(day: datetime.date) -> int:
    return calendar.monthrange(day.year, day.month)[1]


def _hour(day: datetime.date) -> int:
    """The hour since 1970 with which a day begins."""
    return (day - _EPOCH).days * _HOURS_PER_DAY
