"""What Prometheus is told. On a call's path these are additions to dictionaries; the exposition is made when it is scraped.

Names follow prometheus.io's conventions (base units, `_total`); no label holds a key, a tenant's user or anything a caller invents.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from smallfirst import limits
from smallfirst.chat import Usage
from smallfirst.gateway.aside_counts import AsideCounts
from smallfirst.gateway.cache.counts import CacheCounts
from smallfirst.ledger.records import Call
from smallfirst.money import NUSD_PER_USD

if TYPE_CHECKING:
    from smallfirst.models.endpoints import Endpoint

_DURATION_BOUNDS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
_OVERHEAD_BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 1)
_TOKEN_KINDS = (
    "input",
    "output",
    "cache_read",
    "cache_write",
    "cache_write_1h",
    "input_audio",
    "reasoning",
    "output_audio",
)


class _Histogram:
    """Counts by bucket for each set of labels."""

    def __init__(self, bounds_s: tuple[float, ...]) -> None:
        self.bounds_s = bounds_s
        self.buckets: dict[tuple[str, ...], list[int]] = {}
        self.sums_s: dict[tuple[str, ...], float] = {}

    def observe(self, labels: tuple[str, ...], seconds: float) -> None:
        buckets = self.buckets.get(labels)
        if buckets is None:
            buckets = self.buckets[labels] = [0] * (len(self.bounds_s) + 1)
        buckets[bisect_left(self.bounds_s, seconds)] += 1
        self.sums_s[labels] = self.sums_s.get(labels, 0.0) + seconds

    def family(self, name: str, what: str, labels: tuple[str, ...]) -> HistogramMetricFamily:
        family = HistogramMetricFamily(name, what, labels=labels)
        for values, buckets in self.buckets.items():
            running, pairs = 0, []
            for bound, count in zip((*map(str, self.bounds_s), "+Inf"), buckets, strict=True):
                running += count
                pairs.append((bound, running))
            family.add_metric(values, buckets=pairs, sum_value=self.sums_s[values])
        return family


class Metrics(Collector):
    """Every count of the gateway. `gauges` are read at the scrape."""

    def __init__(self) -> None:
        self._models: set[str] = set()
        self._calls: Counter[tuple[str, ...]] = Counter()
        self._attempts: Counter[tuple[str, ...]] = Counter()
        self._tokens: dict[tuple[str, str], list[int]] = {}
        self._cost_nusd: Counter[tuple[str, ...]] = Counter()
        self._unknown_cost: Counter[tuple[str, ...]] = Counter()
        self._refused: Counter[tuple[str, ...]] = Counter()
        self._rate_limited: Counter[tuple[str, ...]] = Counter()
        self._duration = _Histogram(_DURATION_BOUNDS_S)
        self._first_token = _Histogram(_DURATION_BOUNDS_S)
        self._overhead = _Histogram(_OVERHEAD_BOUNDS_S)
        self.aside = AsideCounts()
        self.cache = CacheCounts()
        self.gauges: dict[str, tuple[str, Callable[[], float]]] = {}
        self.more: list[Callable[[], Iterable[Metric]]] = []
        self.endpoints: Callable[[], Iterable[Endpoint]] = tuple
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def settled(self, call: Call) -> None:
        """A call ended."""
        task, model = call.task or "none", self._label(call.model)
        self._calls[(task, model, call.status)] += 1
        labels = (task, model)
        self._duration.observe(labels, call.latency_ms / 1000)
        self._overhead.observe((), call.overhead_ms / 1000)
        if call.stream and call.ttft_ms is not None:
            self._first_token.observe(labels, call.ttft_ms / 1000)
        if call.cache:
            self.cache.settled(call)
        self._attempted(call)

    def settled_aside(self, call: Call) -> None:
        """A call ended that answered another again: what it asked counts with all attempts, itself apart."""
        self._attempted(call)
        self.aside.settled(call)

    def _attempted(self, call: Call) -> None:
        for attempt in call.attempts:
            who = (attempt.provider, self._label(attempt.model))
            self._attempts[(*who, attempt.kind, attempt.status)] += 1
            self._count_tokens(who, attempt.usage)
            if attempt.cost_nusd is None:
                self._unknown_cost[who] += 1
            else:
                self._cost_nusd[who] += attempt.cost_nusd

    def _label(self, model: str) -> str:
        """The model's name, or `other` once there are too many: a provider may accept any name that a caller invents."""
        if model in self._models:
            return model
        if len(self._models) >= limits.MAX_MODEL_LABELS:
            return "other"
        self._models.add(model)
        return model

    def _count_tokens(self, who: tuple[str, str], usage: Usage) -> None:
        sums = self._tokens.get(who)
        if sums is None:
            sums = self._tokens[who] = [0] * len(_TOKEN_KINDS)
        sums[0] += usage.input_tokens
        sums[1] += usage.output_tokens
        if usage.prompt_tokens + usage.completion_tokens != usage.input_tokens + usage.output_tokens:
            for index, kind in enumerate(_TOKEN_KINDS[2:], start=2):
                sums[index] += getattr(usage, kind + "_tokens")

    def refused(self, code: str) -> None:
        """A request was turned away before it was anybody's call."""
        self._refused[(code,)] += 1

    def rate_limited(self, scope_kind: str, counted: str) -> None:
        """A call was refused for coming too fast."""
        self._rate_limited[(scope_kind, counted)] += 1

    def exposition(self) -> bytes:
        """The text format, version 0.0.4."""
        return generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        who = ("provider", "model")
        yield _counter("smallfirst_requests", "Calls that ended", ("task", "model", "status"), self._calls)
        yield _counter(
            "smallfirst_attempts", "Requests to upstreams", (*who, "kind", "status"), self._attempts
        )
        tokens = {
            (*names, kind): sums[at]
            for names, sums in self._tokens.items()
            for at, kind in enumerate(_TOKEN_KINDS)
            if sums[at]
        }
        yield _counter("smallfirst_tokens", "Tokens by disjoint class", (*who, "class"), tokens)
        usd = {labels: nusd / NUSD_PER_USD for labels, nusd in self._cost_nusd.items()}
        yield _counter("smallfirst_cost_usd", "Known cost of attempts", who, usd)
        yield _counter(
            "smallfirst_cost_unknown_attempts", "Attempts whose price is unknown", who, self._unknown_cost
        )
        yield _counter(
            "smallfirst_refused_requests",
            "Requests turned away before they were calls",
            ("code",),
            self._refused,
        )
        yield _counter(
            "smallfirst_rate_limited_requests",
            "Calls refused for coming too fast, by whose limit it was",
            ("scope", "counted"),
            self._rate_limited,
        )
        for more in self.more:
            yield from more()
        yield from self.aside.families()
        yield from self.cache.families()
        yield self._duration.family(
            "smallfirst_request_duration_seconds", "From arrival to last byte", ("task", "model")
        )
        yield self._first_token.family(
            "smallfirst_time_to_first_token_seconds", "Streams: arrival to first byte", ("task", "model")
        )
        yield self._overhead.family("smallfirst_overhead_seconds", "A call's time less its upstreams'", ())
        for name, (what, read) in self.gauges.items():
            yield GaugeMetricFamily(name, what, value=read())
        up = GaugeMetricFamily(
            "smallfirst_endpoint_up", "1 if requests may be sent to it", labels=("endpoint",)
        )
        load = GaugeMetricFamily("smallfirst_endpoint_in_flight", "Requests under way", labels=("endpoint",))
        for endpoint in self.endpoints():
            up.add_metric((endpoint.name,), float(endpoint.usable))
            load.add_metric((endpoint.name,), endpoint.in_flight)
        yield up
        yield load


def _counter(
    name: str,
    what: str,
    labels: tuple[str, ...],
    counts: Mapping[Any, float],
) -> Metric:
    family = CounterMetricFamily(name, what, labels=labels)
    for values, count in counts.items():
        family.add_metric(values, count)
    return family
