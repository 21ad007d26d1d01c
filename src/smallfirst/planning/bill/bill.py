"""The bill of a span: what was spent, on what, and what it is compared with. Lines add up to totals to the
nano-dollar.

Every origin has a section of its own: what evaluations and shadows cost is not hidden in what clients cost.
Attempts at an unknown price are counted and named, never added as zero. Money spent on attempts that gave no
answer is shown apart, within the same sums.
"""

from __future__ import annotations

from collections import defaultdict

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger.reports import (
    AttemptSums,
    CacheSums,
    CallSums,
    Group,
    Measure,
    OwnModel,
    Reports,
    Span,
)
from smallfirst.ledger.rollups import ANSWERED
from smallfirst.planning.bill.cached import Cached, with_asked
from smallfirst.planning.bill.counterfactual import Counterfactual, counterfactual

_ORIGINS = ("client", "shadow", "spot-check", "explore", "eval", "replay")
_UNANSWERED_CALLS = ("refused", "error", "cancelled", "cut", "lost")


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One task, model, key, tenant, provider or day. `cost_nusd` is the sum of what is known;
    `unknown_attempts` are not in it.

    `wasted_nusd` (failed, cancelled, cut and lost attempts), `estimated_nusd` (usage was not reported) and
    `simulated_nusd` are parts of it. `calls` are all, `failed_calls` those that ended without an answer. By
    model, calls are those that it answered; by provider there are none.
    """

    name: str
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


class Section(msgspec.Struct, frozen=True, kw_only=True):
    """One origin's lines, dearest first (days in order), and their total."""

    origin: str
    lines: tuple[Line, ...]
    total: Line


class Latency(msgspec.Struct, frozen=True, kw_only=True):
    """Milliseconds of answered client calls; None where there were none. `task` empty: all of them."""

    task: str
    total_p50_ms: float | None
    total_p99_ms: float | None
    first_token_p50_ms: float | None
    first_token_p99_ms: float | None
    overhead_p50_ms: float | None
    overhead_p99_ms: float | None


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """A whole bill. `attempts_nusd` is the sum of the sections' totals, `own_models_nusd` that of own models'
    hours, `total_nusd` both.

    Own models' hours are bought whether they are used or not: they are in no section, and in no tenant's
    bill. `cached` is empty where no call asked the cache, else its first line is for all tasks; what it saved is
    in no sum: without those hits the bill would have been `uncached_nusd`, and the calls of unknown price more.
    """

    span: Span
    by: Group
    sections: tuple[Section, ...]
    own_models: tuple[OwnModel, ...]
    attempts_nusd: int
    own_models_nusd: int
    total_nusd: int
    unknown_attempts: int
    simulated_nusd: int
    counterfactual: Counterfactual
    latency: tuple[Latency, ...]
    cached: tuple[Cached, ...] = ()
    uncached_nusd: int = 0


def make_bill(reports: Reports, span: Span, *, by: Group = "task") -> Bill:
    """The bill of a span, grouped by `by`. Reads hourly sums only."""
    sections = _sections(reports.calls(span, by), reports.spend(span, by), by)
    own = tuple(sorted(reports.own_models(span), key=lambda model: model.model))
    attempts_nusd = sum(section.total.cost_nusd for section in sections)
    own_nusd = sum(model.cost_nusd for model in own)
    cached = cached_of(reports.cache(span))
    tasks = sorted(
        {row.name for row in reports.calls(span, "task") if row.origin == "client" and row.status == "ok"}
    )
    return Bill(
        span=span,
        by=by,
        sections=sections,
        own_models=own,
        attempts_nusd=attempts_nusd,
        own_models_nusd=own_nusd,
        total_nusd=attempts_nusd + own_nusd,
        unknown_attempts=sum(section.total.unknown_attempts for section in sections),
        simulated_nusd=sum(section.total.simulated_nusd for section in sections),
        counterfactual=counterfactual(reports.frontier(span)),
        latency=(_latency(reports, span, None), *(_latency(reports, span, task) for task in tasks if task)),
        cached=cached,
        uncached_nusd=attempts_nusd + own_nusd + (cached[0].saved_nusd if cached else 0),
    )


