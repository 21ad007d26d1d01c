"""Budgets and stops as Prometheus is told: by kind of scope and period, without names: who may scrape is not whose money it is."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from smallfirst.gateway.budget.budgets import Budgets
from smallfirst.gateway.budget.limit import Limit
from smallfirst.gateway.budget.webhook import Webhooks
from smallfirst.gateway.stops import Stops
from smallfirst.money import NUSD_PER_USD

_OF = ("scope", "period")
_Of = tuple[str, str, str]


def families(budgets: Budgets, limits: Iterable[Limit], webhooks: Webhooks, stops: Stops) -> Iterator[Metric]:
    """What is read at a scrape; `limits` are all that there are now."""
    at_ms = int(time.time() * 1000)
    spent: Counter[_Of] = Counter()
    most: Counter[_Of] = Counter()
    fullest: dict[_Of, float] = {}
    for limit in limits:
        name = limit.purse
        of = (name.kind, name.period, "frontier" if name.frontier else "all")
        spent_nusd = budgets.known(name, at_ms=at_ms)
        spent[of] += spent_nusd
        most[of] += limit.nusd
        share = spent_nusd / limit.nusd if limit.nusd else 1.0
        fullest[of] = max(fullest.get(of, 0.0), share)
    usd = {of: nusd / NUSD_PER_USD for of, nusd in spent.items()}
    yield _gauge("smallfirst_budget_spent_usd", "Spent from budgets in their periods, summed", usd)
    usd = {of: nusd / NUSD_PER_USD for of, nusd in most.items()}
    yield _gauge("smallfirst_budget_limit_usd", "Limits of budgets, summed", usd)
    yield _gauge("smallfirst_budget_fullest_ratio", "What is spent of the fullest of these budgets", fullest)
    yield _counter("smallfirst_budget_refusals", "Reservations that did not fit", _OF, budgets.refused)
    yield _counter("smallfirst_budget_alarms", "Alarms that were told", (*_OF, "at"), budgets.alarms.told)
    ended = {(result,): count for result, count in webhooks.ended.items()}
    yield _counter("smallfirst_budget_webhooks", "Deliveries of alarms that ended", ("result",), ended)
    small = CounterMetricFamily(
        "smallfirst_budget_kept_small", "Calls that a budget left to small rungs alone, and these answered"
    )
    small.add_metric((), budgets.kept_small)
    yield small
    stopped = Counter(stop.kind for stop in stops.in_force)
    family = GaugeMetricFamily("smallfirst_stops", "What operators have stopped", labels=("scope",))
    for kind in ("all", "tenant", "key", "task", "model"):
        family.add_metric((kind,), stopped[kind])
    yield family


def _gauge(name: str, what: str, values: dict[_Of, float]) -> Metric:
    family = GaugeMetricFamily(name, what, labels=(*_OF, "models"))
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _counter(name: str, what: str, labels: tuple[str, ...], counts: dict) -> Metric:
    family = CounterMetricFamily(name, what, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
