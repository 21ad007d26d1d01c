"""Counts of what is answered again off clients' paths, for Prometheus."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily
from prometheus_client.metrics_core import Metric

from smallfirst.ledger.records import Call
from smallfirst.money import NUSD_PER_USD


class AsideCounts:
    """Additions on the way, families when they are scraped."""

    def __init__(self) -> None:
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._cost_nusd: Counter[tuple[str, ...]] = Counter()
        self._scores: Counter[tuple[str, ...]] = Counter()
        self._left_out: Counter[tuple[str, ...]] = Counter()

    def settled(self, call: Call) -> None:
        """Such a call ended."""
        task = call.task or "none"
        self._calls[(call.origin, task, call.status)] += 1
        self._cost_nusd[(call.origin, task)] += call.cost_nusd or 0

    def scored(self, origin: str, task: str) -> None:
        """An answer was scored, and its score is in the ledger."""
        self._scores[(origin, task)] += 1

    def left_out(self, why: str) -> None:
        """A call that was drawn, one of its answers or its scores were left out."""
        self._left_out[(why,)] += 1

    def families(self) -> Iterator[Metric]:
        """What is exposed."""
        what = "Calls that answered another again, off its client's path"
        yield _family("smallfirst_aside_calls", what, ("origin", "task", "status"), self._calls)
        usd = {labels: nusd / NUSD_PER_USD for labels, nusd in self._cost_nusd.items()}
        yield _family("smallfirst_aside_cost_usd", "Known cost of such calls", ("origin", "task"), usd)
        yield _family("smallfirst_aside_scores", "Answers that were scored", ("origin", "task"), self._scores)
        yield _family(
            "smallfirst_aside_left_out", "Answers or scores that were left out", ("why",), self._left_out
        )


def _family(
    name: str,
    what: str,
    labels: tuple[str, ...],
    values: dict[tuple[str, ...], float] | Counter[tuple[str, ...]],
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, what, labels=labels)
    for each, value in values.items():
        family.add_metric(each, value)
    return family