def cached_of(rows: list[CacheSums]) -> tuple[Cached, ...]:
    """What the cache did for all tasks together, and for each of them, in their order."""
    lines: dict[str, Cached] = {}
    for row in rows:
        for name in ("", row.task):
            lines[name] = with_asked(lines.get(name, Cached(task=name)), row)
    return tuple(lines[name] for name in sorted(lines))


def _sections(calls: list[CallSums], spend: list[AttemptSums], by: Group) -> tuple[Section, ...]:
    lines: dict[str, dict[str, Line]] = defaultdict(dict)
    for row in calls:
        _merge(lines[row.origin], _line_of_calls(row))
    for row in spend:
        _merge(lines[row.origin], _line_of_attempts(row))
    if by == "provider":  # calls have none: the line that counts them would be nobody's
        lines = defaultdict(
            dict, {origin: {name: line for name, line in of.items() if name} for origin, of in lines.items()}
        )
    origins = sorted(
        (origin for origin in lines if lines[origin]), key=lambda origin: (_rank(origin), origin)
    )
    return tuple(_section(origin, list(lines[origin].values()), by) for origin in origins)


def _section(origin: str, lines: list[Line], by: Group) -> Section:
    lines.sort(key=lambda line: line.name if by == "day" else (-line.cost_nusd, -line.calls, line.name))
    total = Line(name="total")
    for line in lines:
        total = _sum(total, line)
    return Section(origin=origin, lines=tuple(lines), total=total)


def _rank(origin: str) -> int:
    return _ORIGINS.index(origin) if origin in _ORIGINS else len(_ORIGINS)


def _line_of_calls(row: CallSums) -> Line:
    failed = row.calls if row.status in _UNANSWERED_CALLS else 0
    return Line(
        name=row.name,
        calls=row.calls,
        failed_calls=failed,
        unproven_calls=row.unproven,
        outside_bound_calls=row.outside_bound,
    )


def _line_of_attempts(row: AttemptSums) -> Line:
    wasted = row.status not in ANSWERED
    return Line(
        name=row.name,
        attempts=row.attempts,
        usage=row.usage,
        cost_nusd=row.cost_nusd,
        unknown_attempts=row.unknown_attempts,
        wasted_nusd=row.cost_nusd if wasted else 0,
        wasted_attempts=row.attempts if wasted else 0,
        estimated_nusd=row.estimated_nusd,
        estimated_attempts=row.estimated_attempts,
        simulated_nusd=row.cost_nusd if row.simulated else 0,
    )


def _merge(lines: dict[str, Line], line: Line) -> None:
    before = lines.get(line.name)
    lines[line.name] = line if before is None else _sum(before, line)


def _sum(one: Line, other: Line) -> Line:
    """Both together, under the name of the first."""
    sums = {
        field: getattr(one, field) + getattr(other, field)
        for field in Line.__struct_fields__
        if field not in ("name", "usage")
    }
    tokens = (getattr(one.usage, field) + getattr(other.usage, field) for field in Usage.__struct_fields__)
    return Line(name=one.name, usage=Usage(*tokens), **sums)


def _latency(reports: Reports, span: Span, task: str | None) -> Latency:
    def quantile(measure: Measure, q: float) -> float | None:
        return reports.latency_ms(span, measure, q, task=task)

    return Latency(
        task=task or "",
        total_p50_ms=quantile("total", 0.5),
        total_p99_ms=quantile("total", 0.99),
        first_token_p50_ms=quantile("first_token", 0.5),
        first_token_p99_ms=quantile("first_token", 0.99),
        overhead_p50_ms=quantile("overhead", 0.5),
        overhead_p99_ms=quantile("overhead", 0.99),
    )
