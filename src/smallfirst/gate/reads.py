"""Who has read a held-out part, and what the next read costs: counted in the ledger, before anything is opened.

A later version of a dataset keeps its held-out examples, and with them their `seal`, by which reads are counted: a set does not become
fresh by being built again on top of itself.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.ledger import Ledger, Notes, store
from smallfirst.statistics import spending

KIND = "heldout-read"


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """The k-th read of a held-out part, and the α that it spends. `claimed`: it was paid for already, by the same comparison."""

    number: int
    alpha: float
    claimed: bool


class Reads:
    """The reads of one state directory's held-out parts."""

    def __init__(self, state: Path, *, alpha: float) -> None:
        self._state, self._alpha = state, alpha

    def made(self, seal: str) -> list[dict[str, Any]]:
        """The reads of the held-out parts under this seal, in order: what each was for."""
        if not (self._state / store.FILE).exists():
            return []
        with Ledger.read(self._state) as ledger:
            events = ledger.queries.events(kind=KIND, limit=None)
        return [event.detail for event in reversed(events) if event.detail["seal"] == seal]

    def of(self, seal: str, comparison: str) -> Read:
        """The read that this comparison made, or would make. The same comparison asked again is not another."""
        made = self.made(seal)
        for detail in made:
            if detail["comparison"] == comparison:
                return Read(number=detail["read"], alpha=detail["alpha"], claimed=True)
        number = len(made) + 1
        return Read(number=number, alpha=spending.spent_at(number, self._alpha), claimed=False)

    def claim(self, seal: str, comparison: str, detail: Mapping[str, Any]) -> Read:
        """Makes the read this comparison's, in the ledger, and on the disk when this returns. Two gates at once get two numbers."""
        with self._locked():
            read = self.of(seal, comparison)
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
