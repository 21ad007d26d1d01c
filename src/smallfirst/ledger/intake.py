"""Takes a batch of records into the store: rows, sums and the place in the journal, in one transaction, so
that each counts exactly once.

A gateway's importer and commands (`ledger/notes.py`) may take in beside one another: what one of them
remembers between two transactions (numbers of names, open intents of its own journal) the other never
changes, and all else is read inside the transaction.
"""

from __future__ import annotations

import logging
import sqlite3
import time
import zlib
from collections.abc import Sequence

import msgspec

from smallfirst.chat import Usage
from smallfirst.ledger import store
from smallfirst.ledger.erasure import Erasure, add_tombstones, only_bodies, standing
from smallfirst.ledger.names import Ids
from smallfirst.ledger.outcomes import Kept, add_outcomes
from smallfirst.ledger.records import (
    Attempt,
    Bodies,
    Call,
    Event,
    Heartbeat,
    Intent,
    Outcome,
    Record,
    Settlement,
)
from smallfirst.ledger.rollups import Rollups
from smallfirst.ledger.rows import attempt_row, call_row
from smallfirst.ledger.segment import Position

_log = logging.getLogger(__name__)
_MS_PER_DAY = 86_400_000
_ZLIB_LEVEL = 3
_CALLS_A_TURN = 32  # then whoever waits for Python's lock, the event loop, may go first
_MOST = 10**14  # tokens of an attempt, or nano-dollars (100,000 USD): ninety thousand of these still add up
_encode = msgspec.msgpack.Encoder().encode
_decode_intent = msgspec.msgpack.Decoder(Intent).decode
_json = msgspec.json.Encoder().encode


class _Batch:
    """Rows to be inserted."""

    __slots__ = ("attempts", "bodies", "calls", "events", "outcomes", "rollups", "unsaid")

    def __init__(self, ids: Ids) -> None:
        self.calls: list[tuple] = []
        self.attempts: list[tuple] = []
        self.bodies: list[tuple] = []
        self.outcomes: list[Outcome] = []
        self.events: list[tuple] = []
        self.unsaid: set[str] = set()  # calls whose bodies are not kept
        self.rollups = Rollups(ids)


