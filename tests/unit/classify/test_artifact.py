"""Weights as a file: the same numbers make the same bytes, and other bytes are refused."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from smallfirst.classify import artifact
from smallfirst.errors import ReleaseError

ARRAYS = {
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "a": np.array([1.5], np.float64),
    "c": np.array([7], np.int32),
    "none": np.zeros((0, 4), np.float16),
}
HEADER = {"task": "triage", "labels": ("ü", "b"), "numbers": {"z": 1, "a": 0.1}}


def packed() -> bytes:
    return artifact.pack("router", HEADER, ARRAYS)


def test_what_was_packed_comes_back() -> None:
    found = artifact.unpack(packed())
    assert (found.kind, found.sha256) == ("router", hashlib.sha256(packed()).hexdigest())
    assert found.header == {"task": "triage", "labels": ["ü", "b"], "numbers": {"a": 0.1, "z": 1}}
    assert set(found.arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert found.arrays[name].dtype == array.dtype
        assert np.array_equal(found.arrays[name], array)


def test_the_same_in_another_order_makes_the_same_bytes() -> None:
    turned = {name: ARRAYS[name] for name in reversed(ARRAYS)}
    strided = turned | {"b": np.asfortranarray(ARRAYS["b"])}
    header = {name: HEADER[name] for name in reversed(HEADER)} | {"numbers": {"a": 0.1, "z": 1}}
    assert artifact.pack("router", header, turned) == packed()
    assert artifact.pack("router", header, strided) == packed()


def test_anything_else_makes_other_bytes() -> None:
    others = [
        artifact.pack("head", HEADER, ARRAYS),
        artifact.pack("router", HEADER | {"task": "t"}, ARRAYS),
        artifact.pack("router", HEADER, ARRAYS | {"c": np.array([8], np.int32)}),
        artifact.pack("router", HEADER, ARRAYS | {"c": np.array([7], np.int64)}),
    ]
    assert len({packed(), *others}) == 5


def saved(folder: Path, data: bytes, name: str = "") -> Path:
    path = folder / f"{name or hashlib.sha256(data).hexdigest()}{artifact.SUFFIX}"
    path.write_bytes(data)
    return path


def test_the_name_is_the_hash(tmp_path: Path) -> None:
    path = saved(tmp_path, packed())
    assert artifact.read(path).sha256 == path.stem
    with pytest.raises(ReleaseError, match="weights aaaaaaaaaaaa were altered"):
        artifact.read(saved(tmp_path, packed(), "a" * 64))


@pytest.mark.parametrize("share", [0, 0.01, 0.3, 0.6, 0.999])
def test_one_flipped_byte_is_refused(tmp_path: Path, share: float) -> None:
    path = saved(tmp_path, packed())
    data = bytearray(packed())
    data[int(share * len(data))] ^= 1
    path.write_bytes(data)
    with pytest.raises(ReleaseError, match="were altered"):
        artifact.read(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not weights",
        b"\xff" * 40,
        b"\x02\x00\x00\x00\x00\x00\x00\x00{}",
        packed()[:-1],
        save({"a": np.zeros(2)}),
        save({"a": np.zeros(2)}, metadata={"smallfirst": "{"}),
        save({"a": np.zeros(2)}, metadata={"smallfirst": '{"kind": 3, "header": {}}'}),
        save({"a": np.zeros(2)}, metadata={"another": "{}"}),
    ],
)
def test_other_files_are_refused_whatever_their_name(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ReleaseError, match=r"not smallfirst's, or are damaged"):
        artifact.read(saved(tmp_path, data))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ReleaseError, match="weights bbbbbbbbbbbb cannot be read: No such file"):
        artifact.read(tmp_path / f"{'b' * 64}{artifact.SUFFIX}")
