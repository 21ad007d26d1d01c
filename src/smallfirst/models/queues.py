"""Queues that engines report: vLLM's own metrics tell how many requests wait, so that replicas are balanced by load nobody else can see."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from smallfirst.config.schema import Timeouts
from smallfirst.errors import UpstreamError
from smallfirst.models.endpoints import Endpoint
from smallfirst.models.model import Model
from smallfirst.models.transport import Outgoing, Transport

_WAITING = "vllm:num_requests_waiting"
_PATIENCE = Timeouts(connect_s=0.5, first_byte_s=1.0, between_bytes_s=1.0, total_s=2.0)


async def read_queues(models: Iterable[Model], transport: Transport) -> None:
    """Updates `waiting` of every replica of a vLLM model that has several."""
    endpoints = {
        endpoint.name: endpoint
        for model in models
        if model.engine == "vllm" and len(model.endpoints.all) > 1
        for endpoint in model.endpoints.all
    }
    await asyncio.gather(*(_read(endpoint, transport) for endpoint in endpoints.values()))


async def _read(endpoint: Endpoint, transport: Transport) -> None:
    url = endpoint.base_url.with_path("/metrics").with_query(None)
    try:
        exchange = await transport.send(Outgoing(url, {}, b"", "GET"), _PATIENCE)
        text = (await exchange.read()).decode("utf-8", "replace")
    except UpstreamError:
        endpoint.waiting = 0.0  # nothing is known; its breaker tells whether it can be asked
        return
    endpoint.waiting = waiting(text)


def waiting(exposition: str) -> float:
    """The sum of the waiting requests in a Prometheus text; 0 where it has none."""
    total = 0.0
    for line in exposition.splitlines():
        if line.startswith(_WAITING) and line[len(_WAITING) : len(_WAITING) + 1] in ("{", " "):
            try:
                total += float(line.rsplit(" ", 1)[1])
            except ValueError:
                continue
    return total
