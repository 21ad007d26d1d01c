"""Examples that a model is shown: an index that is named by its content, carried by releases, and can be erased from.

    <64 hex digits>.safetensors     what is said of the examples, and a SHA-256 of each: this file's own is the index's name (`artifact.py`)
    <64 hex digits>.rows            the examples themselves, as MessagePack; nil where one was erased

The rows hold users' texts, so they lie apart: one is erased for good, vector and all, in every place where the index lies, and the index keeps its
name and stays what was proven. A row has bytes of chance in it, so that its hash, which stays, says nothing of what it was.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.classify.artifact import Artifact, pack
from smallfirst.durable import write_whole
from smallfirst.errors import ReleaseError

KIND = "examples"
ROWS = ".rows"
FORMAT = 1
_HASHES = "rows"
_HASH_BYTES = 32
_SALT_BYTES = 16


class Header(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an index says of itself. `question_after` and `question_before` are the marks between which a question stands, as routers have them."""

    task: str
    dataset: str  # its hash; the examples are of its train part
    contract_sha256: str
    embedder: str
    embedder_sha256: str
    dimensions: int
    examples: int
    synthetic: int = 0  # of them
    question_after: str = ""
    question_before: str = ""
    format: int = FORMAT


class Row(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """One example: what the user said, and what a right answer to it is. Without a tenant it is everybody's."""

    salt: bytes
    id: str
    question: str
    answer: str
    vector: bytes  # float16, of length 1
    tenant: str = ""
    group: str = ""
    call: str = ""  # the ledger's id of the call that it is from
    at_ms: int = 0
    synthetic: bool = False
    after: tuple[str, ...] = ()  # the calls that a model was shown when it wrote a synthetic one


_row_decoder = msgspec.msgpack.Decoder(Row)
_rows_decoder = msgspec.msgpack.Decoder(list[bytes | None])


def salt() -> bytes:
    """The bytes of chance of a row."""
    return secrets.token_bytes(_SALT_BYTES)


def pack_index(header: Header, rows: Sequence[Row]) -> tuple[bytes, bytes]:
    """The bytes of both files. Rows are put in order: each tenant's stand together."""
    encoded = [msgspec.msgpack.encode(row) for row in sorted(rows, key=lambda row: (row.tenant, row.id))]
    hashes = np.frombuffer(b"".join(map(_sha256, encoded)), np.uint8).reshape(-1, _HASH_BYTES)
    return pack(KIND, msgspec.to_builtins(header), {_HASHES: hashes}), msgspec.msgpack.encode(encoded)


def rows_path(index: Path) -> Path:
    """Where the rows of the index in this file lie."""
    return index.with_suffix(ROWS)


def read_header(found: Artifact) -> Header:
    """Raises `ReleaseError` where the artifact is another thing."""
    if found.kind != KIND:
        raise ReleaseError(f"{found.sha256[:12]} is a {found.kind}, not an index of examples")
    try:
        header = msgspec.convert(found.header, Header)
    except msgspec.ValidationError as error:
        raise ReleaseError(
            f"index {found.sha256[:12]} was made by another version of smallfirst: {error}"
        ) from error
    if header.format != FORMAT:
        raise ReleaseError(
            f"index {found.sha256[:12]} has format {header.format}, this version reads {FORMAT}"
        )
    return header


def read_rows(index: Path, found: Artifact) -> list[Row | None]:
    """The rows in their order, None for those that were erased. Raises `ReleaseError` where one was altered or is missing."""
    encoded = _read(index)
    hashes = found.arrays[_HASHES]
    if len(encoded) != len(hashes):
        raise ReleaseError(
            f"index {found.sha256[:12]} has {len(hashes)} examples, and {rows_path(index).name} has {len(encoded)}: it was altered"
        )
    rows: list[Row | None] = []
    for at, data in enumerate(encoded):
        if data is None:
            rows.append(None)
            continue
        if _sha256(data) != hashes[at].tobytes():
            raise ReleaseError(
                f"example {at} of index {found.sha256[:12]} was altered: it no longer has the hash that the index says"
            )
        rows.append(_row_decoder.decode(data))
    return rows


def erased_rows(index: Path) -> set[int]:
    """The numbers of the rows that were erased. Raises `ReleaseError` where the file cannot be read."""
    return {at for at, data in enumerate(_read(index)) if data is None}


def erase_rows(index: Path, meant: Callable[[Row], bool]) -> int:
    """Erases what is meant from the index in this file, in one step; returns how many there were. For one process at a time.

    Raises `ReleaseError` where the file cannot be read.
    """
    encoded = _read(index)
    left = [data if data is None or not meant(_decoded(data, index)) else None for data in encoded]
    count = left.count(None) - encoded.count(None)
    if count:
        write_whole(rows_path(index), msgspec.msgpack.encode(left))
    return count


def _read(index: Path) -> list[bytes | None]:
    path = rows_path(index)
    try:
        return _rows_decoder.decode(path.read_bytes())
    except OSError as error:
        raise ReleaseError(
            f"the examples of index {index.stem[:12]} cannot be read ({path.name}: {error.strerror}); "
            "`smallfirst train TASK --method retrieval` makes the index again"
        ) from error
    except msgspec.DecodeError as error:
        raise ReleaseError(f"{path} is damaged: {error}") from error


def _decoded(data: bytes, index: Path) -> Row:
    try:
        return _row_decoder.decode(data)
    except msgspec.DecodeError as error:
        raise ReleaseError(f"{rows_path(index)} is damaged: {error}") from error


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
