"""Continuous batching with chunked prefill, stepped through request by request.

Every step gives one token to each answer that grows, and fills what is left of `batched_tokens` with prompts, first come, first served, as
vLLM does. Between two events nothing changes, so steps without one are skipped over: a minute of a busy GPU takes milliseconds. An answer's
reading of its context is that of its middle. What is left out: preemption when memory runs out (answers count with half their length), and
the engine's HTTP.
"""

from __future__ import annotations

import heapq
import math
from collections import deque
from collections.abc import Sequence

import msgspec

from smallfirst.planning.fleet.roofline import StepCosts, kv_capacity_bytes, step_costs
from smallfirst.planning.fleet.server import Server


class Request(msgspec.Struct, frozen=True):
    """One request: when it comes, and its tokens. `cached_tokens` of the prompt are not computed."""

    arrival_s: float
    input_tokens: float
    output_tokens: float
    cached_tokens: float = 0.0


class Served(msgspec.Struct):
    """When the first and the last token of each request came, in the order of the requests."""

    first_s: list[float]
    last_s: list[float]


class _Batch:
    """The state of the engine: who waits, whose prompt is read, who grows."""

    def __init__(self, server: Server, requests: Sequence[Request]) -> None:
        self.costs: StepCosts = step_costs(server)
        self.engine, self.shape, self.requests = server.engine, server.shape, requests
        shared = max((request.cached_tokens for request in requests), default=0.0)
        self.free_bytes = kv_capacity_bytes(server) - self.shape.kv_bytes(shared, self.engine.kv)
        self.now_s, self.steps, self.growing, self.kv_s = 0.0, 0, 0, 0.0
        self.reading: deque[list[float]] = deque()  # [number, tokens left, seconds of attention a token]
        self.ends: list[tuple[int, int]] = []  # [step of the last token, number]
        self.next = 0
        self.first_s, self.last_s = [math.nan] * len(requests), [math.nan] * len(requests)

    def held_bytes(self, request: Request) -> float:
        own = request.input_tokens - request.cached_tokens + request.output_tokens / 2
        return self.shape.kv_bytes(own, self.engine.kv)

    def read_s(self, request: Request) -> float:
        return (
            self.shape.kv_bytes(request.input_tokens + request.output_tokens / 2, self.engine.kv)
            * self.costs.kv_s_per_byte
        )

    def can_admit(self) -> bool:
        if self.next >= len(self.requests):
            return False
        running = self.growing + len(self.reading)
        if running >= self.engine.max_sequences:
            return False
        return running == 0 or self.held_bytes(self.requests[self.next]) <= self.free_bytes

    def admit(self) -> None:
        while self.can_admit() and self.requests[self.next].arrival_s <= self.now_s:
            request = self.requests[self.next]
            self.free_bytes -= self.held_bytes(request)
            left = max(1.0, request.input_tokens - request.cached_tokens)
            pairs = self.shape.attention_flops(request.input_tokens - left, request.input_tokens)
            self.reading.append([self.next, left, pairs * self.costs.pair_s_per_flop / left])
            self.next += 1

    def skip(self) -> None:
        """To the next step in which something changes: an answer ends, or one that can be admitted comes."""
        step_s = self.costs.step_s(growing=self.growing, prefilled=0, kv_s=self.kv_s, pairs_s=0)
        count = max(1, self.ends[0][0] - self.steps)
        if self.can_admit():
            count = min(count, max(1, math.ceil((self.requests[self.next].arrival_s - self.now_s) / step_s)))
        self.steps += count
        self.now_s += count * step_s

    def read(self) -> None:
        """One step that grows all answers and reads a chunk of the prompts that wait."""
        left = max(1.0, self.engine.batched_tokens - self.growing)
        tokens, pairs_s, done = 0.0, 0.0, []
        for entry in self.reading:
            chunk = min(entry[1], left - tokens)
            if chunk <= 0:
                break
            entry[1] -= chunk
            tokens += chunk
            pairs_s += chunk * entry[2]
            if entry[1] <= 0:
                done.append(int(entry[0]))
        self.now_s += self.costs.step_s(
            growing=self.growing, prefilled=tokens, kv_s=self.kv_s, pairs_s=pairs_s
        )
        self.steps += 1
        for number in done:
            self.reading.popleft()
            self.grow(number)

    def grow(self, number: int) -> None:
        request = self.requests[number]
        self.first_s[number] = self.now_s
        steps = round(request.output_tokens) - 1
        if steps <= 0:
            self.end(number)
            return
        heapq.heappush(self.ends, (self.steps + steps, number))
        self.growing += 1
        self.kv_s += self.read_s(request)

    def end(self, number: int) -> None:
        self.last_s[number] = self.now_s
        self.free_bytes += self.held_bytes(self.requests[number])

    def end_due(self) -> list[int]:
        ended = []
        while self.ends and self.ends[0][0] <= self.steps:
            number = heapq.heappop(self.ends)[1]
            self.growing -= 1
            self.kv_s = max(0.0, self.kv_s - self.read_s(self.requests[number])) if self.growing else 0.0
            self.end(number)
            ended.append(number)
        return ended


def run(server: Server, requests: Sequence[Request]) -> Served:
    """Serves requests that come at their own times (in order of arrival). Raises `ConfigError` where the model does not fit."""
    batch = _Batch(server, requests)
    while batch.next < len(requests) or batch.reading or batch.ends:
        batch.admit()
        if batch.reading:
            batch.read()
        elif batch.ends:
            batch.skip()
        else:
            batch.now_s = max(batch.now_s, requests[batch.next].arrival_s)
            continue
        batch.end_due()
    return Served(batch.first_s, batch.last_s)
