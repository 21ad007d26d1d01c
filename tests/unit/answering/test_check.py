"""The contract's check accepts or refuses; it never edits."""

import pytest

from smallfirst.answering.check import compile_check, read_labels
from smallfirst.contracts import JsonContract, LabelContract, TextContract
from smallfirst.errors import ReleaseError

LABELS = ("billing", "bug", "how-to")


def label(**fields: object) -> LabelContract:
    return LabelContract(labels=LABELS, **fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", ["billing", " bug\n", "\thow-to "])
def test_one_label(answer: str) -> None:
    assert compile_check(label())(answer) == ""


@pytest.mark.parametrize("answer", ["Billing", "billing.", "billing bug", "", "refund", '"bug"'])
def test_what_is_not_exactly_a_label_is_refused(answer: str) -> None:
    assert "not one of the 3 labels" in compile_check(label())(answer)


@pytest.mark.parametrize("answer", ['["billing","bug"]', "billing, bug", "bug\nbilling\n", "how-to"])
def test_several(answer: str) -> None:
    assert compile_check(label(pick="several"))(answer) == ""


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ("billing, billing", "twice"),
        ("billing, refund", "not one of"),
        ("", "no label"),
        ("[1]", "not one of"),
        ("[", "not one of"),
    ],
)
def test_several_refused(answer: str, why: str) -> None:
    assert why in compile_check(label(pick="several"))(answer)


def test_none_where_none_is_allowed() -> None:
    assert compile_check(label(pick="several", allow_empty=True))("[]") == ""


def test_ranked_wants_them_all() -> None:
    check = compile_check(label(pick="ranked"))
    assert check("bug, billing, how-to") == ""
    assert check("bug, billing") == "ranks 2 of 3 labels"


def test_labels_are_read_from_json_commas_and_lines() -> None:
    assert read_labels('["a, b", "c"]') == ["a, b", "c"]
    assert read_labels(" a ,b\n\nc") == ["a", "b", "c"]


SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}


def test_json() -> None:
    check = compile_check(JsonContract(schema=SCHEMA))
    assert check('{"n": 1}') == ""
    assert "not JSON" in check('{"n": 1')
    assert "not valid at n" in check('{"n": "one"}')
    assert "not valid" in check('{"n": 1, "m": 2}')
    assert "not JSON" in check("[" * 100_000)
    assert check("[" * 200 + "]" * 200) == "nested too deeply"


@pytest.mark.parametrize(
    "schema",
    [{"type": "nonsense"}, {"$ref": "https://example.com/schema.json"}, {"$ref": "file:///etc/passwd"}],
)
def test_a_schema_that_is_wrong_or_elsewhere_is_refused_when_it_is_built(schema: dict[str, str]) -> None:
    with pytest.raises(ReleaseError, match="JSON Schema"):
        compile_check(JsonContract(schema=schema))


def test_text() -> None:
    check = compile_check(TextContract(max_chars=5))
    assert check("short") == ""
    assert check(" \n") == "empty"
    assert check("longer") == "6 characters, more than 5"
