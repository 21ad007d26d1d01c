"""What is told of calls' answers: each row is taken or refused by itself, and of one's own tenant only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.ledger import AT_MS, call

from smallfirst.errors import StateError
from smallfirst.ledger import Ledger, Notes
from smallfirst.ledger.told import RowRefused, note_told, read_all, read_told
from smallfirst.ledger.told_file import import_outcomes


def read(**row: Any) -> Any:
    return read_told({"call": "c1", "kind": "score", "value": 1} | row, source="us", at_ms=AT_MS)


@pytest.mark.parametrize(
    ("kind", "value", "kept"),
    [
        ("score", 1, 1.0),
        ("judge", 0.25, 0.25),
        ("thumbs", "up", True),
        ("thumbs", -1, False),
        ("thumbs", False, False),
        ("label", "billing", "billing"),
        ("label", {"n": [1, None]}, {"n": [1, None]}),
        ("bad-hit", None, True),
    ],
)
def test_a_value_is_kept_in_one_form(kind: str, value: Any, kept: Any) -> None:
    assert read(kind=kind, value=value).value == kept


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"kind": "praise"}, "kind"),
        ({"kind": ["score"]}, "kind"),
        ({"value": 1.01}, "value"),
        ({"value": True}, "value"),
        ({"value": "1"}, "value"),
        ({"value": None}, "value"),
        ({"kind": "thumbs", "value": 2}, "value"),
        ({"kind": "thumbs", "value": [1]}, "value"),
        ({"kind": "label", "value": ""}, "value"),
        ({"kind": "label", "value": "x" * 70_000}, "value"),
        ({"kind": "label", "value": json.loads("[" * 200 + "]" * 200)}, "value"),
        ({"kind": "bad-hit", "value": False}, "value"),
        ({"call": ""}, "call"),
        ({"key": "k"}, "call"),
        ({"call": 7}, "call"),
        ({"source": "explore"}, "source"),
        ({"source": "x" * 200}, "source"),
        ({"at": "yesterday"}, "at"),
        ({"at": AT_MS + 10**7}, "at"),
        ({"at": -1}, "at"),
        ({"at": 10**30}, "at"),
        ({"at": "9999-12-31T23:59:59-23:59"}, "at"),
        ({"tenant": "rival"}, "tenant"),
    ],
)
def test_a_row_that_is_wrong_names_its_field(row: dict[str, Any], field: str) -> None:
    with pytest.raises(RowRefused) as refused:
        read(**row)
    assert refused.value.field == field


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(
    st.lists(
        _json | st.fixed_dictionaries({}, optional=dict.fromkeys(("call", "kind", "value", "at"), _json))
    )
)
def test_no_row_stops_the_others(rows: list[Any]) -> None:
    assert len(read_all(rows, source="us")) == len(rows)


def test_moments_are_read_in_any_zone() -> None:
    assert read(at="2025-01-01T02:00:00+02:00").at_ms == read(at="2025-01-01").at_ms == 1_735_689_600_000


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Two tenants with a call of one key each; one of them has that key in two tasks more."""
    made = [
        call(client_key="order-1", task="triage", at_ms=AT_MS),
        call(client_key="order-1", task="triage", at_ms=AT_MS + 1),
        call(client_key="order-1", task="triage", tenant="rival"),
        call(client_key="order-2", task="triage"),
        call(client_key="order-2", task="summary"),
        call(client_key="order-1", task="triage", origin="explore"),
    ]
    place = tmp_path / "state"
    with Notes(place) as notes:
        notes.settle(*made)
    (tmp_path / "ids.json").write_text(json.dumps([one.id for one in made]))
    return place


def ids(state: Path) -> list[str]:
    return json.loads((state.parent / "ids.json").read_text())


def tell(state: Path, *rows: dict[str, Any], tenant: str | None = "acme") -> list[tuple[str, str]]:
    """What became of each row: its status, and the call or the field."""
    waits: list[int] = []
    with Ledger.read(state) as ledger, Notes(state) as notes:
        results = note_told(
            read_all(rows, source="us"),
            queries=ledger.queries,
            note=notes.outcomes,
            wait=lambda: waits.append(1),
            tenant=tenant,
        )
    assert [result.row for result in results] == list(range(len(rows)))
    assert len(waits) <= 1
    return [(result.status, result.call or result.field) for result in results]


def test_a_call_is_known_by_its_id_or_by_its_clients_name(state: Path) -> None:
    known = ids(state)
    score = {"kind": "score", "value": 1}
    assert (
        tell(
            state,
            {"call": known[0]} | score,
            {"key": "order-1"} | score,  # the latest call of that name
            {"key": "order-2", "task": "summary"} | score,
            {"key": "order-2"} | score,
            {"call": known[3], "task": "summary"} | score,
            {"call": known[3][:10]} | score,
        )
        == [
            ("new", known[0]),
            ("new", known[1]),
            ("new", known[4]),
            ("refused", "task"),
            ("refused", "call"),
            ("refused", "call"),
        ]
    )


