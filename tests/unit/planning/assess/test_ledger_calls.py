"""Calls of the ledger are seen with what was said where that was kept, and count for time and money where it was not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.ledger import attempt, bodies, call, settlement

from smallfirst.chat import Usage
from smallfirst.datasets.row import Tally
from smallfirst.ledger import Filter, Ledger, LedgerView
from smallfirst.ledger.records import Call
from smallfirst.planning.assess import find_features
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.assess.reading.ledger_calls import ledger_calls

USAGE = Usage(input_tokens=36, cache_read_tokens=64, output_tokens=8, reasoning_tokens=12)
KEPT = call(
    attempt(status="error", usage=Usage(), usage_source="none", cost_nusd=0),
    attempt(1, usage=USAGE, cost_nusd=700),
    stream=True,
    ttft_ms=30.0,
    conversation="c-1",
)
BARE = call(task="", status="error", http_status=502)
EVAL = call(origin="eval")
EMBEDDING = call(route="embeddings")
REQUEST = {
    "model": "task/triage",
    "messages": [{"role": "user", "content": "Charged twice."}],
    "tools": [{"type": "function", "function": {"name": "look"}}],
}


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[LedgerView]:
    kept: list[tuple[Call, bytes]] = [(KEPT, json.dumps(REQUEST).encode()), (call(), b"{not json")]
    writing = Ledger.open(tmp_path)
    try:
        for one, request in kept:
            writing.journal.append(bodies(one, request=request, answer=b'{"text": "billing"}'))
            writing.journal.append_settlement(settlement(one))
        for one in (BARE, EVAL, EMBEDDING):
            writing.journal.append_settlement(settlement(one))
    finally:
        writing.close()
    with Ledger.read(tmp_path) as view:
        yield view


def test_calls_of_clients_with_what_is_known_of_them(ledger: LedgerView) -> None:
    tally = Tally()
    kept, unreadable, bare = ledger_calls(ledger.queries, Filter(), tally)
    assert kept == Observed(
        messages=REQUEST["messages"],
        answer="billing",
        at_ms=KEPT.at_ms,
        tenant="acme",
        task="triage",
        model="frontier",
        provider="openai",
        conversation="c-1",
        tools=("look",),
        stream=True,
        latency_ms=121.0,
        first_token_ms=30.0,
        input_tokens=100,
        cached_tokens=64,
        output_tokens=20,
        reasoning_tokens=12,
        cost_nusd=700,
    )
    assert (unreadable.messages, unreadable.task) == ([], "triage")
    assert (bare.messages, bare.failed, bare.latency_ms) == ([], True, 121.0)
    assert tally.read == 3
    assert sum(tally.noted.values()) == 2
    assert tally.skipped == {"calls of routes without messages": 1}


def test_what_was_not_streamed_has_no_first_token(tmp_path: Path) -> None:
    writing = Ledger.open(tmp_path)
    try:
        writing.journal.append_settlement(settlement(call(stream=False, ttft_ms=30.0)))
    finally:
        writing.close()
    with Ledger.read(tmp_path) as view:
        (one,) = ledger_calls(view.queries, Filter(), Tally())
    assert (one.first_token_ms, one.latency_ms) == (None, 121.0)


def test_a_task_alone_and_none(ledger: LedgerView) -> None:
    assert len(list(ledger_calls(ledger.queries, Filter(task="triage"), Tally()))) == 2
    assert list(ledger_calls(ledger.queries, Filter(task="unheard"), Tally())) == []


def test_calls_whose_bodies_are_not_kept_are_of_their_task(ledger: LedgerView) -> None:
    features = find_features(ledger_calls(ledger.queries, Filter(), Tally())).features
    assert [(feature.name, feature.calls) for feature in features] == [
        ("triage", 2),
        ("calls without prompts (frontier)", 1),
    ]
