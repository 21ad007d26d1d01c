"""What the ledger has measured of a plan's inputs: volume, peak, tokens, shares, and which models answered.

h is the share of all calls that the cache answered, f that of the rest which the frontier answered. Tokens are the frontier's, where it answered
often enough: models count differently. Calls a day are over the hours from the first call to the last.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from smallfirst.config import Config
from smallfirst.errors import StateError
from smallfirst.ledger import LedgerView, Span
from smallfirst.ledger.traffic import ModelTraffic
from smallfirst.planning.costs.exact import HOURS_PER_DAY
from smallfirst.planning.costs.now import Now, hours_usd, now_of
from smallfirst.planning.costs.now import remarks as remarks_of_now

_ENOUGH_ANSWERS = 30
_FEW_HOURS = 7 * HOURS_PER_DAY
_FEW_DAYS = 2  # below it hours are told


class MeasuredLatency(msgspec.Struct, frozen=True, kw_only=True):
    """What answered client calls took, by the model that answered; None where it is not known."""

    model: str
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    total_p50_ms: float | None
    total_p95_ms: float | None


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs by name, each with how it was measured; what calls took; what must be said of the measurement; and the ladder that runs now, where there
    is one whose price is known.
    """

    inputs: dict[str, tuple[Any, str]]
    latency: tuple[MeasuredLatency, ...]
    remarks: tuple[str, ...]
    now: Now | None = None


class _Counted(NamedTuple):
    """Calls, the answered ones, hits of the cache, answers by each frontier model, and what the models that answered did."""

    calls: int
    answered: int
    hits: int
    frontier: dict[str, int]
    models: dict[str, ModelTraffic]

    @property
    def missed(self) -> int:
        """Answered calls that the cache did not answer."""
        return max(0, self.answered - self.hits)

    @property
    def by_frontier(self) -> int:
        return sum(self.frontier.values())

    @property
    def small(self) -> list[ModelTraffic]:
        return [one for one in self.models.values() if one.model not in self.frontier]

    @property
    def climbed(self) -> int:
        """Answers of small models after which another model was asked."""
        return max(0, sum(one.attempts for one in self.small) - (self.missed - self.by_frontier))

    @property
    def small_asked(self) -> int:
        """Calls that small models were asked, each once."""
        return max(0, self.missed - self.by_frontier) + min(self.climbed, self.by_frontier)


def measured(
    ledger: LedgerView,
    config: Config,
    *,
    task: str | None = None,
    since_hour: int | None = None,
    until_hour: int | None = None,
) -> Measured:
    """What is known of a task's calls, or of all. Raises `StateError` where there are none, or none was answered."""
    hours = ledger.traffic.calls_by_hour(task=task, since_hour=since_hour, until_hour=until_hour)
    if not hours:
        of = f" of the task {task!r}" if task is not None else ""
        raise StateError(
            f"no calls{of} are in the ledger for this span; --since, --until and --task choose another"
        )
    span = Span(since_hour=hours[0][0], until_hour=hours[-1][0] + 1)
    span_hours = hours[-1][0] - hours[0][0] + 1
    calls = sum(count for _, count in hours)
    counted = _counted(ledger, span, task, calls)
    models, frontier = counted.models, counted.frontier
    days = span_hours / HOURS_PER_DAY
    lasted = f"{span_hours} h" if days < _FEW_DAYS else f"{days:.1f} days"
    over = f"{calls:,} calls over {lasted}"
    found: dict[str, tuple[Any, str]] = {"calls_per_day": (calls / days, over)}
    found["peak_factor"] = (
        max(1.0, max(count for _, count in hours) * span_hours / calls),
        f"the busiest of {span_hours:,} hours",
    )
    found |= _shares(counted)
    found |= _tokens(models, frontier)
    found |= _models(models, frontier, config)
    latency = tuple(_latency(ledger, span, task, model) for model in sorted(models))
    paid = hours_usd(ledger, span, counted.small, frontier={*frontier}, of_task=task is not None) / days
    tokens = tuple(found.get(name, (0.0, ""))[0] for name in ("input_tokens", "output_tokens"))
    now = now_of(counted.small, counted.small_asked, paid, (tokens[0], tokens[1]))
    remarks = _remarks(span_hours, calls) + remarks_of_now(now, counted.small, of_task=task is not None)
    return Measured(inputs=found, latency=latency, remarks=tuple(remarks), now=now)


def _counted(ledger: LedgerView, span: Span, task: str | None, calls: int) -> _Counted:
    models = ledger.traffic.models(task=task, since_hour=span.since_hour, until_hour=span.until_hour)
    if not models:
        raise StateError("no model has answered a call in this span: tokens and shares are unknown")
    merged = _merged(ledger, span, task)
    hits = [row for row in ledger.reports.cache(span) if row.result != "miss" and task in (None, row.task)]
    return _Counted(
        calls=calls,
        answered=sum(row.calls + row.unknown_calls for row in merged),
        hits=sum(row.calls for row in hits),
        frontier={row.model: row.calls + row.unknown_calls for row in merged if row.model},
        models={one.model: one for one in models},
    )


