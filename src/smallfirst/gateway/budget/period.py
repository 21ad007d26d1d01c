"""The periods of budgets: days and months of UTC, numbered, and all time. A call belongs to the period in which it arrived."""

from __future__ import annotations

import datetime
from typing import Literal

MS_PER_DAY = 86_400_000
HOURS_PER_DAY = 24
_EPOCH = datetime.date(1970, 1, 1)
_MONTHS = 12

Period = Literal["day", "month", "total"]
PERIODS: tuple[Period, ...] = ("day", "month", "total")
ADJECTIVES: dict[Period, str] = {"day": "daily", "month": "monthly", "total": "total"}


def number(period: Period, day: int) -> int:
    """The number of the period that a day (days since 1970) lies in: such days, months since the year 0, or 0."""
    if period == "day":
        return day
    if period == "month":
        date = _EPOCH + datetime.timedelta(days=day)
        return date.year * _MONTHS + date.month - 1
    return 0


def first_day(period: Period, number: int) -> datetime.date | None:
    """The day with which a period begins; None of all time, which has no beginning."""
    if period == "day":
        return _EPOCH + datetime.timedelta(days=number)
    if period == "month":
        return datetime.date(number // _MONTHS, number % _MONTHS + 1, 1)
    return None


def hours(period: Period, number: int) -> tuple[int | None, int | None]:
    """From which hour (hours since 1970) on, and before which other; None: without a beginning, without an end."""
    begin, end = first_day(period, number), first_day(period, number + 1)
    return _hour(begin) if begin else None, _hour(end) if end else None


def _hour(date: datetime.date) -> int:
    return (date - _EPOCH).days * HOURS_PER_DAY
