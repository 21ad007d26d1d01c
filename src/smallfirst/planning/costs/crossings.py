"""Break-even volumes between each pair of a plan's ways, in calls a day of the whole workload at its shares, tokens and peak factor."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from itertools import permutations

import msgspec

from smallfirst.planning.costs.basis import Basis
from smallfirst.planning.costs.break_even import BreakEven, Line, break_even
from smallfirst.planning.costs.exact import SECONDS_PER_DAY, exact
from smallfirst.planning.costs.ways import NOT_SERVED, day_usd, names_of, parts_of

_STEPPED = ("own", "own-batch")
_CURVED = ("serverless", "spot")
_FEWEST_CALLS, _MOST_CALLS, _STEPS = (
    10.0,
    1e8,
    141,
)  # a day: what curved ways are looked at, twenty volumes a decade
_VOLUMES = tuple(_FEWEST_CALLS * (_MOST_CALLS / _FEWEST_CALLS) ** (n / (_STEPS - 1)) for n in range(_STEPS))
_CLOSE = 1e-3


def crossings(basis: Basis) -> tuple[BreakEven, ...]:
    """Each pair once, the way that wins at large volumes first. Pairs of which one is the cheaper at any volume have 0 or None.

    Exact for ways of whole GPUs and tokens; ways by the second or on spot are looked at from ten to a hundred million calls a day, to within a
    thousandth.
    """
    found: dict[frozenset[str], BreakEven] = {}
    names = [name for name in names_of(basis) if name not in NOT_SERVED]
    lines = {name: line_of(name, basis) for name in names if name not in _CURVED}
    costs = _Costs(basis)
    for way, than in permutations(names, 2):
        pair = frozenset((way, than))
        if pair in found and found[pair].calls_per_day is not None:
            continue
        if way in lines and than in lines:
            found[pair] = break_even(lines[way], lines[than])
        else:
            found[pair] = _looked_for(way, than, costs)
    return tuple(found.values())


def line_of(name: str, basis: Basis) -> Line:
    """A way's cost over calls a day. Not for ways by the second or on spot, which are no lines."""
    work, parts = basis.workload, parts_of(name, basis)
    calls = exact(work.calls_per_day)
    if name not in _STEPPED:
        hours = parts.pop("hours", Fraction(0))
        return Line(name=name, per_call_usd=sum(parts.values(), Fraction(0)) / calls, fixed_usd_per_day=hours)
    assert basis.own is not None
    own = basis.own
    waiting = exact(work.batch_share) if name == "own-batch" else exact(0)
    peak = max(exact(work.peak_factor) * (1 - waiting), exact(1))
    asked = (
        peak * work.small_per_day / calls
    )  # of a replica in the busiest hour, for each call of the mean hour
    return Line(
        name=name,
        per_call_usd=parts["frontier"] / calls,
        unit_usd_per_day=own.replica_usd_per_day,
        calls_per_unit=exact(own.rate(work).planned_rps) * SECONDS_PER_DAY / asked if asked else 0,
        spare_units=own.spare if asked else 0,
        fixed_usd_per_day=0 if asked else parts["gpus"],
    )


def _looked_for(way: str, than: str, costs: _Costs) -> BreakEven:
    """The same by looking: the last volume at which the way is dearer, and the first at which it is not."""

    def dearer(calls: float) -> bool:
        return costs.of(way, calls) > costs.of(than, calls)

    looks = [dearer(volume) for volume in _VOLUMES]
    stays = first = None
    if not looks[-1]:
        last = max((n for n, is_dearer in enumerate(looks) if is_dearer), default=None)
        stays = 0.0 if last is None else _between(dearer, _VOLUMES[last], _VOLUMES[last + 1])
        begin = looks.index(False)
        first = 0.0 if begin == 0 else _between(dearer, _VOLUMES[begin - 1], _VOLUMES[begin])
    return BreakEven(way=way, than=than, calls_per_day=stays, first_calls_per_day=first)


class _Costs:
    """What ways cost a day at volumes, each reckoned once: a way is compared with many."""

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self._known: dict[tuple[str, float], float] = {}

    def of(self, way: str, calls: float) -> float:
        if (way, calls) not in self._known:
            self._known[way, calls] = day_usd(way, at_volume(self._basis, calls))
        return self._known[way, calls]


def _between(dearer: Callable[[float], bool], low: float, high: float) -> float:
    while high / low > 1 + _CLOSE:
        middle = math.sqrt(low * high)
        low, high = (middle, high) if dearer(middle) else (low, middle)
    return high


def at_volume(basis: Basis, calls_per_day: float) -> Basis:
    """The same at another volume."""
    return basis._replace(workload=msgspec.structs.replace(basis.workload, calls_per_day=calls_per_day))
