"""JSON scored field by field: hand-computed cases."""

import asyncio

import msgspec
import pytest

from smallfirst import limits
from smallfirst.contracts import JsonContract
from smallfirst.errors import ScorerError
from smallfirst.scoring.json_fields import JsonScorer

SCHEMA = {
    "type": "object",
    "required": ["name", "guests"],
    "properties": {"name": {"type": ["string", "null"]}, "guests": {"type": ["integer", "null"]}},
}


def scorer(schema=True, **options):
    contract = JsonContract(schema=SCHEMA if schema else {})
    return JsonScorer(contract, **({"compare": {}, "weights": {}} | options))


def score(found, output, reference):
    text = output if isinstance(output, str) else msgspec.json.encode(output).decode()
    return asyncio.run(found.score(text, reference))


REFERENCE = {"name": "Okafor", "guests": 4, "note": None}


@pytest.mark.parametrize(
    ("output", "value", "kind"),
    [
        ({"name": "Okafor", "guests": 4, "note": None}, 1, None),
        ({"guests": 4.0, "name": "Okafor"}, 1, None),  # null and absent state nothing; 4.0 is 4
        ({"name": "Okafor", "guests": 5, "note": None}, 0.5, "wrong_value"),
        ({"name": "Okafor", "guests": "4", "note": None}, 0.5, "wrong_type"),
        ({"name": "Okafor", "guests": True, "note": None}, 0.5, "wrong_type"),
        ({"name": "Okafor", "guests": None, "note": None}, 2 / 3, "missing"),
        ({"name": "Okafor", "guests": 4, "note": "vegan"}, 4 / 5, "extra"),
        ({"name": "Okafor", "guests": 4, "table": 7}, 4 / 5, "extra"),
    ],
)
def test_each_kind_of_error_is_told_apart(output, value, kind):
    told = score(scorer(), output, REFERENCE)
    assert told.value == pytest.approx(value)
    for name in ("missing", "extra", "wrong_type", "wrong_value"):
        assert told.parts[name] == (name == kind)
    assert told.parts["exact"] == (kind is None)


@pytest.mark.parametrize("output", ["", "not json", '{"name": ', "```json\n{}\n```", "\ud800", "{} {}"])
def test_what_is_no_json_scores_zero(output):
    assert score(scorer(), output, REFERENCE).value == 0


def test_json_that_is_nested_too_deeply_scores_zero():
    deep = "[" * (limits.MAX_JSON_DEPTH + 1) + "]" * (limits.MAX_JSON_DEPTH + 1)
    assert score(scorer(schema=False), deep, [1]).note == "not JSON"
    assert score(scorer(schema=False), "[" * 100_000, [1]).note == "not JSON"
    with pytest.raises(ScorerError, match="nested deeper"):
        score(scorer(schema=False), "[]", msgspec.json.decode(deep))


def test_an_answer_that_breaks_the_schema_keeps_its_fields_and_is_not_exact():
    told = score(scorer(), {"name": "Okafor"}, {"name": "Okafor", "guests": None})
    assert (told.value, told.parts["exact"], told.parts["schema_valid"]) == (1.0, 0.0, 0.0)
    assert told.note == "not valid against the schema"


def test_stating_nothing_is_right_where_nothing_is_known():
    nothing = {"name": None, "guests": None}
    assert score(scorer(), nothing, nothing).value == 1
    assert score(scorer(), {"name": "x", "guests": None}, nothing).value == 0
    assert score(scorer(), nothing, REFERENCE).value == 0
    padded = REFERENCE | {f"x{number}": None for number in range(50)} | {"guests": 5}
    assert score(scorer(), padded, REFERENCE).value == 0.5


def test_weights_and_the_fields_below_them():
    found = scorer(schema=False, weights={"a": 3, "list": 0, "list[].b": 1})
    told = score(
        found, {"a": 1, "c": 9, "list": [{"b": 1, "x": 0}]}, {"a": 1, "c": 2, "list": [{"b": 1, "x": 5}]}
    )
    assert told.value == pytest.approx(4 / 5)  # a: 3, c: 1, list[].b: 1, list[].x: 0
    with pytest.raises(ScorerError, match=r"weights\.a: expected a number of at least 0"):
        scorer(weights={"a": -1.0})


def test_fields_are_compared_as_they_are_told():
    found = scorer(
        schema=False, compare={"text": "text", "price": "numeric", "items": "numeric"}, tolerance=0.01
    )
    told = score(
        found,
        {"text": "The pump, is BROKEN", "price": "€1,204.00", "items": [{"n": "3 pcs"}]},
        {"text": "the pump leaks", "price": 1200, "items": [{"n": 3}]},
    )
    assert told.parts["f1/text"] == pytest.approx(2 * 2 / (4 + 3))
    assert told.parts["f1/price"] == told.parts["f1/items[].n"] == 1
    assert score(found, {"price": "about"}, {"price": 1200}).value == 0


