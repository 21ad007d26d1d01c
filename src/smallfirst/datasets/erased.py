"""Datasets that were made from calls which have since been erased."""

from __future__ import annotations

from smallfirst.datasets.store import Dataset
from smallfirst.ledger.erasure import call_sha256
from smallfirst.ledger.queries import Queries


def erased_calls(dataset: Dataset, queries: Queries) -> int:
    """How many of its examples come from calls that the ledger was told to forget: the dataset must then be removed and built again."""
    tombstones = queries.tombstones()
    if not tombstones:
        return 0
    return sum(call_sha256(member.call) in tombstones for member in dataset.members() if member.call)