class _Frontier(msgspec.Struct):
    model: str
    calls: int
    unknown_calls: int


def _merged(ledger: LedgerView, span: Span, task: str | None) -> list[_Frontier]:
    """Answered calls by the frontier model that answered; the empty name: none did, cache hits among them."""
    merged: dict[str, _Frontier] = {}
    for row in ledger.reports.frontier(span):
        if task is None or row.task == task:
            one = merged.setdefault(row.model, _Frontier(row.model, 0, 0))
            one.calls += row.calls
            one.unknown_calls += row.unknown_calls
    return list(merged.values())


def _shares(counted: _Counted) -> dict[str, tuple[Any, str]]:
    calls, hits, missed = counted.calls, counted.hits, counted.missed
    by_frontier, climbed = counted.by_frontier, counted.climbed
    found: dict[str, tuple[Any, str]] = {
        "cache_hit_rate": (min(1.0, hits / calls), f"the cache answered {hits:,} of {calls:,} calls"),
        "cached_share": (
            _cached_share(counted.models, counted.frontier),
            "of the prompts' tokens, read from providers' prompt caches",
        ),
    }
    if missed:
        told = f"the frontier answered {by_frontier:,} of {missed:,} calls that the cache did not"
        found["frontier_share"] = (min(1.0, by_frontier / missed), told)
    if by_frontier:
        found["climbed_share"] = (
            min(1.0, climbed / by_frontier),
            f"small models had been asked first in about {climbed:,} of those {by_frontier:,}",
        )
    return found


def _cached_share(models: dict[str, ModelTraffic], frontier: dict[str, int]) -> float:
    used = _reference(models, frontier)
    prompt = sum(one.usage.prompt_tokens for one in used)
    return sum(one.usage.cache_read_tokens for one in used) / prompt if prompt else 0.0


def _reference(models: dict[str, ModelTraffic], frontier: dict[str, int]) -> list[ModelTraffic]:
    """Whose tokens are counted: the frontier's, or all models' where it has answered too seldom."""
    of_frontier = [models[name] for name in frontier if name in models]
    enough = sum(one.attempts for one in of_frontier) >= _ENOUGH_ANSWERS
    return of_frontier if enough else list(models.values())


def _tokens(models: dict[str, ModelTraffic], frontier: dict[str, int]) -> dict[str, tuple[Any, str]]:
    used = _reference(models, frontier)
    attempts = sum(one.attempts for one in used)
    why = f"the mean of {attempts:,} answers of {', '.join(sorted(one.model for one in used))}"
    read = sum(one.usage.prompt_tokens for one in used) / attempts
    written = sum(one.usage.completion_tokens for one in used) / attempts
    return {"input_tokens": (read, why), "output_tokens": (written, why)} if read else {}


def _models(
    models: dict[str, ModelTraffic], frontier: dict[str, int], config: Config
) -> dict[str, tuple[Any, str]]:
    """The models to price: those that answered most, where the configuration still has them."""
    found: dict[str, tuple[Any, str]] = {}
    most = max(frontier, key=lambda name: (frontier[name], name), default=None)
    if most is not None and most in config.models:
        found["frontier"] = (most, "the frontier model that answered most")
    small = {
        name: one.attempts for name, one in models.items() if name not in frontier and name in config.models
    }
    by_token = {name: count for name, count in small.items() if config.models[name].hourly_usd is None}
    chosen = max(by_token, key=lambda name: (by_token[name], name), default=None)
    if chosen is not None and config.providers[config.models[chosen].provider].kind not in (
        "head",
        "embedded",
    ):
        found["hosted"] = (chosen, "the small model, sold by the token, that answered most")
    return found


def _latency(ledger: LedgerView, span: Span, task: str | None, model: str) -> MeasuredLatency:
    def at(measure: Any, q: float) -> float | None:
        return ledger.reports.latency_ms(span, measure, q, task=task, model=model)

    return MeasuredLatency(
        model=model,
        ttft_p50_ms=at("first_token", 0.5),
        ttft_p95_ms=at("first_token", 0.95),
        total_p50_ms=at("total", 0.5),
        total_p95_ms=at("total", 0.95),
    )


def _remarks(span_hours: int, calls: int) -> list[str]:
    found = []
    if span_hours < _FEW_HOURS:
        found.append(
            f"only {span_hours:,} h were observed: a week's pattern, and the peak, are not known yet"
        )
    if calls / span_hours < _ENOUGH_ANSWERS:
        found.append(
            "there are few calls an hour: the busiest hour is partly chance, and the peak factor too high"
        )
    return found
