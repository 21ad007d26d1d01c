"""Outcome and label files: what is read of a row, and which line and field is wrong."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from smallfirst.errors import ConfigError
from smallfirst.training.labels import check_labels, read_labels
from smallfirst.training.outcomes import (
    Outcome,
    check_models,
    read_outcomes,
    signals_of,
)

GOOD: dict[str, Any] = {"input": "hi", "outcomes": {"small": {"score": 1}, "large": {"score": 0.5}}}


def written(folder: Path, *rows: Any) -> Path:
    path = folder / "rows.jsonl"
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


def test_a_row_is_read_with_all_that_is_known_of_it(tmp_path: Path) -> None:
    row = {
        "id": "t-1",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "first"},
            {"role": "assistant", "content": "yes"},
            {"role": "user", "content": [{"type": "text", "text": "Q: second"}]},
        ],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {}}}],
        "intent": "billing",
        "split": "calibration",
        "group": "g",
        "outcomes": {"small": {"score": 1, "cost_usd": 0.1, "confidence": 0.9, "answer": {"a": 1}}},
        "unknown": ["passes"],
    }
    (found,) = read_outcomes(written(tmp_path, row), after="Q:")
    assert (found.id, found.group, found.row.intent, found.row.split) == (
        "t-1",
        "g",
        "billing",
        "calibration",
    )
    assert (found.prompt.question, found.prompt.context) == ("second", "first\nyes")
    assert (found.prompt.tools, found.prompt.system_chars, found.prompt.history_turns) == (1, 9, 2)
    assert found.row.outcomes["small"] == Outcome(score=1, cost_usd=0.1, confidence=0.9, answer={"a": 1})


def test_blank_lines_count_and_are_skipped(tmp_path: Path) -> None:
    found = read_outcomes(written(tmp_path, "", GOOD, "  ", GOOD))
    assert [example.line for example in found] == [2, 4]
    assert [example.id for example in found] == ["line-2", "line-4"]


def test_the_same_question_in_other_letters_is_one_group(tmp_path: Path) -> None:
    rows = [GOOD | {"input": text} for text in ("Hello  World", "hello world", " HELLO\nworld ", "other")]
    groups = [example.group for example in read_outcomes(written(tmp_path, *rows))]
    assert len(set(groups[:3])) == 1
    assert groups[3] != groups[0]


def test_no_outcomes_are_needed_until_a_model_is(tmp_path: Path) -> None:
    path = written(tmp_path, GOOD, {"messages": [{"role": "user", "content": "hi"}]})
    examples = read_outcomes(path)
    check_models(examples[:1], ("small", "large"), path)
    with pytest.raises(ConfigError, match=r"line 2: outcomes\.small: required, .* \(the row has: none\)"):
        check_models(examples, ("small",), path)
    with pytest.raises(ConfigError, match=r"line 1: outcomes\.huge: .* \(the row has: large, small\)"):
        check_models(examples, ("huge",), path)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("{", "line 2: Input data was truncated"),
        ("not json", "line 2: JSON is malformed"),
        ("[]", "line 2: Expected `object`, got `array`"),
        ({"outcomes": {}}, "line 2: messages: required, but missing"),
        ({"messages": []}, "line 2: .*messages"),
        ({"messages": [{"role": "robot", "content": "x"}]}, r"line 2: messages\[0\]\.role"),
        ({"messages": [{"content": "x"}]}, r"line 2: messages\[0\]"),
        ({"messages": "hi"}, r"line 2: .*`\$\.messages`"),
        ({"input": 7}, r"line 2: .*`\$\.input`"),
        ({"input": "x", "outcomes": {"m": {}}}, r"line 2: .*`score`.*`\$\.outcomes\[\.\.\.\]`"),
        ({"input": "x", "outcomes": {"m": {"score": 1.5}}}, r"line 2: .*<= 1.*outcomes\[\.\.\.\]\.score"),
        ({"input": "x", "outcomes": {"m": {"score": -0.1}}}, r"line 2: .*>= 0.*outcomes\[\.\.\.\]\.score"),
        ({"input": "x", "outcomes": {"m": {"score": "1"}}}, r"line 2: .*outcomes\[\.\.\.\]\.score"),
        ({"input": "x", "outcomes": {"m": {"score": True}}}, r"line 2: .*outcomes\[\.\.\.\]\.score"),
        ({"input": "x", "outcomes": {"m": {"score": 1, "cost_usd": -1}}}, r"line 2: .*cost_usd"),
        ({"input": "x", "outcomes": {"m": {"score": 1, "confidence": 2}}}, r"line 2: .*confidence"),
        ('{"input": "x", "outcomes": {"m": {"score": NaN}}}', "line 2: JSON is malformed"),
        ({"input": "x", "split": "held-out"}, r"line 2: .*`\$\.split`"),
    ],
)
def test_the_first_wrong_row_is_named(tmp_path: Path, row: Any, message: str) -> None:
    path = written(tmp_path, GOOD, row, "{")
    with pytest.raises(ConfigError, match=message) as caught:
        read_outcomes(path)
    assert str(caught.value).startswith(f"{path}, ")


@pytest.mark.parametrize("read", [read_outcomes, read_labels])
def test_an_empty_or_missing_file_is_named(tmp_path: Path, read: Any) -> None:
    with pytest.raises(ConfigError, match=r"rows\.jsonl has no rows"):
        read(written(tmp_path, "", "  "))
    with pytest.raises(ConfigError, match=r"gone\.jsonl cannot be read: No such file"):
        read(tmp_path / "gone.jsonl")
    with pytest.raises(ConfigError, match=r"cannot be read: Is a directory"):
        read(tmp_path)


def test_bytes_that_are_no_text_are_named_too(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(json.dumps(GOOD).encode() + b'\n{"input": "\xff"}\n')
    with pytest.raises(ConfigError, match="line 2: not UTF-8"):
        read_outcomes(path)


def test_signals_are_what_the_gateway_would_have_seen() -> None:
    below, same, other = (Outcome(score=1, answer=answer) for answer in ("a b", " a  b", "c"))
    assert signals_of(same, None).agrees is None
    assert signals_of(same, below).agrees is True
    assert signals_of(other, below).agrees is False
    assert signals_of(Outcome(score=1), below).agrees is None
    assert signals_of(other, Outcome(score=1)).agrees is None
    assert [
        signals_of(one, None).chars for one in (below, Outcome(score=1), Outcome(score=1, answer=[1, 2]))
    ] == [3, 0, 5]
    assert signals_of(Outcome(score=1, answer="abc", output_chars=9), None).chars == 9
    told = signals_of(Outcome(score=0, confidence=0.3, truncated=True, refused=True), None)
    assert (told.confidence, told.truncated, told.refused) == (0.3, True, True)


def test_labels_are_read_and_held_to_the_contract(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": "b"}]
    path = written(
        tmp_path,
        {"id": "1", "input": "a", "label": "x"},
        {"messages": messages, "label": "oos"},
        {"input": "c", "label": "y"},
    )
    rows = read_labels(path)
    assert [(row.id, row.text, row.label) for row in rows] == [
        ("1", "a", "x"),
        ("line-2", "b", "oos"),
        ("line-3", "c", "y"),
    ]
    check_labels(rows, ("x", "y"), path)
    with pytest.raises(ConfigError, match="line 3: label: 'y' is not one of the task's 1 labels"):
        check_labels(rows, ("x",), path)


def test_a_missing_label_is_named_only_where_one_is_needed(tmp_path: Path) -> None:
    path = written(tmp_path, {"input": "a", "label": "x"}, {"input": "b"})
    assert read_labels(path, labelled=False)[1].label is None
    with pytest.raises(ConfigError, match="line 2: label: required, but missing"):
        read_labels(path)
    with pytest.raises(ConfigError, match=r"line 1: .*label"):
        read_labels(written(tmp_path, {"input": "a", "label": 7}))
