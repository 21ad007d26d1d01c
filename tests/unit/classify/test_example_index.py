"""An index keeps its name whatever is erased from it, and shows nothing that was altered, erased or another tenant's."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
from support.examples import Letters, row, write_index

from smallfirst import limits
from smallfirst.classify import artifact
from smallfirst.classify.example_index import ExampleIndex, open_index
from smallfirst.classify.examples import erase_rows, read_header, read_rows, rows_path
from smallfirst.errors import ReleaseError

LETTERS = Letters()
TEXTS = {"a-1": "aaab", "a-2": "aabb", "b-1": "bbbb", "c-1": "cccc"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_index(tmp_path, [row(name, text, LETTERS) for name, text in TEXTS.items()], LETTERS)


def near(
    index: ExampleIndex, text: str, *, count: int = 2, tenant: str = "", leave_out: str = ""
) -> list[str]:
    vector = LETTERS.embed([text])[0]
    return [one.id for one in index.near(vector, tenant=tenant, count=count, leave_out=leave_out)]


def test_the_nearest_come_first_with_their_texts(path: Path) -> None:
    index = ExampleIndex(path, LETTERS)
    found = index.near(LETTERS.embed(["aaaa"])[0], tenant="acme", count=2)
    assert [(one.id, one.question, one.answer) for one in found] == [
        ("a-1", "aaab", "bug"),
        ("a-2", "aabb", "bug"),
    ]
    assert found[0].similarity == pytest.approx(3 / np.sqrt(10), abs=1e-3)
    assert near(index, "aaaa", count=50) == ["a-1", "a-2", "b-1", "c-1"], "there are no more; equals in order"


def test_what_is_erased_is_gone_from_the_disk_and_from_whoever_has_it_open(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EXAMPLES_LOOKED_AFTER_S", 0.0)
    index, name = ExampleIndex(path, LETTERS), path.stem
    assert erase_rows(path, lambda one: one.id == "a-1") == 1
    assert erase_rows(path, lambda one: one.id == "a-1") == 0
    left = path.read_bytes() + rows_path(path).read_bytes()
    assert b"aaab" not in left
    assert LETTERS.embed(["aaab"])[0].astype(np.float16).tobytes() not in left
    assert b"aabb" in left
    assert artifact.read(path).sha256 == name
    for one in (index, ExampleIndex(path, LETTERS)):
        assert near(one, "aaaa", count=9) == ["a-2", "b-1", "c-1"]
        assert (len(one), one.row("a-1")) == (3, None)


def test_where_the_rows_are_gone_nothing_is_shown_any_more(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EXAMPLES_LOOKED_AFTER_S", 0.0)
    index = ExampleIndex(path, LETTERS)
    rows_path(path).unlink()
    assert near(index, "aaaa") == []


def test_the_hash_that_stays_says_nothing_of_the_row(tmp_path: Path) -> None:
    rows = [[row("a", "secret", LETTERS)] for _ in range(2)]
    one, other = (write_index(tmp_path / str(at), told, LETTERS) for at, told in enumerate(rows))
    assert artifact.read(one).arrays["rows"].tobytes() != artifact.read(other).arrays["rows"].tobytes()


def test_a_row_that_was_altered_moved_or_left_out_is_refused(path: Path) -> None:
    rows = msgspec.msgpack.decode(rows_path(path).read_bytes(), type=list[bytes])
    for changed, said in (
        ([rows[0].replace(b"bug", b"gub"), *rows[1:]], "example 0 of index .* was altered"),
        ([rows[1], rows[0], *rows[2:]], "example 0 of index .* was altered"),
        (rows[1:], "has 4 examples, and .*rows has 3: it was altered"),
    ):
        rows_path(path).write_bytes(msgspec.msgpack.encode(changed))
        with pytest.raises(ReleaseError, match=said):
            ExampleIndex(path, LETTERS)
    rows_path(path).write_bytes(b"\xff not MessagePack")
    with pytest.raises(ReleaseError, match="is damaged"):
        ExampleIndex(path, LETTERS)
    rows_path(path).unlink()
    with pytest.raises(ReleaseError, match=r"cannot be read .* makes the index again"):
        ExampleIndex(path, LETTERS)


def test_an_index_of_another_embedder_is_refused_with_the_command(path: Path) -> None:
    other = Letters()
    other.sha256 = "2e" * 32
    with pytest.raises(ReleaseError, match=r"was made with embedder letters 1e1e.*--method retrieval"):
        open_index(path, lambda _: other)


def test_another_artifact_is_no_index(tmp_path: Path) -> None:
    data = artifact.pack("head", {"task": "t"}, {"rows": np.zeros((1, 32), np.uint8)})
    with pytest.raises(ReleaseError, match="is a head, not an index of examples"):
        read_header(artifact.unpack(data))


def test_an_example_that_is_asked_about_is_not_shown_nor_its_group(tmp_path: Path) -> None:
    rows = [
        row("a-1", "aaaa", LETTERS, group="g"),
        row("a-2", "aaab", LETTERS, group="g"),
        row("a-3", "aabb", LETTERS),
        row("b-1", "abbb", LETTERS),
    ]
    index = ExampleIndex(write_index(tmp_path, rows, LETTERS), LETTERS)
    assert near(index, "aaaa") == ["a-1", "a-2"]
    assert near(index, "aaaa", leave_out="a-1") == ["a-3", "b-1"]
    assert near(index, "aabb", leave_out="a-3") == ["a-2", "b-1"]
    assert near(index, "aaaa", leave_out="unknown") == ["a-1", "a-2"]


def test_the_rows_are_for_their_owner_alone(path: Path) -> None:
    assert rows_path(path).stat().st_mode & 0o777 == 0o600
    assert len(read_rows(path, artifact.read(path))) == 4
