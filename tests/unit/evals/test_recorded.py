"""Answers on record are outcomes of the examples that their calls became."""

from __future__ import annotations

import json
from pathlib import Path

from support.ledger import attempt, bodies, call, settlement

from smallfirst.config.schema import Scorer
from smallfirst.contracts import LabelContract
from smallfirst.datasets.example import Example, Lineage
from smallfirst.evals.recorded import recorded_outcomes
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.records import Call
from smallfirst.scoring import open_scorer

LABELS = LabelContract(labels=("billing", "bug"))
SMALL = attempt(model="small", provider="own", frontier=False, cost_nusd=7)


def put(ledger: Ledger, one: Call, text: str) -> Call:
    said = {"choices": [{"message": {"role": "assistant", "content": text}}]}
    ledger.journal.append_settlement(settlement(one))
    ledger.journal.append(bodies(one, request=b"{}", answer=json.dumps(said).encode()))
    return one


def example(name: str, one: str) -> Example:
    return Example(
        id=name,
        messages=[{"role": "user", "content": "Charged twice."}],
        label="billing",
        lineage=Lineage(source="ledger", call=one),
    )


def test_all_who_answered_an_example_s_call_are_scored_by_its_reference(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    try:
        asked = put(ledger, call(attempt(cost_nusd=1_000_000), model="frontier"), "billing")
        put(ledger, call(SMALL, model="small", origin="explore", decision={"of": asked.id}), "bug")
        failed = call(model="frontier", status="error")
        ledger.journal.append_settlement(settlement(failed))
        ledger.importer.import_now()
        examples = [example("a", asked.id), example("b", failed.id), example("c", ""), example("d", "0" * 16)]
        found = recorded_outcomes(ledger.queries, examples[:3], open_scorer(Scorer(kind="label"), LABELS))
    finally:
        ledger.close()
    assert set(found) == {"a"}
    assert {model: outcome.score for model, outcome in found["a"].items()} == {"frontier": 1.0, "small": 0.0}
    assert found["a"]["frontier"].cost_usd == 0.001
    assert (found["a"]["small"].answer, found["a"]["small"].output_chars) == ("bug", 3)