class Intake:
    """The writer of calls. `last_erasure` is the number of the newest erasure that it has seen."""

    def __init__(self, conn: sqlite3.Connection) -> None:
        self._conn = conn
        self._ids = Ids(conn)
        self._open: dict[str, list[Intent]] = {}
        self._stored: set[str] = set()  # calls with rows in intents_open
        self._erasures: list[Erasure] = []
        self.last_erasure = 0
        self.kept: list[Kept] = []
        self._load()

    @property
    def position(self) -> Position:
        """Up to where the journal was taken in."""
        return Position(store.meta(self._conn, "journal_segment"), store.meta(self._conn, "journal_offset"))

    def open_intents(self) -> dict[str, list[Intent]]:
        """Intents of calls that were not settled, by call."""
        return {call: list(intents) for call, intents in self._open.items()}

    def take(self, records: Sequence[Record], position: Position | None) -> None:
        """Takes the records in, all or none, and notes the place in the journal behind them (None: they come
        from a command and lie in no journal). Raises `sqlite3.Error`; nothing has then changed, and the same
        batch can be taken again.

        A call that is settled already is not settled again, whatever brings it a second time. `kept` says
        afterwards what became of each outcome.
        """
        try:
            with store.transaction(self._conn):
                self._take(records)
                if position is not None:
                    store.set_meta(self._conn, "journal_segment", position.segment)
                    store.set_meta(self._conn, "journal_offset", position.offset)
        except BaseException:
            self._ids.clear()
            self._load()
            raise

    def _load(self) -> None:
        """What the store holds of open intents: the state in memory is theirs again."""
        self._open.clear()
        for call, record in self._conn.execute("SELECT call, record FROM intents_open ORDER BY call, seq"):
            self._open.setdefault(call, []).append(_decode_intent(record))
        self._stored = set(self._open)

    def _take(self, records: Sequence[Record]) -> None:
        conn = self._conn
        self._erasures = standing(conn)
        self.last_erasure = conn.execute("SELECT coalesce(max(n), 0) FROM erasures").fetchone()[0]
        settled = self._settled_before(records)
        n = store.meta(conn, "calls_n")
        batch, fresh = _Batch(self._ids), set()
        for index, record in enumerate(records):
            if isinstance(record, Settlement):
                intents = self._open.pop(record.call.id, [])
                if record.call.id not in settled:
                    settled.add(record.call.id)
                    n += 1
                    self._settle(batch, n, bounded(with_unaccounted(record.call, intents)))
            elif isinstance(record, Intent):
                if record.call not in settled:
                    self._open.setdefault(record.call, []).append(record)
                    fresh.add(record.call)
            else:
                self._note(batch, record)
            if index % _CALLS_A_TURN == 0:
                _give_way()
        self._write(batch, fresh, n)

    def _settle(self, batch: _Batch, n: int, call: Call) -> None:
        batch.rollups.add_call(call)
        erasure = self._erasure(call.id, call.tenant, call.at_ms)
        if erasure is not None and not erasure.bodies_only:
            add_tombstones(self._conn, [call.id], erasure)
            return
        if self._answers_what_was_erased(batch, call):
            return
        batch.calls.append(call_row(n, call, self._ids))
        for attempt in call.attempts:
            batch.attempts.append(attempt_row(n, attempt, self._ids))

    def _answers_what_was_erased(self, batch: _Batch, call: Call) -> bool:
        """Whether the call answered one again that has been erased since: then it is erased, too, or what was
        said in it is.
        """
        of = call.decision.get("of")
        only = only_bodies(self._conn, of) if isinstance(of, str) else None
        if only is None:
            return False
        batch.unsaid.add(call.id)
        erasure = Erasure(at_ms=call.at_ms, call=call.id, bodies_only=only)
        add_tombstones(self._conn, [call.id], erasure)
        return not only

    def _note(self, batch: _Batch, record: Bodies | Event | Heartbeat | Outcome) -> None:
        match record:
            case Bodies():
                erasure = self._erasure(record.call, record.tenant, record.at_ms)
                if erasure is not None:
                    add_tombstones(self._conn, [record.call], erasure)
                elif only_bodies(self._conn, record.call) is None:
                    batch.bodies.append(self._bodies_row(record))
            case Outcome():
                batch.outcomes.append(record)
            case Event():
                batch.events.append((None, record.at_ms, record.kind, _json(record.detail).decode()))
            case Heartbeat():
                batch.rollups.add_heartbeat(record)

    def _bodies_row(self, bodies: Bodies) -> tuple:
        expires_ms = bodies.at_ms + bodies.keep_days * _MS_PER_DAY
        request, answer = (
            zlib.compress(bodies.request, _ZLIB_LEVEL),
            zlib.compress(bodies.answer, _ZLIB_LEVEL),
        )
        return (
            bodies.call,
            bodies.at_ms,
            expires_ms,
            self._ids[bodies.tenant],
            self._ids[bodies.task],
            request,
            answer,
        )

    def _erasure(self, call: str, tenant: str, at_ms: int) -> Erasure | None:
        """The erasure that forbids to store this; the strictest where there are several."""
        found = [erasure for erasure in self._erasures if erasure.fits(call=call, tenant=tenant, at_ms=at_ms)]
        return min(found, key=lambda erasure: erasure.bodies_only, default=None)

    def _settled_before(self, records: Sequence[Record]) -> set[str]:
        calls = {record.call.id for record in records if isinstance(record, Settlement)}
        calls |= {record.call for record in records if isinstance(record, Intent)}
        ids = _json(list(calls)).decode()
        return {
            row[0]
            for row in self._conn.execute(
                "SELECT id FROM calls WHERE id IN (SELECT value FROM json_each(?))", (ids,)
            )
        }

    def _write(self, batch: _Batch, fresh: set[str], n: int) -> None:
        conn = self._conn
        for table in ("calls", "attempts", "events"):
            store.insert(conn, table, getattr(batch, table))
            _give_way()
        self.kept = add_outcomes(conn, batch.outcomes)
        said = [row for row in batch.bodies if row[0] not in batch.unsaid]
        store.insert(conn, "bodies", said, conflict="ON CONFLICT (call) DO NOTHING")
        if batch.unsaid:
            ids = _json(list(batch.unsaid)).decode()
            conn.execute("DELETE FROM bodies WHERE call IN (SELECT value FROM json_each(?))", (ids,))
        batch.rollups.write(conn, _give_way)
        closed = [call for call in self._stored if call not in self._open]
        if closed:
            conn.execute(
                "DELETE FROM intents_open WHERE call IN (SELECT value FROM json_each(?))",
                (_json(closed).decode(),),
            )
        rows = [(call, intent.seq, _encode(intent)) for call in fresh for intent in self._open.get(call, ())]
        store.insert(conn, "intents_open", rows, conflict="ON CONFLICT (call, seq) DO NOTHING")
        store.set_meta(conn, "calls_n", n)
        self._stored = set(self._open)


