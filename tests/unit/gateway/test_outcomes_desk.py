"""Outcomes wait for the disk one after another; how many may wait is bounded, since their bodies are held meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support.ledger import call

from smallfirst import limits
from smallfirst.config.schema import Config
from smallfirst.gateway.cache.bad_hits import BadHits
from smallfirst.gateway.cache.cached import Cache
from smallfirst.gateway.client import Client
from smallfirst.gateway.metrics import Metrics
from smallfirst.gateway.outcomes import OutcomesDesk
from smallfirst.ledger import Ledger


async def test_who_comes_to_a_full_queue_is_asked_to_come_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "MAX_OUTCOME_REQUESTS", 2)
    made = call()
    body = json.dumps({"call": made.id, "kind": "thumbs", "value": "up"}).encode()
    may_send = asyncio.Event()
    statuses: list[int] = []

    async def receive() -> Any:
        await may_send.wait()
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    with contextlib.closing(Ledger.open(tmp_path)) as ledger:
        ledger.notes.settle(made)
        caller = SimpleNamespace(tenant=made.tenant)
        running = SimpleNamespace(config=Config(), identity=SimpleNamespace(caller=lambda key, day: caller))
        metrics = Metrics()
        bad_hits = BadHits(Cache(lambda: pytest.fail("nobody asks it"), metrics.cache), ledger.queries)
        desk: Any = SimpleNamespace(running=running, ledger=ledger, metrics=metrics, bad_hits=bad_hits)
        outcomes = OutcomesDesk(desk)
        scope = {"type": "http", "method": "POST", "path": "/smallfirst/outcomes", "headers": []}
        waiting = [asyncio.create_task(outcomes(Client(scope, receive, send))) for _ in range(2)]
        await asyncio.sleep(0)
        await outcomes(Client(scope, receive, send))
        assert statuses == [503]
        may_send.set()
        await asyncio.gather(*waiting)
        await outcomes(Client(scope, receive, send))
        assert statuses == [503, 200, 200, 200]
