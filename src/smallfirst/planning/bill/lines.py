"""The lines of a bill: attempts and calls added up by what they are grouped by, each origin apart."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from operator import add, attrgetter

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger.records import ANSWERED
from smallfirst.ledger.reports import AttemptSums, CallSums, Group

_ORIGINS = ("client", "shadow", "spot-check", "explore", "eval", "replay")
_UNANSWERED_CALLS = ("refused", "error", "cancelled", "cut", "lost")
PERIODS = ("day", "week", "month")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One task, model, key, tenant, provider, day, week or month (and, where the bill has a second group, one of that
    within it: `then`). `cost_nusd` is the sum of what is known; `unknown_attempts` are not in it.

    `wasted_nusd` (failed, cancelled, cut and lost attempts), `estimated_nusd` (usage was not reported) and
    `simulated_nusd` are parts of it. `calls` are all, `failed_calls` those that ended without an answer. By
    model, calls are those that it answered; by provider there are none. `prompt_cache_saved_nusd` is what providers'
    prompt caches saved, below 0 where writing to them cost more than reading from them saved.
    """

    name: str
    then: str = ""
    calls: int = 0
    failed_calls: int = 0
    attempts: int = 0
    usage: Usage = Usage()
    cost_nusd: int = 0
    unknown_attempts: int = 0
    wasted_nusd: int = 0
    wasted_attempts: int = 0
    estimated_nusd: int = 0
    estimated_attempts: int = 0
    simulated_nusd: int = 0
    unproven_calls: int = 0
    outside_bound_calls: int = 0
    prompt_cache_saved_nusd: int = 0


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One origin's lines, dearest first (days, weeks and months in order), and their total."""

    origin: str
    lines: tuple[Line, ...]
    total: Line


def sections_of(
    calls: Iterable[CallSums], spend: Iterable[AttemptSums], by: Group, then: Group | None = None
) -> tuple[Section, ...]:
    """The sections in the order of origins: clients first."""
    lines: dict[str, dict[tuple[str, str], Line]] = defaultdict(dict)
    for row in calls:
        _merge(lines[row.origin], _line_of_calls(row))
    for row in spend:
        _merge(lines[row.origin], _line_of_attempts(row))
    origins = sorted(lines, key=lambda origin: (_rank(origin), origin))
    return tuple(_section(origin, list(lines[origin].values()), by, then) for origin in origins)


def _section(origin: str, lines: list[Line], by: Group, then: Group | None) -> Section:
    spent: dict[str, int] = defaultdict(int)
    for line in lines:
        spent[line.name] += line.cost_nusd

    def place(line: Line) -> tuple[object, ...]:
        first = (line.name,) if by in PERIODS else (-spent[line.name], line.name) if then else ()
        second = (line.then,) if then in PERIODS else (-line.cost_nusd, -line.calls, line.name, line.then)
        return (*first, *second)

    lines.sort(key=place)
    return Section(origin=origin, lines=tuple(lines), total=together("total", lines))


def together(name: str, lines: Iterable[Line]) -> Line:
    """All of them added up, under that name."""
    total = Line(name=name)
    for line in lines:
        total = _sum(total, line)
    return total


def _rank(origin: str) -> int:
    return _ORIGINS.index(origin) if origin in _ORIGINS else len(_ORIGINS)


def _line_of_calls(row: CallSums) -> Line:
    return Line(
        name=row.name,
        then=row.then,
        calls=row.calls,
        failed_calls=row.calls if row.status in _UNANSWERED_CALLS else 0,
        unproven_calls=row.unproven,
        outside_bound_calls=row.outside_bound,
    )


def _line_of_attempts(row: AttemptSums) -> Line:
    wasted = row.status not in ANSWERED
    return Line(
        name=row.name,
        then=row.then,
        attempts=row.attempts,
        usage=row.usage,
        cost_nusd=row.cost_nusd,
        unknown_attempts=row.unknown_attempts,
        wasted_nusd=row.cost_nusd if wasted else 0,
        wasted_attempts=row.attempts if wasted else 0,
        estimated_nusd=row.estimated_nusd,
        estimated_attempts=row.estimated_attempts,
        simulated_nusd=row.cost_nusd if row.simulated else 0,
        prompt_cache_saved_nusd=row.prompt_cache_saved_nusd,
    )


def _merge(lines: dict[tuple[str, str], Line], line: Line) -> None:
    before = lines.get((line.name, line.then))
    lines[line.name, line.then] = line if before is None else _sum(before, line)


_COUNTS = tuple(field for field in Line.__struct_fields__ if field not in ("name", "then", "usage"))
_counts = attrgetter(*_COUNTS)


def _sum(one: Line, other: Line) -> Line:
    """Both together, under the name of the first."""
    sums = zip(_COUNTS, map(add, _counts(one), _counts(other)), strict=True)
    tokens = map(add, msgspec.structs.astuple(one.usage), msgspec.structs.astuple(other.usage))
    return Line(name=one.name, then=one.then, usage=Usage(*tokens), **dict(sums))
