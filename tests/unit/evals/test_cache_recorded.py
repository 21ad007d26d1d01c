"""Recorded calls as a stream: which may share an answer, and which are left out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.ledger import attempt, bodies, call, settlement

from smallfirst.errors import EvalError
from smallfirst.evals.cache.recorded import recorded_stream
from smallfirst.evals.cache.stream import allowed
from smallfirst.ledger.ledger import Ledger


def put(ledger: Ledger, text: str, answer: str, system: str = "Sort.", **fields: Any) -> str:
    messages = [{"role": "system", "content": system}, {"role": "user", "content": text}]
    said = {"choices": [{"message": {"role": "assistant", "content": answer}}]}
    one = call(attempt(), **fields)
    ledger.journal.append_settlement(settlement(one))
    request = json.dumps({"model": "task/triage", "temperature": 0, "messages": messages}).encode()
    ledger.journal.append(bodies(one, request=request, answer=json.dumps(said).encode()))
    return one.id


def test_calls_of_one_partition_share_a_scope(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    try:
        first = put(ledger, "charged twice", "billing")
        put(ledger, "billed two times", "billing ")
        put(ledger, "charged twice", "billing", system="Sort well.")
        put(ledger, "charged twice", "billing", tenant="other")
        put(ledger, "charged again", "billing", cache="semantic")
        put(ledger, "charged once more", "billing", origin="explore")
        ledger.journal.append_settlement(settlement(call(status="error")))
        ledger.importer.import_now()
        rows, skipped = recorded_stream(ledger.queries, "triage")
    finally:
        ledger.close()
    assert rows[0].id == first
    assert [row.text for row in rows] == [
        "charged twice",
        "billed two times",
        "charged twice",
        "charged twice",
    ]
    assert len({row.scope for row in rows}) == 3
    assert rows[0].scope == rows[1].scope
    assert allowed(rows).seen == 0.25
    assert sum(skipped.values()) == 2


def test_answers_of_another_policy_are_not_shared(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    try:
        put(ledger, "charged twice", "billing", policy="a" * 64)
        put(ledger, "charged twice", "bug", policy="b" * 64)
        ledger.importer.import_now()
        rows, _ = recorded_stream(ledger.queries, "triage")
    finally:
        ledger.close()
    assert len({row.scope for row in rows}) == 2


def test_a_task_whose_bodies_are_not_kept_is_told_so(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    try:
        ledger.journal.append_settlement(settlement(call()))
        ledger.importer.import_now()
        with pytest.raises(EvalError, match=r"1 whose bodies are not kept.*keep_bodies"):
            recorded_stream(ledger.queries, "triage")
    finally:
        ledger.close()
