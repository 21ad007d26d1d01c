"""From how many calls a day one way stays cheaper than another, where whole GPUs are bought.

What a way costs a day is a `Line`: so much a call, and so much for each whole unit (a GPU, a replica), spares included. Two lines with steps can
cross more than once: a fleet that has just paid off is dearer again after the next GPU. So two volumes are given: the first at which it is no
dearer, and the smallest from which it never is again.
"""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import msgspec

from smallfirst.planning.costs.exact import Number, ceiling, exact

_MOST_STEPS = 5000  # that are walked, the last ones: where there are more, nothing is said of what lies before them, and both volumes may be late


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What a way costs a day for v calls: `fixed_usd_per_day` + `per_call_usd`·v + `unit_usd_per_day`·(⌈v / `calls_per_unit`⌉ + `spare_units`).

    `calls_per_unit` is how many calls a day, at the workload's peak factor, one unit is given; 0: there are no units.
    """

    name: str
    per_call_usd: Number
    unit_usd_per_day: Number = 0
    calls_per_unit: Number = 0
    spare_units: int = 0
    fixed_usd_per_day: Number = 0

    def day_usd(self, calls_per_day: Number) -> Fraction:
        """Dollars a day, exactly."""
        calls = exact(calls_per_day)
        bought = exact(self.unit_usd_per_day) * self.units(calls)
        return exact(self.fixed_usd_per_day) + exact(self.per_call_usd) * calls + bought

    def units(self, calls_per_day: Number) -> int:
        """Whole units, spares included; at least one does the work."""
        if not self.calls_per_unit:
            return 0
        return max(1, ceiling(exact(calls_per_day) / exact(self.calls_per_unit))) + self.spare_units


class BreakEven(msgspec.Struct, frozen=True, kw_only=True):
    """From `calls_per_day` on `way` stays no dearer than `than`; `first_calls_per_day` is where it first is. None: at no volume."""

    way: str
    than: str
    calls_per_day: float | None
    first_calls_per_day: float | None


class _Steps(NamedTuple):
    """A line's exact figures: a call's price, a unit's price a day, the calls a unit is given (0: no units), and what a day costs without a call."""

    call: Fraction
    unit: Fraction
    size: Fraction
    base: Fraction  # spare units with it

    @property
    def slope(self) -> Fraction:
        """What a call costs in the end, its share of a unit with it."""
        return self.call + (self.unit / self.size if self.size else 0)

    def fixed(self, before: Fraction) -> Fraction:
        """What the units cost a day just above a volume."""
        return self.base + (self.unit * (math.floor(before / self.size) + 1) if self.size else 0)

    def marks(self, upto: Fraction) -> int:
        """How many steps there are below a volume."""
        return ceiling(upto / self.size) if self.size else 0


def break_even(way: Line, than: Line) -> BreakEven:
    """Where `way` becomes, and stays, no dearer than `than`."""
    one, other = _exactly(way), _exactly(than)
    stays = first = None
    if one.slope < other.slope:
        segments = _segments(one, other)
        stays, first = _stays(segments, one, other), _first(segments, one, other)
    elif one.slope == other.slope and _never_dearer(one, other):
        stays = first = Fraction(0)
    return BreakEven(
        way=way.name,
        than=than.name,
        calls_per_day=None if stays is None else float(stays),
        first_calls_per_day=None if first is None else float(first),
    )


def _exactly(line: Line) -> _Steps:
    size = exact(line.calls_per_unit)
    unit = exact(line.unit_usd_per_day) if size else Fraction(0)
    base = exact(line.fixed_usd_per_day) + unit * line.spare_units
    return _Steps(exact(line.per_call_usd), unit, size, base)


def _segments(one: _Steps, other: _Steps) -> list[tuple[Fraction, Fraction]]:
    """Stretches (low, high] in which neither buys a unit, in order, up to where the one is surely cheaper: it has at most a unit more than its
    share, and the other no less than its own.
    """
    sure = (one.base + one.unit - other.base) / (other.slope - one.slope)
    if sure <= 0:
        return [(Fraction(0), Fraction(1))]
    begin = max(Fraction(0), *(line.size * (line.marks(sure) - _MOST_STEPS) for line in (one, other)))
    marks = {begin, sure}
    for line in (one, other):
        last = line.marks(sure)
        marks.update(line.size * n for n in range(max(0, last - _MOST_STEPS), last))
    return list(pairwise(sorted(mark for mark in marks if mark >= begin)))


def _at(low: Fraction, one: _Steps, other: _Steps) -> tuple[Fraction, Fraction]:
    """The difference of the two just above `low` as a line: its slope, and its value where no calls come."""
    return one.call - other.call, one.fixed(low) - other.fixed(low)


def _stays(segments: list[tuple[Fraction, Fraction]], one: _Steps, other: _Steps) -> Fraction:
    for low, high in reversed(segments):
        slope, base = _at(low, one, other)
        if slope * high + base > 0:
            return high
        if slope * low + base > 0:
            return -base / slope
    return segments[0][0]


def _first(segments: list[tuple[Fraction, Fraction]], one: _Steps, other: _Steps) -> Fraction:
    for low, high in segments:
        slope, base = _at(low, one, other)
        if slope * low + base <= 0:
            return low
        if slope * high + base <= 0:
            return -base / slope
    return segments[-1][1]


def _never_dearer(one: _Steps, other: _Steps) -> bool:
    """Of two that cost the same in the end: their difference repeats with each unit where units are alike, and else is at most what a unit costs."""
    if one.size == other.size:
        return _stays([(Fraction(0), one.size or Fraction(1))], one, other) == 0
    return one.base + one.unit <= other.base
