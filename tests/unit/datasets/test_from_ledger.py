"""Calls become examples: whose word is the reference, and why others are none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.ledger import AT_MS, attempt, bodies, call, settlement

from smallfirst.datasets.from_ledger import Wanted, read_calls
from smallfirst.datasets.row import Row, Tally
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.records import Call, Outcome

ASKED = {"model": "task/triage", "messages": [{"role": "user", "content": "Charged twice."}]}
CLAUDE = {"model": "task/triage", "max_tokens": 9, "system": "Sort.", "messages": ASKED["messages"]}
SMALL = attempt(model="small", provider="own", frontier=False)


def said(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode()


class Store:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.tally = Tally()

    def put(self, one: Call, answer: bytes | None = said("billing"), *, asked: Any = ASKED) -> Call:
        self.ledger.journal.append_settlement(settlement(one))
        if answer is not None:
            self.ledger.journal.append(bodies(one, request=json.dumps(asked).encode(), answer=answer))
        return one

    def tell(self, of: Call, kind: str, value: Any, source: str = "people") -> None:
        self.ledger.importer.import_now()
        self.ledger.journal.append(Outcome(at_ms=AT_MS, call=of.id, kind=kind, value=value, source=source))  # pyright: ignore[reportArgumentType]

    def rows(self, **wanted: Any) -> list[Row]:
        self.ledger.importer.import_now()
        self.tally = Tally()
        return list(read_calls(self.ledger.queries, Wanted(task="triage", **wanted), self.tally))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    ledger = Ledger.open(tmp_path)
    yield Store(ledger)
    ledger.close()


def test_the_frontier_s_answer_is_the_reference(store: Store) -> None:
    one = store.put(call(conversation="c-1", decision={"judgement": {"intent": "money"}}))
    (row,) = store.rows()
    assert row.messages == ASKED["messages"]
    assert (row.answer, row.reference_by, row.provider) == ("billing", "model:frontier", "openai")
    assert (row.id, row.call, row.tenant, row.at_ms) == (one.id, one.id, "acme", one.at_ms)
    assert row.keys == ("conversation:acme:c-1",)
    assert row.slices == {"intent": "money"}
    assert row.trainable


def test_other_dialects_streams_and_consent(store: Store) -> None:
    message = {"type": "message", "content": [{"type": "text", "text": "billing"}]}
    store.put(call(dialect="anthropic", route="messages"), json.dumps(message).encode(), asked=CLAUDE)
    store.put(call(trainable=False), b'{"text": "bug"}')
    first, second = store.rows()
    assert [message["role"] for message in first.messages] == ["system", "user"]
    assert (first.answer, second.answer) == ("billing", "bug")
    assert not second.trainable


def test_a_correction_is_before_every_model_s_word(store: Store) -> None:
    store.tell(store.put(call(SMALL)), "label", "bug")
    store.tell(store.put(call()), "label", "how-to")
    first, second = store.rows()
    assert [(row.reference, row.reference_by, row.provider) for row in (first, second)] == [
        ("bug", "correction", ""),
        ("how-to", "correction", ""),
    ]


def test_what_the_frontier_said_aside_is_the_reference_of_a_small_model_s_call(store: Store) -> None:
    one = store.put(call(SMALL), said("bug"))
    store.put(call(SMALL, origin="explore", decision={"of": one.id}), said("how-to"))
    store.put(call(origin="explore", decision={"of": one.id}), said("billing"))
    (row,) = store.rows()
    assert (row.id, row.answer, row.reference_by) == (one.id, "billing", "model:frontier")


def test_a_call_that_climbed_has_the_frontier_s_answer(store: Store) -> None:
    store.put(call(attempt(0, model="small", frontier=False, status="unmet"), attempt(1)))
    assert [row.reference_by for row in store.rows()] == ["model:frontier"]
    assert len(store.rows(decision="climbed")) == 1
    assert store.rows(decision="small") == []


def test_why_others_are_none_is_counted(store: Store) -> None:
    store.put(call(), None)
    store.put(call(SMALL))
    store.put(call(status="cancelled"))
    store.put(call(route="embeddings"))
    store.put(call(), said(""))
    store.put(call(task="other"))
    store.put(call(origin="eval"))
    store.put(call(), asked={"messages": "[redacted]"})
    for kind, value in (("thumbs", False), ("score", 0.2)):
        store.tell(store.put(call()), kind, value)
    store.tell(store.put(call()), "score", {"model": "small", "score": 0.0}, "explore")
    store.tell(store.put(call()), "thumbs", True)
    assert len(store.rows()) == 2  # the last two: nobody has called the frontier's answer wrong
    assert store.tally.skipped == {
        "calls whose bodies are not kept": 1,
        "calls that a small model answered, with no correction and no frontier's answer to compare": 1,
        "calls that were not answered": 1,
        "calls of routes without messages": 1,
        "the answer has no text": 1,
        "calls whose request cannot be read, for what was redacted in it": 1,
        "calls whose frontier answer was called wrong, without a correction": 2,
    }
    assert len(store.rows(outcome="thumbs")) == 1


def test_filters(store: Store) -> None:
    early = store.put(call(at_ms=AT_MS))
    late = store.put(call(at_ms=AT_MS + 1000, tenant="globex"))
    assert [row.id for row in store.rows(until_ms=AT_MS + 1)] == [early.id]
    assert [row.id for row in store.rows(since_ms=AT_MS + 1)] == [late.id]
    assert [row.id for row in store.rows(tenant="globex")] == [late.id]
    assert len(store.rows(model="frontier")) == 2
