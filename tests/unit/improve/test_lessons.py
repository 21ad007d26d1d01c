"""The train part teaches a router where every model of the ladder has answered it: a head in cross-validation, the others on record."""

from __future__ import annotations

import json
from pathlib import Path

from support.datasets import LABELS, make, row
from support.ledger import attempt, bodies, call, settlement

from smallfirst.config.load import load
from smallfirst.datasets.store import Datasets
from smallfirst.evals.session import Home
from smallfirst.improve.lessons import has_unseen, keep_unseen, lessons
from smallfirst.ledger.ledger import Ledger

CONFIG = """
[providers.heads]
kind = "head"
[providers.openai]
api_key = "env:KEY"
[models.sorter]
provider = "heads"
id = "triage"
[models.frontier]
provider = "openai"
id = "gpt"
[tasks.triage]
contract = {{ type = "label", labels = {labels} }}
ladder = ["sorter", "frontier"]
"""
HEAD = "ab" * 32


def home_with_calls(state: Path, *, answered: int) -> tuple[Home, str]:
    """Forty examples, of which so many stand for calls whose answer is on record."""
    path = state / "smallfirst.toml"
    path.write_text(CONFIG.format(labels=json.dumps(LABELS.labels)), "utf-8")
    ledger = Ledger.open(state)
    rows = []
    for at in range(40):
        one = call(attempt(), model="frontier")
        if at < answered:
            ledger.journal.append_settlement(settlement(one))
            said = json.dumps({"choices": [{"message": {"role": "assistant", "content": LABELS.labels[0]}}]})
            ledger.journal.append(bodies(one, request=b"{}", answer=said.encode()))
        label = LABELS.labels[at % len(LABELS.labels)]
        rows.append(
            row(
                f"question {at} about {at * 7919} things",
                label,
                id=one.id,
                call=one.id if at < answered else "",
            )
        )
    ledger.importer.import_now()
    ledger.close()
    return Home(load(path), state, state, {}), make(state, rows).id


def kept(state: Path, dataset: str) -> None:
    """What the head has said in cross-validation: right of every example."""
    examples = Datasets(state).open(dataset).examples("train")
    told = [
        {"id": one.id, "outcomes": {"triage": {"score": 1.0, "confidence": 0.9, "answer": one.label}}}
        for one in examples
    ]
    keep_unseen(state, HEAD, told)


def test_examples_that_every_model_has_answered_are_lessons(tmp_path: Path) -> None:
    home, dataset = home_with_calls(tmp_path, answered=40)
    assert not has_unseen(tmp_path, HEAD)
    kept(tmp_path, dataset)
    assert has_unseen(tmp_path, HEAD)
    train = {one.id: one for one in Datasets(tmp_path).open(dataset).examples("train")}
    rows = lessons(home, "triage", dataset, [("sorter", HEAD), ("frontier", "")])
    assert {one.id for one in rows} == set(train)
    for one in rows:
        assert one.split == "train"
        assert one.outcomes["sorter"].score == 1.0
        assert one.outcomes["sorter"].cost_usd == 0.0
        assert one.outcomes["frontier"].score == float(train[one.id].label == LABELS.labels[0])


def test_others_are_not_and_nobody_is_asked(tmp_path: Path) -> None:
    home, dataset = home_with_calls(tmp_path, answered=10)
    kept(tmp_path, dataset)
    on_record = [one for one in Datasets(tmp_path).open(dataset).examples("train") if one.lineage.call]
    rows = lessons(home, "triage", dataset, [("sorter", HEAD), ("frontier", "")])
    assert {one.id for one in rows} == {one.id for one in on_record}
    assert lessons(home, "triage", dataset, [("sorter", "cd" * 32), ("frontier", "")]) == []
