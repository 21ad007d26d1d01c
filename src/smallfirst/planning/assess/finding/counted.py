"""What is counted of a group of calls while they pass by, and the uniform sample of them that is kept."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable
from typing import Any

import msgspec

from smallfirst.ledger.buckets import bucket
from smallfirst.planning.assess.feature import SAMPLE_CALLS
from smallfirst.planning.assess.finding.passing import Passing
from smallfirst.planning.assess.finding.prompt_text import Prompt, clipped
from smallfirst.planning.assess.observed import Observed

_MS_PER_HOUR = 3_600_000
_US_PER_MS = 1000
_CHARS_PER_TOKEN = 4
_NAMES_KEPT = 200  # different models, schemas or tasks of one group
_TENANTS_KEPT = 1 << 16
_NUMBERS_KEPT = 1 << 15
_HOURS_KEPT = 24 * 366 * 2
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Observed).decode


class Sample:
    """The calls with the least of random numbers: of two samples, those with the least of both are a sample of all their calls."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, bytes]] = []  # the greatest number first, so negated
        self._most = SAMPLE_CALLS
        self.bytes = 0

    def offer(self, lot: float, order: int, observed: Observed) -> None:
        """`lot`: uniform in [0, 1)."""
        if len(self._heap) == self._most and -self._heap[0][0] <= lot:
            return
        self._take(-lot, order, _encode(clipped(observed)))

    def join(self, other: Sample) -> None:
        """The sample of the calls of both."""
        self._most = min(self._most, other._most)
        for entry in other._heap:
            self._take(*entry)
        self._shrink()

    def halve(self) -> None:
        """Half as many, still uniform; for memory."""
        self._most = max(1, min(self._most, len(self._heap)) // 2)
        self._shrink()

    def calls(self) -> tuple[Observed, ...]:
        """In the order in which they came."""
        return tuple(_decode(data) for _, _, data in sorted(self._heap, key=lambda entry: entry[1]))

    def _take(self, lot: float, order: int, data: bytes) -> None:
        self.bytes += len(data)
        heapq.heappush(self._heap, (lot, order, data))
        self._shrink()

    def _shrink(self) -> None:
        while len(self._heap) > self._most:
            self.bytes -= len(heapq.heappop(self._heap)[2])


class Distinct:
    """How many different numbers there were: exact up to 32,768, beyond that from a sample of them (Wegman; within about 1 %). They must be evenly
    spread, as hashes are.
    """

    def __init__(self) -> None:
        self._seen: set[int] = set()
        self._level = 0

    def join(self, other: Distinct) -> None:
        self._level = max(self._level, other._level)
        self._seen = {number for number in self._seen if not number & self._mask}
        for number in other._seen:
            self.add(number)

    def count(self) -> int:
        return len(self._seen) << self._level

    @property
    def _mask(self) -> int:
        return (1 << self._level) - 1

    def add(self, number: int) -> None:
        if number & self._mask:
            return
        self._seen.add(number)
        while len(self._seen) > _NUMBERS_KEPT:
            self._level += 1
            self._seen = {number for number in self._seen if not number & self._mask}


class Counted:
    """Sums over all calls of a group. What has too many different names is counted under "others"."""

    def __init__(self) -> None:
        self.sums: Counter[str] = Counter()
        self.tools = 0
        self.by: dict[str, Counter[Any]] = {
            name: Counter() for name in ("tasks", "models", "schemas", "hours", "latency", "first_token")
        }
        self.tenants: set[str] = set()
        self.inputs, self.requests = Distinct(), Distinct()
        self.sample = Sample()

    def add(self, one: Passing) -> None:
        """Counts one call."""
        observed, prompt, sums, by = one.observed, one.prompt, self.sums, self.by
        sums["calls"] += 1
        for name, holds in (
            ("failed_calls", observed.failed),
            ("streamed_calls", observed.stream),
            ("tool_calls", observed.calls_tools),
            ("long_conversations", prompt.user_turns > 1),
            ("inputs", one.said is not None),
            ("requests", one.request is not None),
            ("dated_requests", one.request is not None and observed.at_ms > 0),
            ("repeated_requests", one.again),
        ):
            if holds:
                sums[name] += 1
        self.tools = max(self.tools, len(observed.tools))
        for name, told in (
            ("tasks", observed.task),
            ("models", observed.model),
            ("schemas", observed.schema),
        ):
            if told:
                _count(by[name], told, _NAMES_KEPT)
        if observed.at_ms:
            _count(by["hours"], observed.at_ms // _MS_PER_HOUR, _HOURS_KEPT, others=None)
        if observed.latency_ms is not None:
            by["latency"][bucket(observed.latency_ms * _US_PER_MS)] += 1
        if observed.first_token_ms is not None:
            by["first_token"][bucket(observed.first_token_ms * _US_PER_MS)] += 1
        if observed.tenant and len(self.tenants) < _TENANTS_KEPT:
            self.tenants.add(observed.tenant)
        self._add_tokens(observed, prompt)
        if one.said is not None:
            self.inputs.add(one.said)
        if one.request is not None:
            self.requests.add(one.request)
        self.sample.offer(one.lot, one.order, observed)

    def _add_tokens(self, observed: Observed, prompt: Prompt) -> None:
        sums = self.sums
        if observed.input_tokens is not None or observed.output_tokens is not None:
            sums["token_calls"] += 1
            sums["input_tokens"] += observed.input_tokens or 0
            sums["cached_tokens"] += observed.cached_tokens or 0
            sums["output_tokens"] += observed.output_tokens or 0
            sums["reasoning_tokens"] += observed.reasoning_tokens or 0
        elif prompt.chars or observed.answer:
            sums["estimated_calls"] += 1
            sums["estimated_input_tokens"] += -(-prompt.chars // _CHARS_PER_TOKEN)
            sums["estimated_output_tokens"] += -(-len(observed.answer) // _CHARS_PER_TOKEN)
        if observed.cost_nusd is None:
            sums["unknown_cost_calls"] += 1
        else:
            sums["cost_nusd"] += observed.cost_nusd

    def join(self, other: Counted) -> None:
        """Takes the calls of another group over."""
        self.sums.update(other.sums)
        self.tools = max(self.tools, other.tools)
        for name, counts in other.by.items():
            self.by[name].update(counts)
        self.tenants |= other.tenants
        self.inputs.join(other.inputs)
        self.requests.join(other.requests)
        self.sample.join(other.sample)

    def figures(self) -> dict[str, Any]:
        """The fields of `Feature` that are counts."""
        sums = dict(self.sums)
        estimated = not sums.get("token_calls") and bool(sums.get("estimated_calls"))
        if estimated:
            sums["token_calls"] = sums["estimated_calls"]
            sums["input_tokens"] = sums["estimated_input_tokens"]
            sums["output_tokens"] = sums["estimated_output_tokens"]
        for name in ("estimated_calls", "estimated_input_tokens", "estimated_output_tokens"):
            sums.pop(name, None)
        return {
            **sums,
            **{name: dict(_ordered(name, counts)) for name, counts in self.by.items()},
            "tools": self.tools,
            "tenants": len(self.tenants),
            "distinct_inputs": self.inputs.count(),
            "distinct_requests": self.requests.count(),
            "tokens_estimated": estimated,
        }


def _count(counts: Counter[Any], name: Any, most: int, others: str | None = "others") -> None:
    if name in counts or len(counts) < most:
        counts[name] += 1
    elif others is not None:
        counts[others] += 1


def _ordered(name: str, counts: Counter[Any]) -> Iterable[tuple[Any, int]]:
    """Names by how often they came, numbers in their order."""
    if name in ("hours", "latency", "first_token"):
        return sorted(counts.items())
    return sorted(counts.items(), key=lambda entry: (-entry[1], entry[0]))


def hold_down(groups: Iterable[Counted], most_bytes: int) -> None:
    """Samples of all groups together take at most so much memory: the largest give way."""
    samples = [group.sample for group in groups]
    while sum(sample.bytes for sample in samples) > most_bytes:
        largest = max(samples, key=lambda sample: sample.bytes)
        before = largest.bytes
        largest.halve()
        if largest.bytes == before:
            return
