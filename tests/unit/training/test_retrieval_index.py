"""What an index is made of, what is left out of it and why, and what cannot be made at all."""

from __future__ import annotations

from typing import Any

import pytest
from support.examples import LABELS, Letters, example, nine

from smallfirst import limits
from smallfirst.classify import artifact
from smallfirst.classify.examples import Row, read_header
from smallfirst.contracts import JsonContract, TextContract
from smallfirst.datasets.example import Example
from smallfirst.errors import ConfigError
from smallfirst.ledger.erasure import call_sha256
from smallfirst.training.retrieval import Index, Wanted, make_index

EXTRACT = JsonContract(schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


def made(examples: list[Example], *, steps: list[tuple[str, int, int]] | None = None, **wanted: Any) -> Index:
    told = {"task": "triage", "contract": LABELS, "dataset": "d" * 64} | wanted
    steps = [] if steps is None else steps
    return make_index(examples, Wanted(**told), Letters(), progress=lambda *step: steps.append(step))


def rows(index: Index) -> list[Row]:
    import msgspec

    return [
        msgspec.msgpack.decode(data, type=Row)
        for data in msgspec.msgpack.decode(index.rows, type=list[bytes])
    ]


def test_it_says_what_it_is_of() -> None:
    steps: list[tuple[str, int, int]] = []
    index = made([*nine(tenant="acme"), example("s", "made up", synthetic=True)], steps=steps)
    header = read_header(artifact.unpack(index.data))
    assert (header.task, header.dataset, header.examples, header.synthetic) == ("triage", "d" * 64, 10, 1)
    assert (header.embedder, header.embedder_sha256) == ("letters", Letters.sha256)
    assert (index.report["tenants"], index.report["everybodys"], index.report["left_out"]) == (1, 1, {})
    assert [row.id for row in rows(index) if row.synthetic] == ["s"]
    assert steps == [("embedding", 10, 10)]


def test_examples_that_are_not_one_question_are_left_out_and_counted() -> None:
    turns = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "ho"},
        {"role": "user", "content": "bug"},
    ]
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    index = made(
        [
            example("kept", "The page stays blank"),
            Example(id="turns", messages=turns, label="bug"),
            Example(id="seen", messages=[{"role": "user", "content": [picture]}], label="bug"),
            example("tool", "x", tools=[{"type": "function", "function": {"name": "f"}}]),
            example("blank", "  "),
            example("oos", "What is the capital of Peru?", "oos"),
        ]
    )
    assert [row.id for row in rows(index)] == ["kept"]
    assert index.report["left_out"] == {
        "of more than one turn": 1,
        "with images or tools": 2,
        "without a text": 1,
        "whose reference does not keep the contract": 1,
    }


def test_what_the_ledger_has_forgotten_is_not_taken() -> None:
    index = made(
        [example("gone", "secret", call="c-1"), example("there", "open", call="c-2")],
        erased=frozenset({call_sha256("c-1")}),
    )
    assert [(row.id, row.call) for row in rows(index)] == [("there", "c-2")]
    assert index.report["left_out"] == {"of calls that were erased": 1}


def test_the_question_is_embedded_and_the_whole_message_is_shown() -> None:
    index = made(
        [example("e", "CONTEXT zzz QUESTION: abc END")], question_after="QUESTION:", question_before="END"
    )
    (row,) = rows(index)
    assert row.question == "CONTEXT zzz QUESTION: abc END"
    import numpy as np

    vector = np.frombuffer(row.vector, np.float16)
    assert vector[25] == 0
    assert (vector[:3] > 0.5).all()


def test_the_answer_is_written_as_the_contract_has_it() -> None:
    messages = [{"role": "user", "content": "five"}]
    extracted = made([Example(id="j", messages=messages, fields={"n": 5})], contract=EXTRACT)
    assert rows(extracted)[0].answer == '{"n":5}'
    assert extracted.report["nearest_same_answer"] is None
    told = made(
        [Example(id="t", messages=messages, references=["one way", "another"])], contract=TextContract()
    )
    assert rows(told)[0].answer == "one way"


def test_how_alike_neighbours_are_is_told_without_an_example_or_its_group_itself() -> None:
    texts = [
        ("a", "aaaa", "bug"),
        ("b", "aaab", "bug"),
        ("c", "zzzz", "billing"),
        ("d", "zzzy", "billing"),
    ]
    assert made([example(*one) for one in texts]).report["nearest_same_answer"] == 1.0
    grouped = [example(name, text, label, group=label) for name, text, label in texts]
    assert made(grouped).report["nearest_same_answer"] == 0.0
    apart = [example(name, text, label, tenant=name) for name, text, label in texts]
    assert made(apart).report["nearest_same_answer"] is None, "nobody has a neighbour"


def test_past_its_bounds_some_are_drawn_by_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_EXAMPLES", 4)
    one, other = made(nine()), made(nine(), seed=1)
    assert one.report["left_out"] == {"more than an index holds": 5}
    ids = [{row.id for row in rows(index)} for index in (one, made(nine()[::-1]), other)]
    assert ids[0] == ids[1] != ids[2]
    monkeypatch.setattr(limits, "MAX_EXAMPLES_BYTES", 60)
    assert made(nine()).report["examples"] < 4


def test_nothing_to_show_is_an_error_that_says_why() -> None:
    with pytest.raises(
        ConfigError, match=r"no example that can be shown \(it is empty\).*dataset import.*makes one"
    ):
        made([])
    with pytest.raises(ConfigError, match=r"\(1 whose reference does not keep the contract\)"):
        made([example("e", "x", "oos")])
