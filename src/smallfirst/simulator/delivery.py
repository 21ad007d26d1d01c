"""Sends one answer, whole or as a stream, with whatever fault was ordered for it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Protocol

from .activity import RequestRecord
from .api_error import ApiError
from .connection import Connection
from .dialect import Dialect, Reply
from .meter import Meter
from .prompt import JsonObject, compact
from .sse import Event, Framing, truncated

_GARBAGE = "<<<this is not JSON>>>"


class Settle(Protocol):
    """Closes the books on the request; only the first call counts."""

    def __call__(self, outcome: str, *, usage_reported: bool = False) -> None: ...


class Delivery:
    """One answer on its way. Every way to its end settles the request before the last byte goes out."""

    def __init__(
        self, dialect: Dialect, connection: Connection, meter: Meter, record: RequestRecord, settle: Settle
    ) -> None:
        self._dialect = dialect
        self._connection = connection
        self._meter = meter
        self._record = record
        self._settle = settle

    async def whole(self, reply: Reply, headers: Mapping[str, str]) -> None:
        """Generate everything, then answer in one body."""
        fault, connection = reply.fault, self._connection
        await self._meter.generate(reply.completion.output_tokens, reply.completion.reasoning_tokens)
        document = self._dialect.whole(reply)
        body = _broken_body(reply, compact(_padded(document, reply)).encode("utf-8", "replace"))
        self._record.status, self._record.started_at = 200, time.time()
        cut = fault.cut_before_body or fault.cut_after_chunks is not None
        hang = fault.hang_after_chunks is not None and not cut
        if cut:
            self._settle("cut")
        elif not hang:
            intact = not (fault.garbage_json or fault.truncated_json or fault.silent_end is not False)
            self._settle("ok", usage_reported="usage" in document and intact)
        await connection.start(200, {**headers, "content-length": str(len(body))})
        if (cut or hang) and not fault.cut_before_body:
            await connection.write(body[: len(body) // 2])
        if hang:
            await connection.pause(None)
        if cut:
            await connection.cut(reset=fault.reset)
        elif fault.split_bytes:
            await connection.write(body, split_bytes=fault.split_bytes)
            await connection.end()
        else:
            await connection.end(body)

    async def stream(self, reply: Reply, headers: Mapping[str, str]) -> None:
        """Answer event by event; what was generated when it stops is what is charged."""
        fault, connection, framing = reply.fault, self._connection, Framing(reply.fault)
        events = list(self._dialect.events(reply))
        await self._meter.first_token()
        self._record.status, self._record.started_at = 200, time.time()
        await connection.start(200, headers)
        if fault.cut_before_body:
            return await self._cut(reply)
        chunks = 0
        for position, event in enumerate(events, start=1):
            breakable = event.part in ("content", "end")
            if breakable and await self._broken_off(reply, event, chunks, framing):
                return None
            if event.part == "content":
                await self._meter.generate(event.output_tokens, event.reasoning_tokens, fault.slow_ms / 1000)
                chunks += 1
            first = event.part == "content" and chunks == 1
            sent = framing.encode(_spoiled(event, reply) if first else event)
            if first and fault.truncated_json:
                self._settle("cut")
                return await connection.end(sent)
            if position == len(events):
                await connection.pause(0)  # a client that has left by now was not told the usage
                self._settle("ok", usage_reported=any(each.reports_usage for each in events))
            await connection.write(sent, split_bytes=fault.split_bytes)
        return await connection.end()

    async def _broken_off(self, reply: Reply, event: Event, chunks: int, framing: Framing) -> bool:
        """Whether the answer breaks off before ``event``, after ``chunks`` content chunks; then it has."""
        fault, connection, ending = reply.fault, self._connection, event.part == "end"

        def due(after: int | None) -> bool:  # a count beyond the end of the answer is due at its end
            return after is not None and (chunks >= after or ending)

        if due(fault.hang_after_chunks):
            await connection.pause(None)
        if due(fault.cut_after_chunks):
            await self._cut(reply)
            return True
        counted = fault.silent_end if not isinstance(fault.silent_end, bool) else None
        if due(counted) or (ending and fault.silent_end is True):
            self._settle("cut")
            await connection.end()
            return True
        if due(fault.error_event_after_chunks):
            self._settle("error")
            await connection.end(framing.encode(self._error_event(reply)))
            return True
        return False

    def _error_event(self, reply: Reply) -> Event:
        name = self._dialect.name
        status = 529 if name == "anthropic" else 500
        error = ApiError(status, reply.fault.message, error_type=reply.fault.error_type)
        return Event(error.body(name, reply.request_id), "error" if name == "anthropic" else None, "end")

    async def _cut(self, reply: Reply) -> None:
        self._settle("cut")
        await self._connection.cut(reset=reply.fault.reset)


def _broken_body(reply: Reply, body: bytes) -> bytes:
    """``body`` as the fault leaves it."""
    if reply.fault.silent_end is not False:
        return b""
    if reply.fault.garbage_json:
        return _GARBAGE.encode()
    return body[: len(body) // 2] if reply.fault.truncated_json else body


def _spoiled(event: Event, reply: Reply) -> Event:
    """The first content event as the fault leaves it."""
    if reply.fault.garbage_json:
        return replace(event, payload=_GARBAGE)
    if reply.fault.truncated_json:
        return truncated(event)
    if isinstance(event.payload, dict):
        return replace(event, payload=_padded(event.payload, reply))
    return event


def _padded(document: JsonObject, reply: Reply) -> JsonObject:
    size = reply.fault.huge_body_bytes
    return {**document, "x_padding": "x" * size} if size else document
