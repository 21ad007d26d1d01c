"""A run on the disk: what a kill leaves is read, nobody writes beside another, and nothing altered is trusted."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.evals import answered, example, run_of

from smallfirst.errors import EvalError
from smallfirst.evals.store import Runs, RunStore

EXAMPLES = [example(at) for at in range(4)]
MANIFEST = run_of({"small": [1, 0, 1, 1], "big": [1, 1, 1, 1]}, EXAMPLES).manifest


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    found = RunStore(tmp_path / "triage-1")
    found.begin(MANIFEST, EXAMPLES)
    return found


def add(store: RunStore, *ats: int, **fields: object) -> None:
    with store.appending() as file:
        for at in ats:
            file.add(answered("small", at, **fields))


def test_answers_are_read_as_they_were_added(store: RunStore) -> None:
    add(store, 0, 1)
    assert list(store.read()) == [("small", "e-0"), ("small", "e-1")]
    assert store.read()["small", "e-1"] == answered("small", 1)
    assert store.examples() == EXAMPLES


def test_a_later_answer_replaces_an_earlier_one(store: RunStore) -> None:
    add(store, 0, failed_by="outside", error="nobody there", score=0.0)
    assert not store.read()["small", "e-0"].settled
    add(store, 0)
    assert store.read()["small", "e-0"].settled


@given(cut=st.integers(1, 200))
def test_whatever_a_kill_cuts_off_only_the_last_answer_is_lost(
    cut: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = RunStore(tmp_path_factory.mktemp("run") / "triage-1")
    store.begin(MANIFEST)
    add(store, 0, 1, 2)
    path = store.folder / "answers.jsonl"
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    path.write_bytes(whole[: -min(cut, last)])
    assert {name for _, name in store.read()} >= {"e-0", "e-1"}
    add(store, 3)
    assert {name for _, name in store.read()} >= {"e-0", "e-1", "e-3"}


def test_two_processes_do_not_work_on_one_run(store: RunStore) -> None:
    with store.appending(), pytest.raises(EvalError, match="another process works on run triage-1"):
        add(RunStore(store.folder), 0)
    add(store, 0)  # the lock is gone with whoever had it


def test_another_comparison_is_not_begun_in_the_same_folder(store: RunStore) -> None:
    store.begin(MANIFEST, EXAMPLES)
    other = run_of({"small": [1, 0, 1]}, EXAMPLES[:3]).manifest
    with pytest.raises(EvalError, match="holds another comparison"):
        store.begin(other)


def test_examples_that_were_altered_are_refused(store: RunStore) -> None:
    path = store.folder / "examples.jsonl"
    path.write_bytes(path.read_bytes().replace(b"question 2", b"question 3"))
    with pytest.raises(EvalError, match="was altered"):
        store.examples()


def test_a_run_without_examples_shows_none(tmp_path: Path) -> None:
    store = RunStore(tmp_path / "gate")
    store.begin(MANIFEST)
    with pytest.raises(EvalError, match="keeps no examples"):
        store.examples()


def test_only_its_owner_reads_a_run(store: RunStore) -> None:
    add(store, 0)
    store.finish()
    assert store.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in store.folder.iterdir()} == {0o600}


def test_runs_are_numbered_found_and_resumed(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    assert runs.list() == []
    first, second = runs.new("a/b"), runs.new("a/b")
    assert (first.name, second.name) == ("a_b-1", "a_b-2")
    assert runs.list() == []  # nothing was begun
    first.begin(MANIFEST)
    assert runs.open("a_b").name == "a_b-1"
    found = runs.unfinished(MANIFEST)
    assert found is not None
    assert found.name == "a_b-1"
    first.finish()
    assert runs.unfinished(MANIFEST) is None
    with pytest.raises(EvalError, match="no run is 'c'"):
        runs.open("c")
