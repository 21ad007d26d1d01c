"""A plan that was saved, beside what happened: and how much of the difference each of its assumptions explains.

The plan's sum for a day, calls × (1 − h) × (f · frontier + a · small) + hours, is changed into what happened by one
assumption at a time, in the order of `Because`; what each step changes is its part. The parts add up to the difference.
Another order would share out what two changes do together otherwise.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

import msgspec

from smallfirst.errors import StateError
from smallfirst.ledger.reports import Reports, Span
from smallfirst.money import NUSD_PER_USD
from smallfirst.planning.bill.bill import Bill
from smallfirst.planning.costs.saved import SavedPlan

_HOURS_PER_DAY = 24


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One figure of a day, planned and happened; None: nothing is known of it."""

    what: str
    planned: float | None
    happened: float | None


class Because(msgspec.Struct, frozen=True, kw_only=True):
    """How many dollars a day of the difference one cause explains."""

    cause: str
    usd_per_day: float


class AgainstPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison over `days` days (UTC, parts of days count). Money is in dollars a day; `unknown_attempts` of what
    happened have no price and are in no sum.
    """

    plan: str
    made_on: datetime.date
    way: str
    days: float
    figures: tuple[Compared, ...]
    planned_usd: float
    happened_usd: float
    because: tuple[Because, ...]
    unknown_attempts: int


class _Day(NamedTuple):
    """What a day's sum is made of. `small_asked`: how often a small model is asked for each call that the cache does
    not answer.
    """

    calls: float
    hit_rate: float
    frontier_share: float
    small_asked: float
    frontier_usd: float  # a call
    small_usd: float  # a request
    hours_usd: float
    beside_usd: float

    @property
    def usd(self) -> float:
        asked = self.calls * (1 - self.hit_rate)
        per_call = self.frontier_share * self.frontier_usd + self.small_asked * self.small_usd
        return asked * per_call + self.hours_usd + self.beside_usd


class _Tokens(NamedTuple):
    """Of a call to the frontier. `cached` is the share of its prompt that the provider's cache had."""

    read: float
    written: float
    cached: float


def against_plan(reports: Reports, plan: SavedPlan, made: Bill, now: datetime.datetime) -> AgainstPlan:
    """The plan beside a bill of its task. Raises `StateError` where nothing was answered in the bill's span."""
    days = _days(reports, made.span, now)
    client = next((section.total for section in made.sections if section.origin == "client"), None)
    if client is None or client.calls == client.failed_calls or days <= 0:
        raise StateError(
            f"no call was answered in this span: there is nothing to compare plan {plan.name!r} with"
        )
    planned, tokens = _planned(plan), _tokens(reports, made, plan)
    happened = _happened(made, days)
    return AgainstPlan(
        plan=plan.name,
        made_on=datetime.datetime.fromtimestamp(plan.made_ms / 1000, datetime.UTC).date(),
        way=plan.way,
        days=days,
        figures=_figures(plan, planned, happened, tokens),
        planned_usd=planned.usd,
        happened_usd=happened.usd,
        because=_because(planned, happened, _frontier_usd(plan, tokens)),
        unknown_attempts=made.unknown_attempts,
    )


def _days(reports: Reports, span: Span, now: datetime.datetime) -> float:
    """How long the span is: from its first hour with a call, if it does not begin later, until now, if not until
    before.
    """
    first = reports.first_hour(span)
    if first is None:
        return 0.0
    end = now.timestamp() / 3600
    if span.until_hour is not None:
        end = min(end, span.until_hour)
    begin = first if span.since_hour is None else max(first, span.since_hour)
    return (end - begin) / _HOURS_PER_DAY


def _planned(plan: SavedPlan) -> _Day:
    day = plan.day
    asked = day.calls - day.cache_hits
    return _Day(
        calls=day.calls,
        hit_rate=day.cache_hits / day.calls if day.calls else 0.0,
        frontier_share=day.frontier_calls / asked if asked else 0.0,
        small_asked=day.small_calls / asked if asked else 0.0,
        frontier_usd=day.frontier_usd / day.frontier_calls if day.frontier_calls else day.frontier_call_usd,
        small_usd=day.small_usd / day.small_calls if day.small_calls else day.small_call_usd or 0.0,
        hours_usd=day.fixed_usd,
        beside_usd=0.0,
    )


