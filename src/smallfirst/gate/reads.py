"""Who has read a held-out part, and what the next read costs: counted in the ledger, before anything is opened.

A later version of a dataset keeps its held-out examples, and with them their `seal`, by which reads are counted: a set does not become
fresh by being built again on top of itself. Nor does it by being dealt anew: what other datasets of the task hold out of the same texts was
read with them (`kin`).
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.datasets import Dataset, Datasets
from smallfirst.datasets.members import texts_of
from smallfirst.ledger import Ledger, Notes, store
from smallfirst.statistics import spending

KIND = "heldout-read"
SHARED = 0.05
"""The share of a held-out part's texts from which on another part's reads are its own: short texts recur by themselves."""


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """The k-th read of a held-out part, and the α that it spends. `claimed`: it was paid for already, by the same comparison."""

    number: int
    alpha: float
    claimed: bool


class Reads:
    """The reads of one state directory's held-out parts."""

    def __init__(self, state: Path, *, alpha: float) -> None:
        self._state, self._alpha = state, alpha

    def made(self, *seals: str) -> list[dict[str, Any]]:
        """The reads of the held-out parts under these seals, in order: what each was for."""
        return [detail for detail in self._all() if detail["seal"] in seals]

    def kin(self, dataset: Dataset) -> frozenset[str]:
        """Other seals whose reads count as this dataset's own: they hold out more than `SHARED` of the same texts, or their datasets are gone
        and nobody can say.
        """
        mine, task = dataset.manifest, dataset.manifest.task
        datasets = Datasets(self._state)
        there = datasets.list(task)
        known = {one.manifest.seal for one in there}
        found = {detail["seal"] for detail in self._all() if detail.get("task") == task} - known
        others = [one for one in there if one.manifest.seal != mine.seal]
        texts = texts_of(dataset.members(), "heldout") if others else set()
        for one in others:
            if one.manifest.seal not in found:
                shared = texts & texts_of(datasets.open(one.id).members(), "heldout")
                if len(shared) > SHARED * len(texts):
                    found.add(one.manifest.seal)
        return frozenset(found - {mine.seal})

    def elsewhere(self, task: str, seals: Collection[str]) -> int:
        """How many reads of this task's held-out parts were made under other seals than these."""
        return sum(detail.get("task") == task and detail["seal"] not in seals for detail in self._all())

    def _all(self) -> list[dict[str, Any]]:
        if not (self._state / store.FILE).exists():
            return []
        with Ledger.read(self._state) as ledger:
            events = ledger.queries.events(kind=KIND, limit=None)
        return [event.detail for event in reversed(events)]

    def of(self, seal: str, comparison: str, *, kin: Collection[str] = ()) -> Read:
        """The read that this comparison made, or would make. The same comparison asked again is not another."""
        made = self.made(seal, *kin)
        for detail in made:
            if detail["comparison"] == comparison:
                return Read(number=detail["read"], alpha=detail["alpha"], claimed=True)
        number = len(made) + 1
        return Read(number=number, alpha=spending.spent_at(number, self._alpha), claimed=False)

    def claim(
        self, seal: str, comparison: str, detail: Mapping[str, Any], *, kin: Collection[str] = ()
    ) -> Read:
        """Makes the read this comparison's, in the ledger, and on the disk when this returns. Two gates at once get two numbers."""
        with self._locked():
            read = self.of(seal, comparison, kin=kin)
            if read.claimed:
                return read
            with Notes(self._state) as notes:
                told = {"seal": seal, "comparison": comparison}
                notes.event(KIND, {**detail, **told, "read": read.number, "alpha": read.alpha})
            return msgspec.structs.replace(read, claimed=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        folder = self._state / "gates"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder / "reads.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            # Held for one small write; a dead process's is let go by the kernel.
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)
