"""The nearest of a tenant's examples, exactly: one product of a matrix and a vector."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.classify import artifact
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.examples import Header, Row, erased_rows, read_header, read_rows, rows_path
from smallfirst.errors import ReleaseError

_log = logging.getLogger(__name__)
EVERYBODY = ""


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """An example that is near a question, and its cosine to it."""

    id: str
    similarity: float
    question: str
    answer: str
    synthetic: bool = False


class ExampleIndex:
    """Examples of one task. A tenant finds its own and those that are nobody's in particular, and no others: it has its own part of the matrix.

    Takes 4 bytes for each number of a vector, and the texts. What is erased from the file is out of this one within
    `EXAMPLES_LOOKED_AFTER_S` of it.
    """

    def __init__(self, path: Path, embedder: Embedder) -> None:
        """The index of this file. Raises `ReleaseError` where it is another thing, was altered, or its embedder has changed."""
        self._path = path
        self._stamp = _stamp(path)  # first: what is erased while it is read is noticed
        self._looked_s = time.monotonic()
        found = artifact.read(path)
        self.sha256 = found.sha256
        self.header = header = _header(found, embedder)
        self.embedder = embedder
        self._rows = rows = read_rows(path, found)
        self._vectors = np.zeros((len(rows), header.dimensions), np.float32)
        self._numbers: dict[str, int] = {}
        self._parts: dict[str, tuple[int, int]] = {}
        for at, row in enumerate(rows):
            if row is None:
                continue
            self._vectors[at] = np.frombuffer(row.vector, np.float16)
            self._numbers[row.id] = at
            begin, _ = self._parts.get(row.tenant, (at, at))
            self._parts[row.tenant] = (begin, at + 1)
        self._there = np.array([row is not None for row in rows], bool)

    def __len__(self) -> int:
        """How many there are; those that were erased do not count."""
        return int(self._there.sum())

    def near(self, vector: np.ndarray, *, tenant: str, count: int, leave_out: str = "") -> list[Example]:
        """The tenant's `count` nearest, nearest first. `vector` [dimensions], of length 1.

        `leave_out`: the id of an example that is not to be found, nor any of its group: it is what is asked about.
        """
        self._forget_erased()
        out = self._group(leave_out)
        found: list[tuple[float, int]] = []
        for part in dict.fromkeys((tenant, EVERYBODY)):
            begin, end = self._parts.get(part, (0, 0))
            if begin == end:
                continue
            cosines = self._vectors[begin:end] @ vector
            cosines[~self._there[begin:end]] = -np.inf
            for at in out:
                if begin <= at < end:
                    cosines[at - begin] = -np.inf
            most = min(count, end - begin)
            best = np.argpartition(cosines, -most)[-most:] + begin
            found += [
                (-float(cosines[at - begin]), int(at)) for at in best if np.isfinite(cosines[at - begin])
            ]
        return [self._example(at, -cosine) for cosine, at in sorted(found)[:count]]

    def row(self, name: str) -> Row | None:
        """The example of that id; None where there is none, or it was erased."""
        at = self._numbers.get(name)
        return None if at is None else self._rows[at]

    def _example(self, at: int, similarity: float) -> Example:
        row = self._rows[at]
        assert row is not None
        return Example(
            id=row.id,
            similarity=round(similarity, 4),
            question=row.question,
            answer=row.answer,
            synthetic=row.synthetic,
        )

    def _group(self, name: str) -> list[int]:
        """The numbers of the example of that id and of those that belong together with it."""
        at = self._numbers.get(name) if name else None
        row = self._rows[at] if at is not None else None
        if at is None or row is None:
            return []
        if not row.group:
            return [at]
        return [other for other, one in enumerate(self._rows) if one is not None and one.group == row.group]

    def _forget_erased(self) -> None:
        """Takes out what somebody has erased from the file since it was last looked at."""
        if time.monotonic() - self._looked_s < limits.EXAMPLES_LOOKED_AFTER_S:
            return
        self._looked_s = time.monotonic()
        stamp = _stamp(self._path)
        if stamp == self._stamp:
            return
        try:
            gone = erased_rows(self._path)
        except ReleaseError as error:
            _log.error("index %s: no example is shown any more: %s", self.sha256[:12], error)
            gone = set(range(len(self._rows)))
        self._stamp = stamp
        for at in gone:
            self._rows[at] = None
        numbers = list(gone)
        self._vectors[numbers] = 0
        self._there[numbers] = False


def open_index(path: Path, embedders: Callable[[str], Embedder]) -> ExampleIndex:
    """The index of this file; `embedders` finds an embedder by name. Raises `ReleaseError` as `ExampleIndex` does, `ConfigError` where its
    embedder is missing.
    """
    return ExampleIndex(path, embedders(read_header(artifact.read(path)).embedder))


def _stamp(path: Path) -> tuple[int, int, int]:
    """Changes whenever the rows do: their file is replaced, never written into."""
    try:
        found = rows_path(path).stat()
    except OSError:
        return (0, 0, 0)
    return found.st_ino, found.st_mtime_ns, found.st_size


def _header(found: artifact.Artifact, embedder: Embedder) -> Header:
    header = read_header(found)
    if embedder.sha256 != header.embedder_sha256:
        raise ReleaseError(
            f"index {found.sha256[:12]} was made with embedder {header.embedder} {header.embedder_sha256[:12]}, and here it is "
            f"{embedder.sha256[:12]}: `smallfirst train {header.task} --method retrieval` makes it again; or install the version that it knew"
        )
    return header
