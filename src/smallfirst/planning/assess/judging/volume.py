"""How many calls a feature has: a day, on its busiest day, in its busiest hour."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import msgspec

from smallfirst.planning.assess.feature import Feature

HOURS_A_DAY = 24
_LEAST_FOR_PEAK = 100  # calls in the busiest hour
_HOURS_A_WEEK = 7 * HOURS_A_DAY


class Volume(msgspec.Struct, frozen=True, kw_only=True):
    """`calls_per_day` is the mean over the hours from the stream's first call to its last, None where those are less than a day; `stated`: it is the
    user's number, by the feature's share of the calls. Hours are since 1970, in UTC.
    """

    calls: int
    undated_calls: int = 0
    first_hour: int | None = None
    span_hours: int = 0
    calls_per_day: float | None = None
    stated: bool = False
    busiest_day_calls: int | None = None
    busiest_hour_calls: int | None = None
    peak_factor: float | None = (
        None  # the busiest hour by the mean hour; None where few calls an hour make any peak chance
    )

    @property
    def short(self) -> bool:
        """Whether the calls are of less than a week: what weekends and month ends do is not in them."""
        return not self.stated and self.span_hours < _HOURS_A_WEEK


Span = tuple[int, int]
"""The first hour and the last, both inside."""


def span_of(features: Iterable[Feature]) -> Span | None:
    """The hours of all of them together; None where no call says its time."""
    hours = [
        hour
        for feature in features
        for hour in (min(feature.hours, default=None), max(feature.hours, default=None))
        if hour is not None
    ]
    return (min(hours), max(hours)) if hours else None


def volume_of(feature: Feature, span: Span | None, *, calls_per_day: float | None = None) -> Volume:
    """`calls_per_day`: what the user says that this feature has."""
    dated = sum(feature.hours.values())
    if span is None or not dated:
        return Volume(
            calls=feature.calls,
            undated_calls=feature.calls - dated,
            calls_per_day=calls_per_day,
            stated=calls_per_day is not None,
        )
    hours = span[1] - span[0] + 1
    days: Counter[int] = Counter()
    for hour, calls in feature.hours.items():
        days[hour // HOURS_A_DAY] += calls
    mean = feature.calls / hours
    busiest = max(feature.hours.values()) * feature.calls / dated
    whole = hours >= HOURS_A_DAY
    measured = mean * HOURS_A_DAY if whole else None
    return Volume(
        calls=feature.calls,
        undated_calls=feature.calls - dated,
        first_hour=span[0],
        span_hours=hours,
        calls_per_day=measured if calls_per_day is None else calls_per_day,
        stated=calls_per_day is not None,
        busiest_day_calls=round(max(days.values()) * feature.calls / dated) if whole else None,
        busiest_hour_calls=round(busiest),
        peak_factor=busiest / mean if whole and busiest >= _LEAST_FOR_PEAK else None,
    )