def test_another_tenants_call_is_as_unknown_as_none(state: Path) -> None:
    theirs, score = ids(state)[2], {"kind": "score", "value": 1}
    rows = ({"call": theirs} | score, {"call": "0" * 28} | score, {"key": "order-3"} | score)
    assert [status for status, _ in tell(state, *rows)] == ["refused"] * 3
    with Ledger.read(state) as ledger:
        assert ledger.queries.told() == []
    assert tell(state, rows[0], tenant="rival") == [("new", theirs)]
    assert tell(state, rows[0], tenant=None) == [("repeated", theirs)]
    assert tell(state, {"key": "order-1"} | score, tenant=None) == [("refused", "key")]  # whose?


def test_what_is_told_twice_in_one_go_is_one(state: Path) -> None:
    row = {"call": ids(state)[0], "kind": "label", "value": {"b": 1, "a": 2}}
    same = row | {"value": {"a": 2, "b": 1}}
    assert [status for status, _ in tell(state, row, row, same)] == ["new", "repeated", "repeated"]


def test_a_file_is_imported_row_by_row_and_again_without_harm(state: Path, tmp_path: Path) -> None:
    known = ids(state)
    table = tmp_path / "told.csv"
    table.write_text(
        "\ufeffcall,key,kind,value,source,at\r\n"
        f"{known[0]},,label,007,,\r\n"  # a label is a text
        f'{known[3]},,label,"[""a"",""b""]",,\r\n'
        ",order-1,thumbs,up,support,2025-01-01\r\n"
        f"{known[4]},,score,0.5,,1735689600000\r\n"
        "none,,score,1,,\r\n"
        f"{known[4]},,score,high,,\r\n"
        f"{known[4]},,score,1,,,,more\r\n",
        "utf-8",
    )
    done = import_outcomes(state, table, source="a-file", tenant="acme")
    assert (done.new, done.repeated, done.refused) == (4, 0, 3)
    assert [(line.line, line.field) for line in done.refusals] == [(6, "call"), (7, "value"), (8, "row")]
    again = import_outcomes(state, table, source="a-file", tenant="acme")
    assert (again.new, again.repeated, again.refused) == (0, 4, 3)
    with Ledger.read(state) as ledger:
        values = {(told.call, told.outcome.source): told.outcome.value for told in ledger.queries.told()}
        counts = ledger.queries.outcome_counts()
    assert values == {
        (known[0], "a-file"): "007",
        (known[3], "a-file"): ["a", "b"],
        (known[1], "support"): True,
        (known[4], "a-file"): 0.5,
    }
    assert {(count.task, count.kind, count.outcomes) for count in counts} == {
        ("triage", "label", 2),
        ("summary", "score", 1),
        ("triage", "thumbs", 1),
    }


def test_lines_of_json_are_rows_too(state: Path, tmp_path: Path) -> None:
    lines = tmp_path / "told.jsonl"
    row = {"call": ids(state)[0], "kind": "score", "value": 1}
    lines.write_text(f"{json.dumps(row)}\n\n{{bad\n[1]\n{json.dumps(row | {'value': 0})}")
    done = import_outcomes(state, lines, source="f")
    assert (done.new, done.refused) == (2, 2)
    assert [line.line for line in done.refusals] == [3, 4]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("a.csv", "call,colour\nx,y\n", "column 'colour'"),
        ("b.csv", "", "empty"),
        ("c.csv", 'call,kind,value\nx,score,"1', "line"),
        ("d.csv", b"call,kind,value\n\xff\xfe,score,1\n", "line"),
        ("e.jsonl", b'{"call":"' + b"x" * 1_100_000 + b'"}', "line 1"),
    ],
)
def test_a_file_that_is_none_of_outcomes_says_why(
    state: Path, tmp_path: Path, name: str, text: str | bytes, why: str
) -> None:
    file = tmp_path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    with pytest.raises(StateError, match=why):
        import_outcomes(state, file, source="f")


def test_a_name_that_all_calls_have_is_found_without_reading_all_of_them(tmp_path: Path) -> None:
    made = [call(client_key="same", task="triage", at_ms=AT_MS + n) for n in range(50)]
    with Notes(tmp_path / "state") as notes:
        notes.settle(*made)
    with Ledger.read(tmp_path / "state") as ledger:
        found = ledger.queries.calls_by_client_key(["same"], tenant="acme")
    assert [one.id for one in found] == [made[-1].id]


def test_labels_are_found_by_the_calls_that_somebody_waits_for(tmp_path: Path) -> None:
    made = [call() for _ in range(3)]
    with Notes(tmp_path / "state") as notes, Ledger.read(tmp_path / "state") as ledger:
        notes.settle(*made)
        assert ledger.queries.last_outcome() == 0
        for one in made:
            notes.outcome(one.id, "label", "billing", source="us")
            notes.outcome(one.id, "score", 1.0, source="us")
        assert ledger.queries.last_outcome() == 6
        ids = [one.id for one in made]
        assert set(ledger.queries.labelled(ids, after=0, until=6)) == set(ids)
        assert ledger.queries.labelled(ids, after=1, until=4) == [ids[1]]
        assert ledger.queries.labelled(ids[:1], after=1, until=6) == []
