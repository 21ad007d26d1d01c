"""Calls and attempts as rows of the store, and back. The order of a row's values is the order of its table's
columns.
"""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger.names import Ids, Names
from smallfirst.ledger.records import Attempt, Call

_US_PER_MS = 1000
_encode = msgspec.json.Encoder().encode


def call_row(n: int, call: Call, ids: Ids) -> tuple[Any, ...]:
    """A row of `calls`."""
    return (
        n,
        call.id,
        call.at_ms,
        ids[call.tenant],
        ids[call.key],
        ids[call.task],
        ids[call.model],
        ids[call.status],
        ids[call.origin],
        ids[call.dialect],
        ids[call.release],
        ids[call.policy],
        call.rung,
        call.http_status,
        call.stream,
        call.unproven,
        call.outside_bound,
        round(call.latency_ms * _US_PER_MS),
        None if call.ttft_ms is None else round(call.ttft_ms * _US_PER_MS),
        round(call.overhead_ms * _US_PER_MS),
        call.cost_nusd,
        call.prompt_bytes,
        call.answer_chars,
        call.route or None,
        call.asked_model or None,
        call.error or None,
        call.client_key or None,
        call.conversation or None,
        _encode(call.decision).decode() if call.decision else None,
        call.trainable,
        call.cache or None,
        call.saved_nusd,
        call.saved_frontier_nusd,
    )


def attempt_row(n: int, attempt: Attempt, ids: Ids) -> tuple[Any, ...]:
    """A row of `attempts`."""
    usage = attempt.usage
    return (
        n,
        attempt.seq,
        ids[attempt.kind],
        attempt.rung,
        ids[attempt.model],
        ids[attempt.provider],
        ids[attempt.status],
        ids[attempt.endpoint],
        ids[attempt.upstream_model],
        ids[attempt.stop],
        ids[attempt.usage_source],
        ids[attempt.price_version],
        attempt.http_status,
        round(attempt.started_ms * _US_PER_MS),
        round(attempt.latency_ms * _US_PER_MS),
        None if attempt.ttft_ms is None else round(attempt.ttft_ms * _US_PER_MS),
        usage.input_tokens,
        usage.cache_read_tokens,
        usage.cache_write_tokens,
        usage.cache_write_1h_tokens,
        usage.input_audio_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
        usage.output_audio_tokens,
        attempt.cost_nusd,
        attempt.simulated,
        attempt.frontier,
        attempt.upstream_id or None,
        attempt.reason or None,
        attempt.system_fingerprint or None,
        attempt.prompt_cache_saved_nusd,
    )


def call_from_row(row: tuple[Any, ...], names: Names, attempts: tuple[Attempt, ...] = ()) -> Call:
    """The call that `call_row` made a row of; its attempts are rows of their own."""
    return Call(
        id=row[1],
        at_ms=row[2],
        tenant=names[row[3]],
        key=names[row[4]],
        task=names[row[5]],
        model=names[row[6]],
        status=names[row[7]],  # pyright: ignore[reportArgumentType]  (written from the same literal)
        origin=names[row[8]],  # pyright: ignore[reportArgumentType]
        dialect=names[row[9]],
        release=names[row[10]],
        policy=names[row[11]],
        rung=row[12],
        http_status=row[13],
        stream=bool(row[14]),
        unproven=bool(row[15]),
        outside_bound=bool(row[16]),
        latency_ms=row[17] / _US_PER_MS,
        ttft_ms=None if row[18] is None else row[18] / _US_PER_MS,
        overhead_ms=row[19] / _US_PER_MS,
        cost_nusd=row[20],
        prompt_bytes=row[21],
        answer_chars=row[22],
        route=row[23] or "",
        asked_model=row[24] or "",
        error=row[25] or "",
        client_key=row[26] or "",
        conversation=row[27] or "",
        decision=msgspec.json.decode(row[28]) if row[28] else {},
        trainable=bool(row[29]),
        cache=row[30] or "",
        saved_nusd=row[31],
        saved_frontier_nusd=row[32],
        attempts=attempts,
    )


def attempt_from_row(row: tuple[Any, ...], names: Names) -> Attempt:
    """The attempt that `attempt_row` made a row of."""
    return Attempt(
        seq=row[1],
        kind=names[row[2]],  # pyright: ignore[reportArgumentType]
        rung=row[3],
        model=names[row[4]],
        provider=names[row[5]],
        status=names[row[6]],  # pyright: ignore[reportArgumentType]
        endpoint=names[row[7]],
        upstream_model=names[row[8]],
        stop=names[row[9]],
        usage_source=names[row[10]],  # pyright: ignore[reportArgumentType]
        price_version=names[row[11]],
        http_status=row[12],
        started_ms=row[13] / _US_PER_MS,
        latency_ms=row[14] / _US_PER_MS,
        ttft_ms=None if row[15] is None else row[15] / _US_PER_MS,
        usage=Usage(*row[16:24]),
        cost_nusd=row[24],
        simulated=bool(row[25]),
        frontier=bool(row[26]),
        upstream_id=row[27] or "",
        reason=row[28] or "",
        system_fingerprint=row[29] or "",
        prompt_cache_saved_nusd=row[30],
    )
