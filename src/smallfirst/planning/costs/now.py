"""What runs now: the ladder as the ledger measured it, to stand beside what could run instead.

The frontier's calls are priced as in all other ways. What small models' calls cost is what was recorded, and own models' hours are what was paid for
them. At another volume, at other shares or lengths, it is no measurement: the calls' costs follow these, the hours stay.
"""

from __future__ import annotations

from fractions import Fraction

import msgspec

from smallfirst.ledger import LedgerView, Span
from smallfirst.ledger.traffic import ModelTraffic
from smallfirst.money import NUSD_PER_USD
from smallfirst.planning.costs.exact import exact
from smallfirst.planning.costs.quote import TokenPrice
from smallfirst.planning.costs.workload import Workload

FOLLOWED = (
    "calls_per_day",
    "cache_hit_rate",
    "frontier_share",
    "climbed_share",
    "input_tokens",
    "output_tokens",
)
"""What was measured with it. Where one of these is given instead, the way is no measurement any more."""


class Now(msgspec.Struct, frozen=True, kw_only=True):
    """The small models of the measured ladder. `small_call_usd` is the mean of the calls that they were asked, all that they cost by the call;
    `hours_usd_per_day` what own models cost, used or not. Both were measured with frontier calls of `input_tokens` and `output_tokens` (0: unknown).
    """

    small_call_usd: float
    hours_usd_per_day: float
    input_tokens: float
    output_tokens: float
    models: tuple[str, ...]

    def call_usd(self, work: Workload, price: TokenPrice) -> Fraction:
        """What a small call costs with the workload's lengths: as recorded, and with other lengths as much more as a frontier call does."""
        as_measured = price.call(self.input_tokens, self.output_tokens)
        if not self.input_tokens or not as_measured:
            return exact(self.small_call_usd)
        return exact(self.small_call_usd) * price.call(work.input_tokens, work.output_tokens) / as_measured


def now_of(
    small: list[ModelTraffic], asked: float, hours_usd_per_day: float, tokens: tuple[float, float]
) -> Now | None:
    """The ladder whose small models were asked `asked` calls. None where there were none, or where none has a known price."""
    attempts = sum(one.attempts for one in small)
    priced = attempts - sum(one.unknown_attempts for one in small)
    if not priced or asked <= 0:
        return None
    known_usd = sum(one.cost_nusd for one in small) / NUSD_PER_USD
    return Now(
        small_call_usd=known_usd / priced * attempts / asked,
        hours_usd_per_day=hours_usd_per_day,
        input_tokens=tokens[0],
        output_tokens=tokens[1],
        models=tuple(sorted(one.model for one in small)),
    )


def hours_usd(
    ledger: LedgerView, span: Span, small: list[ModelTraffic], *, frontier: set[str], of_task: bool
) -> float:
    """What own models' hours in the span cost. Of one task it is its part of each model's answers; `small` are that task's."""
    everybody = {
        one.model: one.attempts
        for one in ledger.traffic.models(since_hour=span.since_hour, until_hour=span.until_hour)
    }
    of_this = {one.model: one.attempts for one in small}
    paid = 0.0
    for own in ledger.reports.own_models(Span(since_hour=span.since_hour, until_hour=span.until_hour)):
        if own.model in frontier:
            continue
        part = of_this.get(own.model, 0) / everybody.get(own.model, 1) if of_task else 1.0
        paid += own.cost_nusd / NUSD_PER_USD * part
    return paid


def remarks(now: Now | None, small: list[ModelTraffic], *, of_task: bool) -> list[str]:
    """What must be said of it."""
    attempts, unknown = sum(one.attempts for one in small), sum(one.unknown_attempts for one in small)
    found = []
    if attempts and now is None:
        found.append("what small models' calls cost is unknown: the way `now` is not priced")
    elif unknown and now is not None:
        found.append(
            f"{unknown:,} of {attempts:,} calls of small models have no known price: `now` takes the mean of the others for them"
        )
    if now is not None and of_task and now.hours_usd_per_day:
        found.append(
            "own models' hours belong to no task: in `now` is this task's part of each model's answers"
        )
    return found
