"""Objects are read one after the other from arrays of any size and from packed files, with no more than one of them in memory."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.datasets import json_array
from smallfirst.datasets.json_array import Damaged, read_array
from smallfirst.datasets.lines import read_lines
from smallfirst.datasets.row import Tally
from smallfirst.errors import DatasetError

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('ab[]{},"\\\\é', max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.lists(_values, max_size=6), st.sampled_from([None, 1]), st.integers(1, 9))
def test_an_array_is_read_as_it_was_written_however_it_is_cut(
    values: list[object], indent: int | None, chunk: int
) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(json_array, "_CHUNK_BYTES", chunk)
        data = json.dumps(values, indent=indent, ensure_ascii=False).encode()
        found = [json.loads(raw) for raw in read_array(b"", io.BytesIO(data))]
    assert found == values


@pytest.mark.parametrize("data", ["", "[", "[1", "[1,", "[1 2]", "[1,]", "[1]]", "[nonsense]", '["a]'])
def test_what_is_no_array_is_said(data: str) -> None:
    with pytest.raises(Damaged):
        list(read_array(b"", io.BytesIO(data.encode())))


def test_a_large_array_needs_little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_array, "_CHUNK_BYTES", 1 << 10)
    most = 0

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            nonlocal most
            most = max(most, -1 if size is None else size)
            return super().read(size)

    data = json.dumps([{"n": n} for n in range(5000)]).encode()
    assert sum(1 for _ in read_array(b"", Watched(data))) == 5000
    assert most <= 4096


def test_packed_lines_tell_how_far_they_are_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 4000))
    places: list[int] = []
    assert sum(1 for _ in read_lines(path, Tally(), position=places.append)) == 4000
    assert len(places) == 2
    assert 0 < max(places) <= path.stat().st_size


def test_a_packed_file_that_is_cut_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 4000)[:-9])
    with pytest.raises(DatasetError, match="damaged"):
        list(read_lines(path, Tally()))
