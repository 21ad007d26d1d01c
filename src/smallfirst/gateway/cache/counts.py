"""Counts of what the cache did for calls, for Prometheus."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from smallfirst.cache.semantic.standing import Standing, Standings
from smallfirst.ledger.records import Call
from smallfirst.money import NUSD_PER_USD

_POLICY_DIGITS = 12
Part = Literal["store", "semantic", "answer", "outcomes"]


class CacheCounts:
    """Additions on the way, families when they are scraped. Tasks without a cache are not in them."""

    def __init__(self) -> None:
        self._lookups: Counter[tuple[str, str]] = Counter()
        self._saved_nusd: Counter[tuple[str]] = Counter()
        self._kept: Counter[tuple[str]] = Counter()
        self._faults: Counter[tuple[str]] = Counter()
        self.spot_checks: Counter[tuple[str, str]] = Counter()  # by task, and how they ended
        self.not_compared: Counter[tuple[str]] = Counter()  # by why
        self.standings = Standings()  # what the keeper has said last

    def settled(self, call: Call) -> None:
        """A call ended that the cache was asked for."""
        self._lookups[(call.task, call.cache)] += 1
        if call.saved_nusd:
            self._saved_nusd[(call.task,)] += call.saved_nusd

    def bypassed(self, task: str) -> None:
        """A call of a task with a cache was not looked up, and its answer will not be kept."""
        self._lookups[(task, "bypass")] += 1

    def kept(self, task: str) -> None:
        """An answer was handed to the store."""
        self._kept[(task,)] += 1

    def failed(self, part: Part) -> None:
        """A part of the cache failed; the call went on without it."""
        self._faults[(part,)] += 1

    def spot_checked(self, task: str, how: str) -> None:
        """A hit in other words was answered by its policy too, or was to be."""
        self.spot_checks[(task, how)] += 1

    def left_out(self, why: str) -> None:
        """Nothing was learned from a miss in other words."""
        self.not_compared[(why,)] += 1

    def families(self) -> Iterator[Metric]:
        """What is exposed."""
        lookups = CounterMetricFamily(
            "smallfirst_cache_lookups",
            "Calls by what the cache had for them: exact, semantic, flight, miss; bypass: it was not asked",
            labels=("task", "result"),
        )
        for labels, count in self._lookups.items():
            lookups.add_metric(labels, count)
        yield lookups
        saved = CounterMetricFamily(
            "smallfirst_cache_saved_usd",
            "What the calls had cost whose answers were given again",
            labels=("task",),
        )
        for labels, nusd in self._saved_nusd.items():
            saved.add_metric(labels, nusd / NUSD_PER_USD)
        yield saved
        yield _counter("smallfirst_cache_kept", "Answers that were kept", "task", self._kept)
        checks = CounterMetricFamily(
            "smallfirst_cache_spot_checks",
            "Hits in other words that were drawn to be answered by their policy too, by what that showed, or why it could not be done",
            labels=("task", "result"),
        )
        for labels, count in self.spot_checks.items():
            checks.add_metric(labels, count)
        yield checks
        yield _counter(
            "smallfirst_cache_not_compared",
            "Misses whose answers were not compared with their neighbours'",
            "reason",
            self.not_compared,
        )
        yield from _proven(self.standings.policies.values())
        yield _counter(
            "smallfirst_cache_faults", "Failures of the cache, which cost hits only", "part", self._faults
        )


def _counter(name: str, what: str, label: str, counts: Counter[tuple[str]]) -> Metric:
    family = CounterMetricFamily(name, what, labels=(label,))
    for labels, count in counts.items():
        family.add_metric(labels, count)
    return family


def _proven(standings: Iterable[Standing]) -> Iterator[Metric]:
    """What spot checks have shown of each policy's hits in other words."""
    rate = GaugeMetricFamily(
        "smallfirst_cache_wrong_rate",
        "Wrong hits in other words, of all requests: measured by spot checks, and the ends of its interval",
        labels=("task", "policy", "at"),
    )
    opened = GaugeMetricFamily(
        "smallfirst_cache_open", "1 while hits in other words are served", labels=("task", "policy")
    )
    now_ms = time.time_ns() // 1_000_000
    for each in standings:
        labels, told = (each.task, each.policy[:_POLICY_DIGITS]), each.figures
        opened.add_metric(labels, each.holds(now_ms))
        if told.requests:
            for at, value in (
                ("measured", told.wrong_rate),
                ("low", told.wrong_low),
                ("high", told.wrong_high),
            ):
                rate.add_metric((*labels, at), value)
    yield rate
    yield opened
