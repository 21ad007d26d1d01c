"""What matters most to a way's price, and what would have to be true for another way to be the cheapest: one input at a time, the others as
planned.
"""

from __future__ import annotations

import math

import msgspec

from smallfirst.planning.costs.basis import Basis
from smallfirst.planning.costs.exact import DAYS_PER_YEAR
from smallfirst.planning.costs.knobs import Knob, Range
from smallfirst.planning.costs.ways import NOT_SERVED, day_usd, names_of

_LOOKS = 12  # at each side of what is planned
_BISECTIONS = 14
_NEGLIGIBLE = 1e-9


class Swing(msgspec.Struct, frozen=True, kw_only=True):
    """What a way costs a year with one input at the ends of its range."""

    range: Range
    low_year_usd: float
    high_year_usd: float

    @property
    def swing_usd(self) -> float:
        """How much the input moves it."""
        return abs(self.high_year_usd - self.low_year_usd)


class Sensitivity(msgspec.Struct, frozen=True, kw_only=True):
    """One way's swings, the largest first; inputs that do not move it are left out."""

    way: str
    year_usd: float
    swings: tuple[Swing, ...]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """`way` is the cheapest where `input` is at least, or at most, `value`: the nearest such to the plan. `plausible`: it lies in the range."""

    way: str
    input: str
    side: str  # "at least" or "at most"
    value: float
    base: float
    plausible: bool


def sensitivity(way: str, basis: Basis, knobs: list[Knob]) -> Sensitivity:
    """How a way's yearly cost moves with each input alone."""
    swings = [
        Swing(
            range=knob.range,
            low_year_usd=_year(way, knob.turned(basis, knob.range.low)),
            high_year_usd=_year(way, knob.turned(basis, knob.range.high)),
        )
        for knob in knobs
    ]
    year = _year(way, basis)
    moved = [swing for swing in swings if swing.swing_usd > year * _NEGLIGIBLE]
    moved.sort(key=lambda swing: -swing.swing_usd)
    return Sensitivity(way=way, year_usd=year, swings=tuple(moved))


def turns(basis: Basis, knobs: list[Knob]) -> tuple[Turn, ...]:
    """For each other way, the inputs that alone would make it the cheapest, and from where on; plausible ones first."""
    winner = winner_of(basis)
    found: dict[tuple[str, str, str], Turn] = {}
    for knob in knobs:
        for side, end in (("at least", knob.range.limits[1]), ("at most", knob.range.limits[0])):
            for turn in _along(basis, knob, side, end):
                found.setdefault((turn.way, turn.input, turn.side), turn)
    others = [turn for turn in found.values() if turn.way != winner]
    return tuple(sorted(others, key=lambda turn: (turn.way, not turn.plausible, _distance(turn))))


def winner_of(basis: Basis) -> str:
    """The cheapest way that can be served."""
    return min(
        (name for name in names_of(basis) if name not in NOT_SERVED), key=lambda name: day_usd(name, basis)
    )


def _along(basis: Basis, knob: Knob, side: str, end: float) -> list[Turn]:
    """The winners met between the planned value and the end of what can be, and where each begins to win."""
    base = knob.range.base
    if end == base:
        return []
    found: list[Turn] = []
    before, last = base, winner_of(basis)
    for value in _steps(base, end):
        won = winner_of(knob.turned(basis, value))
        if won != last and all(turn.way != won for turn in found):
            at = _where(basis, knob, (before, value), won)
            found.append(
                Turn(
                    way=won,
                    input=knob.range.name,
                    side=side,
                    value=at,
                    base=base,
                    plausible=knob.range.low <= at <= knob.range.high,
                )
            )
        before, last = value, won
    return found


def _steps(base: float, end: float) -> list[float]:
    """From near to far: by equal factors where neither is 0, else by equal parts."""
    if base > 0 and end > 0 and max(base / end, end / base) > 4:
        ratio = (end / base) ** (1 / _LOOKS)
        return [base * ratio**n for n in range(1, _LOOKS)] + [end]
    return [base + (end - base) * n / _LOOKS for n in range(1, _LOOKS + 1)]


def _where(basis: Basis, knob: Knob, between: tuple[float, float], won: str) -> float:
    """The value nearest to `between[0]` at which the way wins."""
    low, high = between
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        low, high = (low, middle) if winner_of(knob.turned(basis, middle)) == won else (middle, high)
    return high


def _distance(turn: Turn) -> float:
    if turn.base > 0 and turn.value > 0:
        return abs(math.log(turn.value / turn.base))
    return abs(turn.value - turn.base)


def _year(way: str, basis: Basis) -> float:
    return day_usd(way, basis) * DAYS_PER_YEAR
