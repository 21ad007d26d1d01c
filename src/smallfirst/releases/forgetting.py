"""Forgetting what is asked to be erased in the examples that models are shown: in every index of a state directory, also those that releases carry.

An index keeps its name (`classify/examples.py`), so that releases that carry it go on; a running gateway shows none of what was erased any more.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

import msgspec

from smallfirst.classify import artifact
from smallfirst.classify.artifact import SUFFIX
from smallfirst.classify.examples import ROWS, Row, erase_rows, read_rows
from smallfirst.classify.store import Artifacts
from smallfirst.durable import locked
from smallfirst.errors import ReleaseError
from smallfirst.ledger.erasure import Erasure, call_sha256
from smallfirst.releases.bundle import WEIGHTS

_LOCK = ".erasing.lock"


class Forgotten(msgspec.Struct, frozen=True):
    """How many different examples were erased, and the hashes of the indexes that they were in."""

    examples: int
    indexes: tuple[str, ...]


def forget_examples(state: Path, erasure: Erasure, tombstones: frozenset[bytes]) -> Forgotten:
    """Erases the examples that come from calls that the ledger has forgotten (`tombstones`: of their ids), or were written after such; from calls
    that the erasure fits; and, where it is of a tenant, all of the tenant's. Raises `ReleaseError` where an index cannot be read.
    """

    def meant(row: Row) -> bool:
        calls = {row.call, *row.after} - {""}
        if erasure.call in calls or any(call_sha256(call) in tombstones for call in calls):
            return True
        named = bool(row.call) or (erasure.tenant is not None and erasure.call is None)
        return named and erasure.fits(call=row.call, tenant=row.tenant, at_ms=row.at_ms)

    return _forget(state, meant)


def forget_named(state: Path, sha256: str, names: Collection[str]) -> Forgotten:
    """Erases the examples of these ids from one index, wherever it lies. Raises `ReleaseError` where it has none of that id."""
    path = Artifacts(state).path(sha256)
    there = {row.id for row in read_rows(path, artifact.read(path)) if row is not None}
    for name in names:
        if name not in there:
            raise ReleaseError(f"index {sha256[:12]} has no example {name!r}, so nothing was erased")
    return _forget(state, lambda row: row.id in names, only=sha256)


def _forget(state: Path, meant: Callable[[Row], bool], *, only: str = "") -> Forgotten:
    indexes = [path for path in _indexes(state) if only in ("", path.stem)]
    if not indexes:
        return Forgotten(0, ())
    seen: set[str] = set()

    def counted(row: Row) -> bool:
        found = meant(row)
        if found:
            seen.add(row.id)
        return found

    with locked(state / _LOCK):
        changed = [path.stem for path in indexes if erase_rows(path, counted)]
    return Forgotten(len(seen), tuple(dict.fromkeys(changed)))


def _indexes(state: Path) -> list[Path]:
    """Every index here: of its own, and in releases, those that are being built too."""
    rows = [
        *state.glob(f"artifacts/*{ROWS}"),
        *state.glob(f"releases/*/{WEIGHTS}/*{ROWS}"),
        *state.glob(f"releases/.*/{WEIGHTS}/*{ROWS}"),
    ]
    return [path.with_suffix(SUFFIX) for path in sorted(rows)]
