"""What the server is doing and has done: one record a request, for tests to look at."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

_RECORDS_MAX = 10_000
_BODIES_MAX = 500
_BODY_BYTES_MAX = 1_000_000


@dataclass(slots=True)
class RequestRecord:
    """One request. Times are seconds since the epoch."""

    number: int  # in the order of arrival, from 1
    request_id: str
    endpoint: str
    dialect: str
    received_at: float
    client_request_id: str | None = None
    model: str = ""
    stream: bool = False
    state: str = "running"  # running | ok | error | cut | cancelled
    status: int | None = None
    started_at: float | None = None  # headers sent
    finished_at: float | None = None
    cancelled_at: float | None = None
    output_tokens: int = 0
    reasoning_tokens: int = 0
    headers: Mapping[str, str] = field(default_factory=dict[str, str])
    body: str | None = None


class Activity:
    """The latest requests, bounded; those in flight are always among them."""

    def __init__(self) -> None:
        self._records: OrderedDict[str, RequestRecord] = OrderedDict()
        self._with_body: OrderedDict[str, RequestRecord] = OrderedDict()
        self.in_flight = 0
        self.received = 0

    def open(self, endpoint: str, dialect: str, headers: Mapping[str, str]) -> RequestRecord:
        """A new record, in flight from now on."""
        self.received += 1
        self.in_flight += 1
        number = self.received
        request_id = f"req_sim_{number:08d}"
        record = RequestRecord(number, request_id, endpoint, dialect, time.time(), headers=headers)
        record.client_request_id = headers.get("x-smallfirst-attempt") or headers.get("x-client-request-id")
        self._records[record.request_id] = record
        if len(self._records) > _RECORDS_MAX:
            oldest = next((r for r in self._records.values() if r.state != "running"), None)
            if oldest:
                del self._records[oldest.request_id]
        return record

    def keep_body(self, record: RequestRecord, raw: bytes) -> None:
        """Remember what was sent, for the latest requests only."""
        if len(raw) <= _BODY_BYTES_MAX:
            record.body = raw.decode("utf-8", "replace")
            self._with_body[record.request_id] = record
            if len(self._with_body) > _BODIES_MAX:
                self._with_body.popitem(last=False)[1].body = None

    def close(self, record: RequestRecord, outcome: str) -> None:
        """The end of a request."""
        self.in_flight -= 1
        record.state = outcome
        record.finished_at = time.time()
        if outcome == "cancelled":
            record.cancelled_at = record.finished_at

    def clear(self) -> None:
        """Forget all finished requests."""
        running = [(key, record) for key, record in self._records.items() if record.state == "running"]
        self._records = OrderedDict(running)
        self._with_body.clear()

    def document(self, *, detail: bool = False) -> dict[str, Any]:
        """All records; with ``detail`` also the headers and bodies that were received."""
        rows = [asdict(record) for record in self._records.values()]
        if not detail:
            rows = [{k: v for k, v in row.items() if k not in ("headers", "body")} for row in rows]
        return {"in_flight": self.in_flight, "received": self.received, "requests": rows}
