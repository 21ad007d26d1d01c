"""Streams for `smallfirst cache eval`: what is read of a row, which line and field is wrong, and what a stream allows."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from smallfirst.errors import ConfigError
from smallfirst.evals.cache.stream import StreamRow, allowed, read_stream, shuffled, write_stream

GOOD = {"id": "a", "input": "where is my card?", "answer_class": "card"}


def written(path: Path, *rows: Any) -> Path:
    path.write_text(
        "".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows), "utf-8"
    )
    return path


def row(id_: str, text: str, answer_class: str = "x", *, warm: bool = False) -> StreamRow:
    return StreamRow(id=id_, text=text, answer_class=answer_class, warm=warm)


def test_rows_are_read_in_their_order_and_unknown_fields_do_not_matter(tmp_path: Path) -> None:
    path = written(tmp_path / "s.jsonl", GOOD | {"more": 1}, {"id": 7, "input": "", "answer_class": ""})
    assert read_stream(path) == [row("a", "where is my card?", "card"), row("7", "", "")]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1", "1.0", True),
        ("1", '"1"', False),
        ("12345678901234567890123", "12345678901234567890124", False),
        ("0.1", "0.10000000000000001", False),
        ('"a"', '"\\u0061"', True),
        ('"a"', '"A"', False),
    ],
)
def test_classes_are_equal_as_json_values_are(tmp_path: Path, one: str, other: str, equal: bool) -> None:
    lines = [
        f'{{"id": "{at}", "input": "x", "answer_class": {told}}}' for at, told in enumerate((one, other))
    ]
    first, second = read_stream(written(tmp_path / "s.jsonl", *lines))
    assert (first.answer_class == second.answer_class) is equal


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("{", "line 2"),
        ("[]", "line 2"),
        ({"id": "b", "input": "x"}, "answer_class"),
        ({"input": "x", "answer_class": "c"}, "`id`"),
        ({"id": "b", "answer_class": "c"}, "`input`"),
        ({"id": "b", "input": 5, "answer_class": "c"}, r"\$\.input"),
        ({"id": "b", "input": "x", "answer_class": None}, "answer_class: expected a string or a number"),
        ({"id": "b", "input": "x", "answer_class": ["c"]}, "answer_class: expected a string or a number"),
        ({"id": "b", "input": "x", "answer_class": True}, "answer_class: expected a string or a number"),
        (GOOD, "id: 'a' stands in line 1 already"),
        ('{"id": "b", "input": "x", "answer_class": NaN}', "line 2"),
    ],
)
def test_a_bad_row_is_named_by_line_and_field(tmp_path: Path, bad: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as found:
        read_stream(written(tmp_path / "s.jsonl", GOOD, bad))
    assert "line 2" in str(found.value)


def test_a_file_without_rows_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no rows"):
        read_stream(written(tmp_path / "s.jsonl", ""))


def test_warm_rows_come_first_and_keep_their_own_ids(tmp_path: Path) -> None:
    stream = written(tmp_path / "s.jsonl", GOOD)
    warm = written(tmp_path / "w.jsonl", GOOD | {"input": "card?"}, GOOD | {"id": "b"})
    found = read_stream(stream, warm=warm)
    assert [(one.id, one.warm) for one in found] == [("warm:a", True), ("b", True), ("a", False)]


def test_an_order_of_chance_is_the_seeds_and_leaves_warm_rows_alone() -> None:
    rows = [row(f"w{at}", str(at), warm=True) for at in range(20)] + [
        row(str(at), str(at)) for at in range(50)
    ]
    one, again, other = shuffled(rows, 1), shuffled(rows, 1), shuffled(rows, 2)
    assert one == again != other
    assert one[:20] == rows[:20]
    assert sorted(each.id for each in one) == sorted(each.id for each in rows)


def test_what_a_stream_allows_is_counted_over_its_own_rows() -> None:
    told = allowed(
        [
            row("w", "a", "x", warm=True),
            row("1", "a", "x"),
            row("2", "a", "y"),
            row("3", "b", "x"),
            row("4", "c", "z"),
        ]
    )
    assert (told.rows, told.warm, told.classes) == (4, 1, 3)
    assert (told.repeats, told.right_repeats, told.seen) == (0.5, 0.25, 0.5)


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    rows = [row("a", "ä ", "x"), row("b", "\n", "1")]
    write_stream(tmp_path / "s.jsonl", rows)
    assert read_stream(tmp_path / "s.jsonl") == rows
    assert read_stream(written(tmp_path / "n.jsonl", GOOD | {"answer_class": 1}))[0].answer_class == Decimal(
        1
    )