def with_unaccounted(call: Call, intents: list[Intent]) -> Call:
    """The call with every announced attempt accounted for: one that its settlement does not name was lost,
    and costs what was reserved.
    """
    if len(intents) <= len(call.attempts):
        return call
    known = {attempt.seq for attempt in call.attempts}
    lost = [lost_attempt(intent) for intent in intents if intent.seq not in known]
    attempts = tuple(sorted((*call.attempts, *lost), key=lambda attempt: attempt.seq))
    costs = [attempt.cost_nusd for attempt in attempts]
    total = None if None in costs else sum(cost for cost in costs if cost is not None)
    return msgspec.structs.replace(call, attempts=attempts, cost_nusd=total)


def bounded(call: Call) -> Call:
    """The call with figures that can be added up: what no upstream can mean is cut, and logged, so that one
    absurd answer cannot stop the ledger.
    """
    if all(_is_plausible(attempt) for attempt in call.attempts):
        return call
    _log.error("call %s reports figures that cannot be; they are cut to %d", call.id, _MOST)
    attempts = tuple(_cut(attempt) for attempt in call.attempts)
    cost_nusd = None if call.cost_nusd is None else min(call.cost_nusd, _MOST)
    return msgspec.structs.replace(call, attempts=attempts, cost_nusd=cost_nusd)


def _is_plausible(attempt: Attempt) -> bool:
    usage = attempt.usage
    most_nusd = max(attempt.cost_nusd or 0, abs(attempt.prompt_cache_saved_nusd))
    return usage.prompt_tokens + usage.completion_tokens <= _MOST and most_nusd <= _MOST


def _cut(attempt: Attempt) -> Attempt:
    tokens = [min(getattr(attempt.usage, name), _MOST) for name in Usage.__struct_fields__]
    cost_nusd = None if attempt.cost_nusd is None else min(attempt.cost_nusd, _MOST)
    saved_nusd = max(-_MOST, min(attempt.prompt_cache_saved_nusd, _MOST))
    return msgspec.structs.replace(
        attempt, usage=Usage(*tokens), cost_nusd=cost_nusd, prompt_cache_saved_nusd=saved_nusd
    )


def lost_attempt(intent: Intent) -> Attempt:
    """An attempt of which only its announcement is known, at what was reserved for it."""
    return Attempt(
        seq=intent.seq,
        kind=intent.kind,
        rung=intent.rung,
        model=intent.model,
        provider=intent.provider,
        status="lost",
        started_ms=0.0,
        latency_ms=0.0,
        reason="announced, and never settled",
        usage=intent.reserved_usage,
        usage_source="estimated",
        price_version=intent.price_version,
        cost_nusd=intent.reserved_nusd,
        simulated=intent.simulated,
        frontier=intent.frontier,
    )


def _give_way() -> None:
    """Lets go of Python's lock for a moment."""
    time.sleep(0)
