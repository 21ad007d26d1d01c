"""Sums by the hour, kept as calls are imported, so that a report over ten million calls reads hours and not
calls.

Every rollup is a table whose key is followed by sums; adding a batch is one upsert a row. A call belongs to
the hour in which it arrived (UTC).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from operator import add
from typing import Any

from smallfirst.ledger import store
from smallfirst.ledger.buckets import bucket
from smallfirst.ledger.days import HOURS_PER_DAY, unfold
from smallfirst.ledger.frontier import frontier_cost_nusd
from smallfirst.ledger.names import Ids
from smallfirst.ledger.records import ANSWERED, OWN_PURSE, Attempt, Call, Heartbeat

MS_PER_HOUR = 3_600_000
SECONDS_PER_HOUR = 3600
TOTAL, FIRST_TOKEN, OVERHEAD = 0, 1, 2
_US_PER_MS = 1000

TOKEN_CLASSES = (
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "input_audio_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_audio_tokens",
)
ATTEMPT_SUMS = (
    "attempts",
    *TOKEN_CLASSES,
    "cost_nusd",
    "unknown_attempts",
    "estimated_attempts",
    "estimated_nusd",
    "prompt_cache_saved_nusd",
)
FRONTIER_SUMS = (
    "calls",
    "unknown_calls",
    "paid_nusd",
    "frontier_nusd",
    "bytes",
    "bytes2",
    "nusd2",
    "cross",
    "prompt_cache_saved_nusd",
    "full_nusd",
    "full2",
    "full_cross",
    "hit_calls",
    "hit_nusd",
    "cache_saved_nusd",
    "unknown_hits",
)
_TABLES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "hourly_calls": (
        ("hour", "tenant", "key", "task", "model", "origin", "status", "unproven", "outside_bound"),
        ("calls",),
    ),
    "hourly_attempts": (
        ("hour", "tenant", "key", "task", "model", "provider", "origin", "status", "simulated"),
        ATTEMPT_SUMS,
    ),
    "hourly_latency": (("hour", "tenant", "task", "model", "origin", "measure", "bucket"), ("calls",)),
    "hourly_output": (("task", "model", "hour", "bucket"), ("attempts",)),
    "hourly_frontier": (
        ("hour", "tenant", "task", "model", "simulated"),
        FRONTIER_SUMS,
    ),
    "hourly_frontier_spend": (("hour", "tenant", "key", "task"), ("cost_nusd",)),
    "hourly_models": (("hour", "model"), ("seconds", "cost_nusd")),
    "hourly_cache": (("hour", "tenant", "task", "result"), ("calls", "unknown_calls", "saved_nusd")),
}
_Key = tuple[Any, ...]
_Sums = dict[_Key, tuple[Any, ...]]


def _conflict(table: str) -> str:
    key, sums = _TABLES[table]
    sets = ", ".join(f"{name} = {name} + excluded.{name}" for name in sums)
    return f"ON CONFLICT ({', '.join(key)}) DO UPDATE SET {sets}"


_CONFLICTS = {table: _conflict(table) for table in _TABLES}


class Rollups:
    """The sums of one batch. `ids` numbers the names; `write` adds them to the store's."""

    def __init__(self, ids: Ids) -> None:
        self._ids = ids
        self._counts: dict[str, dict[_Key, int]] = {
            table: {} for table, (_, sums) in _TABLES.items() if len(sums) == 1
        }
        self._sums: dict[str, _Sums] = {table: {} for table, (_, sums) in _TABLES.items() if len(sums) > 1}

    def add_call(self, call: Call) -> None:
        """Counts a settled call and its attempts."""
        ids, hour = self._ids, call.at_ms // MS_PER_HOUR
        tenant, key, task, origin = ids[call.tenant], ids[call.key], ids[call.task], ids[call.origin]
        row = (
            hour,
            tenant,
            key,
            task,
            ids[call.model],
            origin,
            ids[call.status],
            call.unproven,
            call.outside_bound,
        )
        _count(self._counts["hourly_calls"], row)
        for attempt in call.attempts:
            of = (
                hour,
                tenant,
                key,
                task,
                ids[attempt.model],
                ids[attempt.provider],
                origin,
                ids[attempt.status],
            )
            _add(self._sums["hourly_attempts"], (*of, attempt.simulated), _attempt_sums(attempt))
            if attempt.frontier and attempt.cost_nusd and call.origin not in OWN_PURSE:
                _count(self._counts["hourly_frontier_spend"], (hour, tenant, key, task), attempt.cost_nusd)
            # How long a rung's answers are: a router's question to the same model has another length.
            answers = attempt.status in ANSWERED and attempt.kind != "route"
            if answers and attempt.usage_source == "reported":
                row = (task, ids[attempt.model], hour, bucket(attempt.usage.completion_tokens))
                _count(self._counts["hourly_output"], row)
        if call.cache:
            saved = call.saved_nusd
            sums = (1, int(saved is None), saved or 0)
            _add(self._sums["hourly_cache"], (hour, tenant, task, ids[call.cache]), sums)
        if call.status == "ok":
            self._add_latency(call, (hour, tenant, task, ids[call.model], origin))
            if call.origin == "client":
                self._add_frontier(call, (hour, tenant, task))

    def add_heartbeat(self, beat: Heartbeat) -> None:
        """Counts the time for which own models were kept: all of it in the hour in which it ended."""
        for model, hourly_nusd in beat.hourly_nusd.items():
            cost_nusd = round(hourly_nusd * beat.seconds / SECONDS_PER_HOUR)
            _add(
                self._sums["hourly_models"],
                (beat.at_ms // MS_PER_HOUR, self._ids[model]),
                (beat.seconds, cost_nusd),
            )

    def write(self, conn: sqlite3.Connection, give_way: Callable[[], None]) -> None:
        """Adds the sums to the store's, inside a transaction of the caller's; `give_way` is called between
        tables. Sums of the days that they belong to no longer hold.
        """
        unfold(conn, {key[0] // HOURS_PER_DAY for key in self._counts["hourly_calls"]})  # every call is in it
        for table, counts in self._counts.items():
            store.insert(
                conn, table, [(*key, count) for key, count in counts.items()], conflict=_CONFLICTS[table]
            )
            give_way()
        for table, sums in self._sums.items():
            store.insert(
                conn, table, [key + values for key, values in sums.items()], conflict=_CONFLICTS[table]
            )
            give_way()

    def _add_latency(self, call: Call, of: _Key) -> None:
        counts = self._counts["hourly_latency"]
        _count(counts, (*of, TOTAL, bucket(round(call.latency_ms * _US_PER_MS))))
        _count(counts, (*of, OVERHEAD, bucket(round(call.overhead_ms * _US_PER_MS))))
        if call.ttft_ms is not None:
            _count(counts, (*of, FIRST_TOKEN, bucket(round(call.ttft_ms * _US_PER_MS))))

    def _add_frontier(self, call: Call, of: _Key) -> None:
        """What the frontier cost where it answered, and how large the calls were that it did not."""
        answered = [each for each in call.attempts if each.frontier and each.status in ANSWERED]
        simulated = any(attempt.simulated for attempt in (answered or call.attempts))
        row = (*of, self._ids[answered[-1].model if answered else ""], int(simulated))
        sums = _answered_sums(call) if answered else _other_sums(call)
        _add(self._sums["hourly_frontier"], row, [sums.get(name, 0) for name in FRONTIER_SUMS])


def _answered_sums(call: Call) -> dict[str, int | float]:
    """Of a call that the frontier answered. `full`: with every token of the frontier's prompts at its plain price."""
    cost = frontier_cost_nusd(call.attempts)
    if call.cost_nusd is None or cost is None:
        return {"unknown_calls": 1}
    size = call.prompt_bytes
    full = cost + sum(each.prompt_cache_saved_nusd for each in call.attempts if each.frontier)
    return {
        "calls": 1,
        "paid_nusd": call.cost_nusd,
        "frontier_nusd": cost,
        "bytes": size,
        "bytes2": float(size * size),
        "nusd2": float(cost * cost),
        "cross": float(cost * size),
        "prompt_cache_saved_nusd": sum(each.prompt_cache_saved_nusd for each in call.attempts),
        "full_nusd": full,
        "full2": float(full * full),
        "full_cross": float(full * size),
    }


def _other_sums(call: Call) -> dict[str, int | float]:
    """Of a call that the frontier did not answer. What it had cost there is known where the cache gave an answer of
    the frontier's again (`hit_nusd`), and else estimated from its bytes.
    """
    if call.cost_nusd is None:
        return {"unknown_calls": 1}
    hit = call.from_cache
    known = call.saved_frontier_nusd if hit else None
    size = call.prompt_bytes if known is None else 0
    return {
        "calls": 1,
        "paid_nusd": call.cost_nusd,
        "bytes": size,
        "bytes2": float(size * size),
        "prompt_cache_saved_nusd": sum(each.prompt_cache_saved_nusd for each in call.attempts),
        "hit_calls": int(known is not None),
        "hit_nusd": known or 0,
        "cache_saved_nusd": (call.saved_nusd or 0) if hit else 0,
        "unknown_hits": int(hit and call.saved_nusd is None),
    }


def _attempt_sums(attempt: Attempt) -> tuple[int, ...]:
    usage, cost = attempt.usage, attempt.cost_nusd
    estimated = attempt.usage_source == "estimated"
    return (
        1,
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.input_audio_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.output_audio_tokens,
        cost or 0,
        int(cost is None),
        int(estimated),
        (cost or 0) if estimated else 0,
        attempt.prompt_cache_saved_nusd,
    )


def _count(counts: dict[_Key, int], key: _Key, amount: int = 1) -> None:
    counts[key] = counts.get(key, 0) + amount


def _add(sums: _Sums, key: _Key, values: Sequence[Any]) -> None:
    before = sums.get(key)
    sums[key] = tuple(values) if before is None else tuple(map(add, before, values))