def test_arrays_of_scalars_are_multisets():
    found = scorer(schema=False)
    assert score(found, ["b", "a", "a"], ["a", "b", "a"]).value == 1
    told = score(found, ["a", "b"], ["a", "a"])
    assert (told.value, told.parts["wrong_value"]) == (0.5, 1)
    told = score(found, ["a"], ["a", "a", "b"])
    assert (told.value, told.parts["missing"]) == (0.5, 2)


def test_arrays_of_objects_are_aligned_by_what_matches_best():
    truth = {"items": [{"sku": "A", "n": 1, "p": 5}, {"sku": "B", "n": 2, "p": 6}]}
    given = {
        "items": [{"sku": "C", "n": 9, "p": 9}, {"sku": "B", "n": 2, "p": 7}, {"sku": "A", "n": 1, "p": 5}]
    }
    told = score(scorer(schema=False), given, truth)
    assert told.value == pytest.approx(2 * 5 / (6 + 9))
    assert told.parts["f1/items[].sku"] == pytest.approx(2 * 2 / 5)
    assert (told.parts["extra"], told.parts["wrong_value"]) == (3, 1)


def test_long_arrays_are_aligned_by_order():
    truth = list(range(1000))
    assert score(scorer(schema=False), truth, truth).value == 1
    assert score(scorer(schema=False), truth[::-1], truth).value < 0.1


def test_deep_arrays_take_no_time_that_grows_with_depth():
    def nested(depth, leaf):
        value = leaf
        for _ in range(depth):
            value = [value, 1]
        return value

    deep = limits.MAX_JSON_DEPTH - 2
    told = score(
        scorer(schema=False), nested(deep, "a"), nested(deep, "b")
    )  # 2^62 steps, were pairs compared twice
    assert 0.9 < told.value < 1


def test_a_value_in_place_of_another_kind_of_value():
    found = scorer(schema=False)
    told = score(found, {"a": "x"}, {"a": {"b": 1, "c": 2}})
    assert (told.value, told.parts["wrong_type"]) == (0.0, 2)
    assert score(found, {"a": {}}, {"a": "x"}).parts["missing"] == 1
    assert score(found, "null", {"a": "x"}).parts["missing"] == 1
    assert score(found, 3, 3).value == 1


def test_notes_and_parts_never_tell_what_fields_hold():
    told = score(scorer(), {"name": "secret-1", "guests": 4, "made up": "secret-2"}, REFERENCE)
    assert told.note == "extra: made up; wrong value: name"
    assert told.parts["f1/(other fields)"] == 0
    assert "secret" not in repr(told)


def test_the_summary():
    found = scorer()
    told = found.summary(
        ['{"name": "Okafor", "guests": 4}', '{"name": "B", "guests": null, "z": 1}', "oops"],
        [REFERENCE, {"name": "A", "guests": 2}, {"name": "C", "guests": None}],
    )
    assert (told["exact"], told["schema_valid"], told["json"]) == pytest.approx((1 / 3, 2 / 3, 2 / 3))
    assert (told["precision"], told["recall"]) == pytest.approx((2 / 4, 2 / 5))
    assert (told["precision/name"], told["recall/name"]) == pytest.approx((1 / 2, 1 / 3))
    assert (told["precision/guests"], told["recall/guests"]) == pytest.approx((1, 1 / 2))
    assert told["precision/(other fields)"] == 0
    assert (told["missing"], told["extra"], told["wrong_value"]) == pytest.approx((2 / 3, 1 / 3, 1 / 3))
    assert found.summary([], []) == {}


def test_without_a_reference_there_is_no_score():
    with pytest.raises(ScorerError, match="no reference"):
        score(scorer(), {}, None)


def test_a_schema_that_is_none_or_remote_is_refused():
    for schema in ({"type": "nonsense"}, {"$ref": "https://example.com/schema.json"}):
        with pytest.raises(ScorerError, match="JSON Schema is not valid"):
            JsonScorer(JsonContract(schema=schema), compare={}, weights={})


def test_every_option_is_in_the_name():
    names = {
        scorer().id,
        scorer(schema=False).id,
        scorer(weights={"a": 2}).id,
        scorer(compare={"a": "text"}).id,
        scorer(tolerance=0.1).id,
    }
    assert len(names) == 5
    assert scorer(weights={"a": 2, "b": 1}).id == scorer(weights={"b": 1, "a": 2}).id
