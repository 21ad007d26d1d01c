"""What commands write into the ledger: outcomes, events and the calls of evaluations, beside a running gateway
or without one.

Each method is one short transaction on the store: it waits for the gateway's importer where that writes just
now, and what it returned from is on the disk. A process that dies in it leaves nothing of it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from smallfirst import limits
from smallfirst.errors import StateError
from smallfirst.ledger import store
from smallfirst.ledger.erasure import call_sha256, now_ms
from smallfirst.ledger.intake import Intake
from smallfirst.ledger.opening import open_store
from smallfirst.ledger.outcomes import Kept
from smallfirst.ledger.records import Call, Event, Outcome, OutcomeKind, Record, Settlement


class Notes:
    """A state directory's ledger, open to be written by a command. A context manager; any thread may call.

    Makes the directory, and an empty ledger, where there is none. Every method raises `StateError` where the
    store cannot be written: damaged, locked for longer than five seconds, or its disk full.
    """

    def __init__(self, state: Path) -> None:
        open_store(state)
        self._lock = threading.Lock()
        with store.translated():
            self._conn = store.connect(state)
            try:
                self._intake = Intake(self._conn)
            except BaseException:
                self._conn.close()
                raise

    def __enter__(self) -> Notes:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        self._conn.close()

    def event(self, kind: str, detail: dict[str, Any], *, at_ms: int | None = None) -> None:
        """Notes something an operator did or must know. It is on the disk when this returns."""
        self._take([Event(at_ms=now_ms() if at_ms is None else at_ms, kind=kind, detail=detail)])

    def settle(self, *calls: Call) -> None:
        """Notes calls that were answered outside the gateway (origin `eval` or `replay`), attempts and costs
        included, all in one transaction.

        A call that is in the ledger already, or was erased from it, is not noted again: an evaluation that
        resumes may bring all that it has.
        """
        self._take([Settlement(call=call) for call in calls if not self._is_erased(call.id)])

    def outcome(
        self, call: str, kind: OutcomeKind, value: Any, *, source: str, at_ms: int | None = None
    ) -> bool:
        """Notes what was learned of a call's answer; False where the ledger had it already.

        Raises `StateError` where there is no such call.
        """
        told = Outcome(
            at_ms=now_ms() if at_ms is None else at_ms, call=call, kind=kind, value=value, source=source
        )
        (kept,) = self.outcomes([told])
        if kept == "unknown call":
            raise StateError(f"no call {call!r} is in the ledger; `smallfirst calls list` shows the latest")
        if kept == "too many":
            raise StateError(
                f"call {call!r} has {limits.MAX_OUTCOMES_OF_CALL} outcomes already, and takes no more"
            )
        return kept == "new"

    def outcomes(self, told: Iterable[Outcome]) -> list[Kept]:
        """Notes many outcomes in one transaction and says of each what became of it, in their order."""
        return self._take(list(told))

    def _take(self, records: Sequence[Record]) -> list[Kept]:
        if not records:
            return []
        with self._lock, store.translated():
            self._intake.take(records, None)
            return self._intake.kept

    def _is_erased(self, call: str) -> bool:
        query = "SELECT 1 FROM tombstones WHERE call_sha256 = ? AND NOT bodies_only"
        with self._lock, store.translated():
            return self._conn.execute(query, (call_sha256(call),)).fetchone() is not None
