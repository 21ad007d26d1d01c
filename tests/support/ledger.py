"""Records as a gateway writes them, for the tests of the ledger: by hand, or drawn by hypothesis."""

from __future__ import annotations

import itertools
from typing import Any

from hypothesis import strategies as st

from smallfirst.chat import Usage
from smallfirst.ledger.records import Attempt, Bodies, Call, Intent, Settlement

AT_MS = 1_780_000_000_000
HOUR_MS = 3_600_000
DAY = AT_MS // (24 * HOUR_MS)
_numbers = itertools.count()


def new_id(at_ms: int = AT_MS) -> str:
    return f"{at_ms:012x}{next(_numbers):016x}"


def attempt(seq: int = 0, **fields: Any) -> Attempt:
    defaults: dict[str, Any] = {
        "kind": "first",
        "rung": seq,
        "model": "frontier",
        "provider": "openai",
        "status": "ok",
        "started_ms": 0.5,
        "latency_ms": 120.25,
        "http_status": 200,
        "usage": Usage(input_tokens=100, output_tokens=20),
        "usage_source": "reported",
        "price_version": "2026-11-01",
        "cost_nusd": 1000,
        "frontier": True,
    }
    return Attempt(seq=seq, **(defaults | fields))


def call(*attempts: Attempt, **fields: Any) -> Call:
    attempts = attempts or (attempt(),)
    costs = [each.cost_nusd for each in attempts]
    defaults: dict[str, Any] = {
        "id": new_id(fields.get("at_ms", AT_MS)),
        "at_ms": AT_MS,
        "tenant": "acme",
        "key": "web",
        "status": "ok",
        "http_status": 200,
        "dialect": "openai",
        "route": "chat",
        "task": "triage",
        "asked_model": "task/triage",
        "model": attempts[-1].model,
        "rung": attempts[-1].rung,
        "latency_ms": 121.0,
        "overhead_ms": 0.75,
        "prompt_bytes": 400,
        "cost_nusd": None if None in costs else sum(cost for cost in costs if cost is not None),
    }
    return Call(attempts=attempts, **(defaults | fields))


def intent(of: Call, seq: int = 0, **fields: Any) -> Intent:
    defaults: dict[str, Any] = {
        "call": of.id,
        "at_ms": of.at_ms,
        "tenant": of.tenant,
        "key": of.key,
        "task": of.task,
        "model": "frontier",
        "provider": "openai",
        "rung": 0,
        "reserved_nusd": 7000,
        "reserved_usage": Usage(input_tokens=300, output_tokens=50),
        "frontier": True,
    }
    return Intent(seq=seq, **(defaults | fields))


def intents(of: Call) -> list[Intent]:
    return [
        intent(of, each.seq, model=each.model, provider=each.provider, rung=each.rung) for each in of.attempts
    ]


def settlement(of: Call | None = None) -> Settlement:
    return Settlement(call=of or call())


def bodies(of: Call, **fields: Any) -> Bodies:
    defaults: dict[str, Any] = {"request": b'{"ask":1}', "answer": b'{"say":2}', "keep_days": 30}
    return Bodies(call=of.id, at_ms=of.at_ms, tenant=of.tenant, task=of.task, **(defaults | fields))


# Drawn.

_milliseconds = st.integers(0, 600_000_000).map(lambda us: us / 1000)
_tokens = st.integers(0, 200_000)
_usages = st.builds(Usage, *[_tokens] * 8)


@st.composite
def attempts(draw: st.DrawFn, seq: int) -> Attempt:
    source = draw(st.sampled_from(["reported", "estimated", "none"]))
    return Attempt(
        seq=seq,
        kind=draw(st.sampled_from(["first", "retry", "climb", "relay"])),
        rung=draw(st.integers(0, 7)),
        model=draw(st.sampled_from(["small", "frontier", "Ünï"])),
        provider=draw(st.sampled_from(["openai", "vllm"])),
        status=draw(st.sampled_from(["ok", "unmet", "refused", "timeout", "broken", "cancelled", "lost"])),
        started_ms=draw(_milliseconds),
        latency_ms=draw(_milliseconds),
        ttft_ms=draw(st.none() | _milliseconds),
        endpoint=draw(st.sampled_from(["", "http://a"])),
        upstream_id=draw(st.text(max_size=5)),
        reason=draw(st.text(max_size=5)),
        http_status=draw(st.sampled_from([0, 200, 529])),
        usage=Usage() if source == "none" else draw(_usages),
        usage_source=source,
        cost_nusd=0 if source == "none" else draw(st.none() | st.integers(0, 10**12)),
        prompt_cache_saved_nusd=0 if source == "none" else draw(st.integers(-(10**9), 10**12)),
        simulated=draw(st.booleans()),
        frontier=draw(st.booleans()),
    )


@st.composite
def calls(draw: st.DrawFn) -> Call:
    """Calls of a few hours, so that sums have something to add up."""
    made = tuple(draw(attempts(seq)) for seq in range(draw(st.integers(0, 3))))
    costs = [each.cost_nusd for each in made]
    return Call(
        id=new_id(),
        at_ms=AT_MS + draw(st.integers(0, 5 * HOUR_MS)),
        tenant=draw(st.sampled_from(["acme", "globex"])),
        key=draw(st.sampled_from(["web", "cron"])),
        status=draw(st.sampled_from(["ok", "refused", "error", "cancelled", "cut", "lost"])),
        http_status=200,
        dialect=draw(st.sampled_from(["openai", "anthropic"])),
        route="chat",
        attempts=made,
        task=draw(st.sampled_from(["", "triage", "extract"])),
        origin=draw(st.sampled_from(["client", "eval", "shadow"])),
        asked_model=draw(st.text(max_size=5)),
        model=made[-1].model if made else "",
        rung=draw(st.integers(-1, 7)),
        stream=draw(st.booleans()),
        latency_ms=draw(_milliseconds),
        ttft_ms=draw(st.none() | _milliseconds),
        overhead_ms=draw(_milliseconds),
        cost_nusd=None if None in costs else sum(cost for cost in costs if cost is not None),
        prompt_bytes=draw(st.integers(0, 10**7)),
        answer_chars=draw(st.integers(0, 10**6)),
        error=draw(st.sampled_from(["", "client_gone"])),
        client_key=draw(st.text(max_size=5)),
        decision=draw(st.sampled_from([{}, {"by": "header", "asked": [0, 1]}])),
        unproven=draw(st.booleans()),
        outside_bound=draw(st.booleans()),
        cache=draw(st.sampled_from(["", "miss", "exact", "semantic", "flight"])),
        saved_nusd=draw(st.none() | st.integers(0, 10**12)),
        saved_frontier_nusd=draw(st.none() | st.integers(0, 10**12)),
    )
