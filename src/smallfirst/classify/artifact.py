"""Learned weights as one immutable file, named by what is in it.

    <64 hex digits>.safetensors     arrays, and a JSON header that says what they are; its SHA-256 is its name

safetensors holds numbers and strings and nothing that runs. The same arrays and header always make the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from smallfirst.errors import ReleaseError

SUFFIX = ".safetensors"
_HEADER = "smallfirst"
Arrays = Mapping[str, np.ndarray]


class Artifact(msgspec.Struct, frozen=True, kw_only=True):
    """Arrays by name and a header, read and checked. `kind` says which classifier they make: "router", "head", "intents"."""

    sha256: str
    kind: str
    header: dict[str, Any]
    arrays: dict[str, np.ndarray]


def pack(kind: str, header: Mapping[str, Any], arrays: Arrays) -> bytes:
    """The file's bytes."""
    told = msgspec.json.encode({"kind": kind, "header": msgspec.to_builtins(dict(header))}, order="sorted")
    ordered = {name: np.ascontiguousarray(arrays[name]) for name in sorted(arrays)}
    return save(ordered, metadata={_HEADER: told.decode()})


def unpack(data: bytes, *, name: str = "") -> Artifact:
    """What `pack` packed. `name`: the hash that the bytes must have. Raises `ReleaseError` where they are something else."""
    digest = hashlib.sha256(data).hexdigest()
    if name and digest != name:
        raise ReleaseError(f"weights {name[:12]} were altered: their content no longer has their name's hash")
    try:
        size = int.from_bytes(data[:8], "little")
        metadata = msgspec.json.decode(data[8 : 8 + size], type=_Metadata).metadata
        told = msgspec.json.decode(metadata[_HEADER].encode(), type=_Told)
        arrays = load(data)
    except (msgspec.DecodeError, KeyError, SafetensorError, ValueError) as error:
        raise ReleaseError(f"weights {digest[:12]} are not smallfirst's, or are damaged ({error})") from error
    return Artifact(sha256=digest, kind=told.kind, header=told.header, arrays=arrays)


def read(path: Path) -> Artifact:
    """The artifact of this file, which must be what its name says. Raises `ReleaseError`."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ReleaseError(f"weights {path.stem[:12]} cannot be read: {error.strerror}") from error
    return unpack(data, name=path.stem)


class _Metadata(msgspec.Struct):
    metadata: dict[str, str] = msgspec.field(name="__metadata__")


class _Told(msgspec.Struct):
    kind: str
    header: dict[str, Any]