def _happened(made: Bill, days: float) -> _Day:
    """By day. What the frontier cost is known where it answered; all else that clients' answered calls cost is the
    small rungs'.
    """
    tasks = made.counterfactual.tasks
    answered = sum(task.calls for task in tasks)
    hits = sum(line.hits for line in made.cached[:1])
    asked = max(answered - hits, 0)
    frontier_calls = sum(task.asked_calls for task in tasks)
    frontier_nusd = sum(task.asked_nusd for task in tasks)
    small_nusd = sum(task.paid_nusd for task in tasks) - frontier_nusd
    small_calls = max(asked - frontier_calls, 0)
    paid = frontier_nusd + small_nusd
    return _Day(
        calls=answered / days,
        hit_rate=hits / answered if answered else 0.0,
        frontier_share=frontier_calls / asked if asked else 0.0,
        small_asked=small_calls / asked if asked else 0.0,
        frontier_usd=frontier_nusd / frontier_calls / NUSD_PER_USD if frontier_calls else 0.0,
        small_usd=small_nusd / small_calls / NUSD_PER_USD if small_calls else 0.0,
        hours_usd=made.own_models_nusd / days / NUSD_PER_USD,
        beside_usd=(made.attempts_nusd - paid + (0 if small_calls else small_nusd)) / days / NUSD_PER_USD,
    )


def _tokens(reports: Reports, made: Bill, plan: SavedPlan) -> _Tokens | None:
    """Of answered attempts at the models that are the frontier of the bill's tasks; None where there were none."""
    frontier = {task.frontier for task in made.counterfactual.tasks if task.frontier}
    rows = [
        row
        for row in reports.spend(made.span, "model")
        if row.origin == "client" and row.status == "ok" and row.name in frontier
    ]
    attempts = sum(row.attempts for row in rows)
    if not attempts:
        return None
    read = sum(row.usage.prompt_tokens for row in rows)
    written = sum(row.usage.completion_tokens for row in rows)
    cached = sum(row.usage.cache_read_tokens for row in rows)
    return _Tokens(read / attempts, written / attempts, cached / read if read else 0.0)


def _frontier_usd(plan: SavedPlan, tokens: _Tokens | None) -> float | None:
    """What a frontier call of those tokens costs at the plan's price."""
    if tokens is None:
        return None
    day, price = plan.day, plan.frontier.price
    as_planned = price.call(
        day.input_tokens_per_call, day.output_tokens_per_call, cached_share=day.cached_share
    )
    as_happened = price.call(tokens.read, tokens.written, cached_share=tokens.cached)
    return _planned(plan).frontier_usd * float(as_happened / as_planned) if as_planned else float(as_happened)


def _because(planned: _Day, happened: _Day, frontier_usd: float | None) -> tuple[Because, ...]:
    at, found = planned, []
    steps: list[tuple[str, dict[str, float]]] = [
        ("volume", {"calls": happened.calls}),
        ("cache hit rate h", {"hit_rate": happened.hit_rate}),
        (
            "frontier share f",
            {"frontier_share": happened.frontier_share, "small_asked": happened.small_asked},
        ),
        ("tokens of a frontier call", {} if frontier_usd is None else {"frontier_usd": frontier_usd}),
        ("price of a frontier call", {"frontier_usd": happened.frontier_usd}),
        ("cost of a small answer", {"small_usd": happened.small_usd}),
        ("own models' hours", {"hours_usd": happened.hours_usd}),
        ("failed calls, shadows, spot checks, evaluations", {"beside_usd": happened.beside_usd}),
    ]
    for cause, change in steps:
        after = at._replace(**change)
        found.append(Because(cause=cause, usd_per_day=after.usd - at.usd))
        at = after
    return tuple(found)


def _figures(plan: SavedPlan, planned: _Day, happened: _Day, tokens: _Tokens | None) -> tuple[Compared, ...]:
    day = plan.day
    rows: tuple[tuple[str, float | None, float | None], ...] = (
        ("calls a day", planned.calls, happened.calls),
        ("cache hit rate h", planned.hit_rate, happened.hit_rate),
        ("frontier share f", planned.frontier_share, happened.frontier_share),
        ("tokens read by a frontier call", day.input_tokens_per_call, tokens.read if tokens else None),
        ("tokens written by a frontier call", day.output_tokens_per_call, tokens.written if tokens else None),
        ("of its prompt cached by the provider", day.cached_share, tokens.cached if tokens else None),
        ("a frontier call, USD", planned.frontier_usd, happened.frontier_usd or None),
        ("a small answer, USD", planned.small_usd, happened.small_usd),
        ("own models' hours, USD a day", planned.hours_usd, happened.hours_usd),
        ("beside, USD a day", planned.beside_usd, happened.beside_usd),
        ("total, USD a day", planned.usd, happened.usd),
    )
    return tuple(Compared(what=what, planned=one, happened=other) for what, one, other in rows)
