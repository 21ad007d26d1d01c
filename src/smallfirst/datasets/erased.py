"""Datasets that were made from calls which have since been erased."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from smallfirst.datasets.store import Dataset
from smallfirst.ledger.erasure import call_sha256
from smallfirst.ledger.ledger import Ledger
from smallfirst.ledger.queries import Queries
from smallfirst.ledger.store import FILE


def erased_calls(dataset: Dataset, queries: Queries) -> int:
    """How many of its examples come from calls that the ledger was told to forget, or were written after such: the dataset must then be removed
    and built again.
    """
    tombstones = queries.tombstones()
    return sum(is_forgotten(member.calls, tombstones) for member in dataset.members())


def is_forgotten(calls: Iterable[str], tombstones: frozenset[bytes]) -> bool:
    """Whether one of the calls was erased."""
    return bool(tombstones) and any(call_sha256(call) in tombstones for call in calls)


def tombstones_of(state: Path) -> frozenset[bytes]:
    """Of the calls that were erased; none where there is no ledger."""
    if not (state / FILE).exists():
        return frozenset()
    with Ledger.read(state) as ledger:
        return ledger.queries.tombstones()
