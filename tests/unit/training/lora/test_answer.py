"""What a model is trained to say."""

from __future__ import annotations

from typing import Any

import pytest

from smallfirst.answering.check import compile_check
from smallfirst.contracts import JsonContract, LabelContract, TextContract
from smallfirst.datasets.example import Example
from smallfirst.training.lora.answer import answer_text


def example(**reference: Any) -> Example:
    return Example(id="e", messages=[], **reference)


@pytest.mark.parametrize(
    ("labels", "chosen", "said"),
    [
        (("card", "top up"), "top up", "top up"),
        (("a", "b", "c"), ["c", "a"], "c, a"),
        (("a, b", "c"), ["a, b", "c"], '["a, b","c"]'),
        (("a, b", "c"), ["c"], "c"),
        (("a", "b"), [], "[]"),
    ],
)
def test_labels_are_said_as_the_contract_reads_them(labels: tuple[str, ...], chosen: Any, said: str) -> None:
    pick = "several" if isinstance(chosen, list) else "one"
    contract = LabelContract(labels, pick, allow_empty=True)
    assert answer_text(example(label=chosen), contract) == said
    assert not compile_check(contract)(said)


def test_json_is_compact_and_in_the_schemas_order() -> None:
    person = {"type": "object", "properties": {"name": {}, "age": {}}}
    schema = {
        "$defs": {"person": person},
        "properties": {
            "n": {"type": "integer"},
            "who": {"type": "array", "items": {"$ref": "#/$defs/person"}},
        },
    }
    value = {"extra": "größe", "who": [{"age": 3, "name": "x"}], "n": 1}
    said = answer_text(example(fields=value), JsonContract(schema))
    assert said == '{"n":1,"who":[{"name":"x","age":3}],"extra":"größe"}'


def test_a_schema_that_refers_to_itself_is_followed_as_deep_as_the_value() -> None:
    schema = {"properties": {"value": {}, "next": {"$ref": "#"}}}
    value = {"next": {"next": {"value": 3}, "value": 2}, "value": 1}
    said = answer_text(example(fields=value), JsonContract(schema))
    assert said == '{"value":1,"next":{"value":2,"next":{"value":3}}}'


def test_of_several_right_texts_the_first_is_said() -> None:
    assert answer_text(example(references=["one", "two"]), TextContract()) == "one"
