"""What is erased is out of what teachers were asked; the rest stays, and is not paid for again."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from support.evals import answered, example, run_of

from smallfirst.datasets.example import Example, Lineage
from smallfirst.errors import EvalError
from smallfirst.evals.store import RunStore
from smallfirst.ledger.erasure import Erasure, call_sha256
from smallfirst.teaching.asking import Askings
from smallfirst.teaching.forgetting import forget_askings

AT_MS = 1_790_000_000_000
ELSEWHERE = Erasure(at_ms=AT_MS, call="elsewhere")
QUESTIONS = [
    example(0, lineage=Lineage(source="ledger", call="c-0"), tenant="acme", at_ms=AT_MS - 9),
    example(1, lineage=Lineage(source="synthetic", after=("c-8", "c-9")), tenant="acme"),
    example(2, lineage=Lineage(source="new.jsonl"), tenant="globex"),
    example(3),
]


def asked(state: Path, examples: list[Example] = QUESTIONS) -> RunStore:
    store = Askings(state).new("triage")
    with store.appending() as file:
        for at in range(len(examples)):
            file.add(answered("big", at, output=f"secret {at}"))
    store.begin(run_of({"big": [1.0] * len(examples)}, examples).manifest, examples)
    return store


@pytest.mark.parametrize(
    ("erasure", "tombstones", "gone"),
    [
        (Erasure(at_ms=AT_MS, call="c-0"), (), {0}),
        (Erasure(at_ms=AT_MS, call="c-9"), (), {1}),
        (ELSEWHERE, ("c-8", "c-0"), {0, 1}),
        (Erasure(at_ms=AT_MS, tenant="acme"), (), {0, 1}),
        (Erasure(at_ms=AT_MS, tenant="globex"), (), {2}),
        (Erasure(at_ms=AT_MS, before_ms=AT_MS - 5), (), {0, 1}),
        (ELSEWHERE, (), set()),
    ],
)
def test_what_is_erased_is_in_no_file(
    tmp_path: Path, erasure: Erasure, tombstones: tuple[str, ...], gone: set[int]
) -> None:
    asked(tmp_path)
    assert forget_askings(tmp_path, erasure, frozenset(map(call_sha256, tombstones))) == len(gone)
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    for at in range(len(QUESTIONS)):
        assert (f"question {at}".encode() in kept) == (f"secret {at}".encode() in kept) == (at not in gone)
    (store,) = Askings(tmp_path).list()
    assert [one.id for one in store.examples()] == [f"e-{at}" for at in range(4) if at not in gone]
    assert len(store.read()) == 4 - len(gone)


def test_a_run_of_nothing_else_is_gone(tmp_path: Path) -> None:
    asked(tmp_path, QUESTIONS[:2])
    assert forget_askings(tmp_path, Erasure(at_ms=AT_MS, tenant="acme"), frozenset()) == 2
    assert list((tmp_path / "teaching").iterdir()) == []


def test_an_erasure_that_was_killed_is_brought_to_its_end(tmp_path: Path) -> None:
    store = asked(tmp_path)
    (store.folder / "examples.jsonl").unlink()
    assert Askings(tmp_path).list() == []
    assert forget_askings(tmp_path, ELSEWHERE, frozenset()) == 0
    assert not store.folder.exists()


def test_a_run_that_is_being_worked_on_is_left_and_said(tmp_path: Path) -> None:
    store = asked(tmp_path)
    with store.appending(), pytest.raises(EvalError, match="another process works on"):
        forget_askings(tmp_path, Erasure(at_ms=AT_MS, call="c-0"), frozenset())
    assert (
        len(
            msgspec.json.decode(
                b"[" + (store.folder / "answers.jsonl").read_bytes().replace(b"\n", b",").rstrip(b",") + b"]"
            )
        )
        == 4
    )
