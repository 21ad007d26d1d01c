"""Learned weights on the disk: named by their content, found by task, prefix and age."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from smallfirst.classify.artifact import SUFFIX
from smallfirst.classify.store import Artifacts, Described
from smallfirst.errors import ReleaseError


def described(at_ms: int, kind: str = "head", task: str = "triage") -> Described:
    return Described(at_ms=at_ms, kind=kind, task=task, note="n", report={"accuracy": 0.9})


@pytest.fixture
def artifacts(tmp_path: Path) -> Artifacts:
    return Artifacts(tmp_path / "state")


def test_weights_are_named_by_their_content(artifacts: Artifacts) -> None:
    name = artifacts.save(b"weights", described(1))
    assert name == hashlib.sha256(b"weights").hexdigest()
    assert artifacts.path(name).read_bytes() == b"weights"
    assert artifacts.path(name).suffix == SUFFIX
    assert artifacts.list()[0].described == described(1)
    assert sorted(path.suffix for path in artifacts.folder.iterdir()) == [".json", SUFFIX]


def test_the_newest_of_a_task_is_what_was_saved_last(artifacts: Artifacts) -> None:
    old = artifacts.save(b"old", described(1))
    new = artifacts.save(b"new", described(2))
    router = artifacts.save(b"router", described(3, kind="router"))
    other = artifacts.save(b"other", described(4, task="other"))
    assert [listed.sha256 for listed in artifacts.list()] == [other, router, new, old]
    assert [listed.sha256 for listed in artifacts.list("head", "triage")] == [new, old]
    assert artifacts.newest("head", "triage") == new
    assert artifacts.newest("router", "triage") == router
    assert artifacts.newest("head", "nobody") is None
    assert artifacts.save(b"old", described(5)) == old
    assert artifacts.newest("head", "triage") == old, "trained again with the same result"


def test_a_prefix_finds_one(artifacts: Artifacts) -> None:
    names = [artifacts.save(str(at).encode(), described(at)) for at in range(20)]
    assert artifacts.find(names[0][:12]) == names[0]
    with pytest.raises(ReleaseError, match="the hashes of 20 artifacts begin with ''"):
        artifacts.find("")
    with pytest.raises(ReleaseError, match=rf"no weights begin with 'xyz' \(known: .*{names[0][:12]}"):
        artifacts.find("xyz")


def test_where_there_is_nothing_nothing_is_found(artifacts: Artifacts) -> None:
    assert artifacts.list() == []
    assert artifacts.newest("head", "triage") is None
    with pytest.raises(ReleaseError, match="known: none; `smallfirst train` makes one"):
        artifacts.find("ab")


def test_what_is_not_whole_is_not_listed(artifacts: Artifacts) -> None:
    name = artifacts.save(b"weights", described(1))
    artifacts.path("a" * 64).write_bytes(b"weights without their description")
    (artifacts.folder / f"{'b' * 64}.json").write_text("{}")
    (artifacts.folder / "notes.json").write_text("mine")
    assert [listed.sha256 for listed in artifacts.list()] == [name]


def test_a_damaged_description_is_named(artifacts: Artifacts) -> None:
    name = artifacts.save(b"weights", described(1))
    (artifacts.folder / f"{name}.json").write_text("{")
    with pytest.raises(ReleaseError, match=f"the description of weights {name[:12]} cannot be read"):
        artifacts.list()
