"""Answers that people scored, from a file and from the ledger."""

import json

import pytest
from support.ledger import AT_MS, bodies, call, settlement

from smallfirst.errors import DatasetError, ScorerError
from smallfirst.evals.scored_by_people import read_outcomes, read_scored
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.records import Outcome

ASKED = {"model": "task/triage", "messages": [{"role": "user", "content": "Charged twice."}]}
SAID = {"choices": [{"message": {"role": "assistant", "content": "We are sorry."}}]}


def read(tmp_path, *rows):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return read_scored(path)


def test_rows_of_a_file(tmp_path):
    messages = [{"role": "user", "content": "hi"}]
    rows = read(
        tmp_path,
        {"input": "a", "output": "x", "score": 0.3},
        {
            "id": 7,
            "messages": messages,
            "output": "y",
            "rating": 4,
            "references": ["z"],
            "model": "m",
            "group": "g",
        },
        {"input": "c", "output": "z", "thumbs": "down", "label": "bug"},
        {"input": "d", "output": "{}", "thumbs": "up", "fields": {"a": 1}},
    )
    assert [row.human for row in rows] == [0.3, 0.75, 0.0, 1.0]
    assert [row.id for row in rows] == ["line-1", "7", "line-3", "line-4"]
    assert [row.reference for row in rows] == [None, ["z"], "bug", {"a": 1}]
    assert (rows[1].messages, rows[1].model, rows[1].group) == (messages, "m", "g")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"input": "a", "output": "x"}, "line 1: expected one of score, rating and thumbs, got none"),
        ({"input": "a", "output": "x", "score": 1, "thumbs": "up"}, "got score and thumbs"),
        ({"input": "a", "output": "x", "score": 1.5}, r"at `\$\.score`"),
        ({"input": "a", "output": "x", "rating": 6}, r"at `\$\.rating`"),
        ({"input": "a", "score": 1}, "missing required field `output`"),
        ({"output": "x", "score": 1}, "either input or messages"),
        ({"messages": [], "output": "x", "score": 1}, "at least one message"),
    ],
)
def test_a_row_that_is_wrong_names_line_and_field(tmp_path, row, words):
    with pytest.raises(ScorerError, match=words):
        read(tmp_path, row)


def test_files_that_are_none(tmp_path):
    with pytest.raises(ScorerError, match="has no rows"):
        read(tmp_path)
    with pytest.raises(DatasetError, match="cannot be read"):
        read_scored(tmp_path / "missing")


def test_outcomes_of_people(tmp_path):
    ledger = Ledger.open(tmp_path)

    def answered(*told, keep=True, **fields):
        one = call(**fields)
        ledger.journal.append_settlement(settlement(one))
        if keep:
            ledger.journal.append(
                bodies(one, request=json.dumps(ASKED).encode(), answer=json.dumps(SAID).encode())
            )
        ledger.importer.import_now()
        for at, (kind, value, source) in enumerate(told):
            ledger.journal.append(
                Outcome(at_ms=AT_MS + at, call=one.id, kind=kind, value=value, source=source)
            )
        return one

    liked = answered(("thumbs", False, "app"), ("thumbs", True, "app"), conversation="c")
    scored = answered(("score", 0.25, "people"))
    answered(("score", {"model": "m", "score": 1.0}, "explore"))
    answered(("judge", 0.5, "arbiter"))
    answered(("thumbs", True, "app"), keep=False)
    answered(("thumbs", True, "app"), task="other")
    answered()
    ledger.importer.import_now()
    rows = list(read_outcomes(ledger.queries, "triage"))
    ledger.close()
    assert [(row.id, row.human) for row in rows] == [(liked.id, 1.0), (scored.id, 0.25)]
    assert (rows[0].output, rows[0].messages, rows[0].group) == ("We are sorry.", ASKED["messages"], "c")
    assert rows[0].model == "frontier"
