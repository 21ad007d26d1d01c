"""Recorded answers become references only where nothing on record speaks against them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.datasets import LABELS, make, row
from support.ledger import attempt, bodies, call, settlement

from smallfirst.config.load import load
from smallfirst.datasets.from_ledger import Wanted, read_calls
from smallfirst.datasets.row import Tally
from smallfirst.datasets.store import Datasets
from smallfirst.evals.session import Home
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.records import Call, Outcome
from smallfirst.teaching import recorded
from smallfirst.teaching.lesson import lesson_of
from smallfirst.teaching.recorded import Recorded, select_recorded

CONFIG = """
[providers.openai]
api_key = "env:KEY"
[models.small]
provider = "openai"
[models.frontier]
provider = "openai"
{learning}
[tasks.triage]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["small", "frontier"]
"""


class Records:
    """A state directory with a dataset, in whose ledger calls are put."""

    def __init__(self, state: Path) -> None:
        self.state = state
        rows = [
            row(f"question {at} about {at * 7919} things", LABELS.labels[at % 3], id=f"t-{at}")
            for at in range(40)
        ]
        make(state, rows)
        self.ledger = Ledger.open(state)

    def put(self, text: str, said: str, one: Call | None = None, **answer: Any) -> Call:
        one = one or call(attempt())
        request = {"model": "task/triage", "messages": [{"role": "user", "content": text}]}
        message = {"role": "assistant", "content": said} | answer
        self.ledger.journal.append_settlement(settlement(one))
        told = json.dumps({"choices": [{"message": message}]}).encode()
        self.ledger.journal.append(bodies(one, request=json.dumps(request).encode(), answer=told))
        return one

    def tell(self, of: Call, kind: Any, value: Any) -> None:
        told = Outcome(call=of.id, at_ms=of.at_ms + 1, kind=kind, value=value, source="test")
        self.ledger.journal.append(told)

    def selected(self, *, model: str = "", learning: str = "") -> Recorded:
        self.ledger.importer.import_now()
        self.ledger.close()
        path = self.state / "smallfirst.toml"
        path.write_text(CONFIG.format(learning=learning), "utf-8")
        lesson = lesson_of(Home(load(path), self.state, self.state, {}), "triage", "newest", note="")
        with Ledger.read(self.state) as view:
            rows = read_calls(view.queries, Wanted(task="triage"), Tally())
            return select_recorded(rows, view.queries, lesson, model=model, progress=lambda *_: None)


@pytest.fixture
def records(tmp_path: Path) -> Records:
    return Records(tmp_path)


def texts(found: Recorded) -> list[str]:
    return sorted(one.messages[0]["content"] for one, _ in found.rows)


def whys(found: Recorded) -> dict[str, str]:
    return {one["messages"][0]["content"]: one["why"] for one in found.rejected}


def test_answers_that_stand_are_taken(records: Records) -> None:
    records.put("it crashes when it rains", "bug")
    records.put("who pays for all of this", "billing", call(attempt(model="other")))
    found = records.selected()
    assert texts(found) == ["it crashes when it rains", "who pays for all of this"]
    assert {one.reference_by for one, _ in found.rows} == {"model:frontier", "model:other"}
    assert all(one.call for one, _ in found.rows)


def test_what_is_on_record_against_an_answer_counts(records: Records) -> None:
    records.put("this was cut in the middle", "bug", call(attempt(stop="length")))
    records.put("this was refused for its content", "bug", call(attempt(stop="content_filter")))
    records.put("this is not as the contract says", "It is a bug, I think!")
    found = records.selected()
    assert whys(found) == {
        "this was cut in the middle": recorded.TRUNCATED,
        "this was refused for its content": recorded.REFUSED,
        "this is not as the contract says": recorded.UNMET,
    }
    assert not found.rows


@pytest.mark.parametrize(
    ("kind", "value", "taken"),
    [
        ("judge", 0.2, False),
        ("judge", 0.9, True),
        ("judge", {"model": "frontier", "score": 0.0}, False),
        ("judge", {"model": "small", "score": 0.0}, True),  # of another model's answer
        ("score", 0.1, False),
        ("thumbs", False, False),
        ("thumbs", True, True),
    ],
)
def test_a_bad_outcome_speaks_against_it(records: Records, kind: Any, value: Any, taken: bool) -> None:
    one = records.put("it crashes when it rains", "bug")
    records.tell(one, kind, value)
    assert bool(records.selected().rows) == taken


def test_a_persons_correction_is_no_teachers_word(records: Records) -> None:
    one = records.put("it crashes when it rains", "bug")
    records.tell(one, "label", "billing")
    found = records.selected()
    assert not found.rows
    assert found.left_out == {recorded.PEOPLE: 1}


def test_who_may_not_be_learned_from_is_left_out(records: Records) -> None:
    records.put("it crashes when it rains", "bug")
    found = records.selected(learning='[learning]\nnever_train_on = ["openai"]')
    assert (list(found.rows), dict(found.left_out)) == ([], {recorded.FORBIDDEN: 1})


def test_clients_consent_and_the_model_asked_for_count(records: Records) -> None:
    records.put("my client does not want this", "bug", call(attempt(), trainable=False))
    records.put("it crashes when it rains", "bug", call(attempt(model="other")))
    found = records.selected(model="frontier")
    assert dict(found.left_out) == {recorded.UNWILLING: 1, recorded.OTHER: 1}
    assert not found.rows


def test_what_the_dataset_has_or_holds_out_is_not_added(records: Records) -> None:
    held = next(
        member.id
        for member in Datasets(records.state).open("newest", task="triage").members()
        if member.part == "heldout"
    )
    at = int(held[2:])
    records.put(f"Question {at} about {at * 7919} things", "bug")
    found = records.selected()
    assert not found.rows
    assert sum(found.left_out.values()) == 1
