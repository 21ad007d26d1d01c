"""The bill of a span: what was spent, on what, and what it is compared with. Lines add up to totals to the
nano-dollar.

Every origin has a section of its own: what evaluations and shadows cost is not hidden in what clients cost.
Attempts at an unknown price are counted and named, never added as zero. Money spent on attempts that gave no
answer is shown apart, within the same sums.
"""

from __future__ import annotations

from collections import Counter

import msgspec

from smallfirst.ledger.reports import CacheSums, Group, Measure, OwnModel, Reports, Span, quantile_ms
from smallfirst.planning.bill.cached import Cached, with_asked
from smallfirst.planning.bill.counterfactual import Counterfactual, counterfactual
from smallfirst.planning.bill.lines import Section, sections_of
from smallfirst.planning.bill.savings import Savings, savings_of
from smallfirst.planning.bill.unused import Unused, unused_of


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

    What is not kept by key, model or origin (the comparison, savings, the cache) is empty in a bill of one of them.
    """

    span: Span
    by: Group
    then: Group | None
    sections: tuple[Section, ...]
    own_models: tuple[OwnModel, ...]
    attempts_nusd: int
    own_models_nusd: int
    total_nusd: int
    unknown_attempts: int
    simulated_nusd: int
    unused: tuple[Unused, ...]
    counterfactual: Counterfactual
    savings: Savings | None
    latency: tuple[Latency, ...]
    cached: tuple[Cached, ...] = ()
    uncached_nusd: int = 0


def make_bill(reports: Reports, span: Span, *, by: Group = "task", then: Group | None = None) -> Bill:
    """The bill of a span, grouped by `by`, and within that by `then`, of one moment. Reads sums of days and hours only."""
    with reports.at_once():
        return _made(reports, span, by, then)


def _made(reports: Reports, span: Span, by: Group, then: Group | None) -> Bill:
    spend = reports.spend(span, by, then)
    sections = sections_of(reports.calls(span, by, then), spend, by, then)
    own = tuple(sorted(reports.own_models(span), key=lambda model: model.model))
    attempts_nusd = sum(section.total.cost_nusd for section in sections)
    own_nusd = sum(model.cost_nusd for model in own)
    cached = cached_of(reports.cache(span))
    compared = counterfactual(reports.frontier(span))
    return Bill(
        span=span,
        by=by,
        then=then,
        sections=sections,
        own_models=own,
        attempts_nusd=attempts_nusd,
        own_models_nusd=own_nusd,
        total_nusd=attempts_nusd + own_nusd,
        unknown_attempts=sum(section.total.unknown_attempts for section in sections),
        simulated_nusd=sum(section.total.simulated_nusd for section in sections),
        unused=unused_of(spend),
        counterfactual=compared,
        savings=savings_of(compared, sections, own_nusd),
        latency=_latencies(reports, span),
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


_Histograms = dict[tuple[str, Measure], list[tuple[int, int]]]


def _latencies(reports: Reports, span: Span) -> tuple[Latency, ...]:
    """Of all calls together, and of each task that has a name."""
    found = reports.latencies(span)
    every: _Histograms = {}
    for measure in ("total", "first_token", "overhead"):
        counts: Counter[int] = Counter()
        for (_, of), histogram in found.items():
            if of == measure:
                counts.update(dict(histogram))
        every["", measure] = list(counts.items())
    tasks = sorted({task for task, _ in found if task})
    return (_latency(every, ""), *(_latency(found, task) for task in tasks))


def _latency(histograms: _Histograms, task: str) -> Latency:
    def quantile(measure: Measure, q: float) -> float | None:
        return quantile_ms(histograms.get((task, measure), []), q)

    return Latency(
        task=task,
        total_p50_ms=quantile("total", 0.5),
        total_p99_ms=quantile("total", 0.99),
        first_token_p50_ms=quantile("first_token", 0.5),
        first_token_p99_ms=quantile("first_token", 0.99),
        overhead_p50_ms=quantile("overhead", 0.5),
        overhead_p99_ms=quantile("overhead", 0.99),
    )
