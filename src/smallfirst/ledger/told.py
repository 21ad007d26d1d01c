"""What somebody tells of calls' answers, row by row: read, checked, and found the call that each row is about.

A row says `call` (an id) or `key` (what its client called it, `x-smallfirst-key`), `kind`, `value`, and may say
`source` (who found it out), `at` (when) and `task` (which of several calls of one key is meant). A row that is
wrong is refused by itself, with the field and why; the others are taken.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, get_args

import msgspec

from smallfirst import limits
from smallfirst.ledger.erasure import now_ms
from smallfirst.ledger.outcomes import Kept
from smallfirst.ledger.queries import NamedCall, Queries
from smallfirst.ledger.records import ASIDE, Outcome, OutcomeKind
from smallfirst.wire.depth import deeper_than

KINDS: tuple[str, ...] = get_args(OutcomeKind)
_UNKNOWN = "no such call is in the ledger"
FIELDS = ("call", "key", "task", "kind", "value", "source", "at")
_AHEAD_MS = 300_000  # how far another clock may be ahead of this one
_THUMBS = {"up": True, "down": False, 1: True, 0: False, -1: False}


class RowRefused(ValueError):
    """A row that is not taken, and because of which field."""

    def __init__(self, field: str, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field = field
        self.why = why


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """One row, checked. Of `call` and `key` one is empty."""

    kind: OutcomeKind
    value: Any
    source: str
    call: str = ""
    key: str = ""
    task: str = ""
    at_ms: int | None = None  # None: now


class RowResult(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What became of the row with this number, counted from 0."""

    row: int
    status: str  # "new", "repeated" or "refused"
    call: str = ""
    field: str = ""
    message: str = ""


def read_all(rows: Iterable[Any], *, source: str) -> list[Told | RowRefused]:
    """Rows as they were sent or stood in a file, each read or refused; one that is a `RowRefused` stays so."""
    at_ms = now_ms()
    read: list[Told | RowRefused] = []
    for row in rows:
        try:
            read.append(row if isinstance(row, RowRefused) else read_told(row, source=source, at_ms=at_ms))
        except RowRefused as refused:
            read.append(refused)
    return read


def read_told(row: Any, *, source: str, at_ms: int) -> Told:
    """A row as it was sent or stood in a file. `source` is what it has that names none, `at_ms` what
    time it is.

    Raises `RowRefused`.
    """
    if not isinstance(row, dict):
        raise RowRefused("row", "expected an object with call or key, kind and value")
    strange = [name for name in row if name not in FIELDS]
    if strange:
        raise RowRefused(str(strange[0])[:64], f"not a field of an outcome; those are {', '.join(FIELDS)}")
    call, key = _text(row, "call", 64), _text(row, "key", limits.MAX_HEADER_VALUE_CHARS)
    if bool(call) == bool(key):
        raise RowRefused("call", "expected either call (an id) or key (what the client called it)")
    kind = row.get("kind")
    if kind not in KINDS:
        raise RowRefused("kind", f"expected one of {', '.join(KINDS)}")
    return Told(
        kind=kind,
        value=_value(kind, row.get("value")),
        source=_source(row) or source,
        call=call,
        key=key,
        task=_text(row, "task", 128),
        at_ms=_at(row.get("at"), at_ms),
    )


def note_told(
    rows: Sequence[Told | RowRefused],
    *,
    queries: Queries,
    note: Callable[[list[Outcome]], list[Kept]],
    wait: Callable[[], object],
    tenant: str | None = None,
) -> list[RowResult]:
    """Finds each row's call, among those of `tenant` where it is given, and notes the outcomes together.

    A call of another tenant is as unknown as one that never was. `wait` is called once where a call is not found: it may just not be in the
    store yet. Raises `StateError`.
    """
    found = _find(rows, queries, tenant)
    if any(isinstance(call, RowRefused) and call.why == _UNKNOWN for call in found):
        wait()
        found = _find(rows, queries, tenant)
    at_ms = now_ms()
    outcomes = [
        Outcome(
            at_ms=at_ms if row.at_ms is None else row.at_ms,
            call=call,
            kind=row.kind,
            value=row.value,
            source=row.source,
        )
        for row, call in zip(rows, found, strict=True)
        if isinstance(row, Told) and isinstance(call, str)
    ]
    kept = iter(note(outcomes))
    return [_result(number, call, kept) for number, call in enumerate(found)]


def _find(rows: Sequence[Told | RowRefused], queries: Queries, tenant: str | None) -> list[str | RowRefused]:
    """Of each row the id of its call, or why there is none."""
    told = [row for row in rows if isinstance(row, Told)]
    ids = [row.call for row in told if row.call]
    keys = [row.key for row in told if row.key]
    by_id = {call.id: call for call in queries.calls_by_id(ids, tenant=tenant)}
    by_key: dict[str, list[NamedCall]] = {}
    for call in queries.calls_by_client_key(keys, tenant=tenant):
        by_key.setdefault(call.client_key, []).append(call)
    found: list[str | RowRefused] = []
    for row in rows:
        try:
            found.append(row if isinstance(row, RowRefused) else _call_of(row, by_id, by_key))
        except RowRefused as refused:
            found.append(refused)
    return found


def _result(number: int, call: str | RowRefused, kept: Iterator[Kept]) -> RowResult:
    if isinstance(call, RowRefused):
        return RowResult(row=number, status="refused", field=call.field, message=call.why)
    status = next(kept)
    if status == "unknown call":  # erased in this moment
        return RowResult(row=number, status="refused", field="call", message=_UNKNOWN)
    if status == "too many":
        why = f"it has {limits.MAX_OUTCOMES_OF_CALL} outcomes already, and takes no more"
        return RowResult(row=number, status="refused", field="call", message=why)
    return RowResult(row=number, status=status, call=call)


def _call_of(row: Told, by_id: dict[str, NamedCall], by_key: dict[str, list[NamedCall]]) -> str:
    """The id of the row's call. Of several calls with one key the latest is meant, but not across tasks."""
    if row.call:
        call = by_id.get(row.call)
        if call is None or row.task not in ("", call.task):
            raise RowRefused("call", _UNKNOWN)
        return call.id
    calls = [call for call in by_key.get(row.key, ()) if row.task in ("", call.task)]
    if not calls:
        raise RowRefused("key", _UNKNOWN)
    if len({call.tenant for call in calls}) > 1:
        raise RowRefused("key", "calls of several tenants have this key: say which tenant")
    tasks = sorted({call.task or "none" for call in calls})
    if len(tasks) > 1:
        raise RowRefused("task", f"calls of several tasks have this key ({', '.join(tasks)}): say which")
    return calls[0].id


def _text(row: dict[str, Any], field: str, most_chars: int) -> str:
    value = row.get(field)
    if value is None:
        return ""
    if not isinstance(value, str) or len(value) > most_chars:
        raise RowRefused(field, f"expected a text of at most {most_chars} characters")
    return value


def _source(row: dict[str, Any]) -> str:
    source = _text(row, "source", limits.MAX_OUTCOME_SOURCE_CHARS)
    if source in ASIDE:
        raise RowRefused("source", f"{source!r} is what smallfirst itself writes: name another")
    return source


def _value(kind: str, value: Any) -> Any:
    """The value as it is kept: a number for scores, true or false for thumbs, what was right for labels."""
    if kind in ("score", "judge"):
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            raise RowRefused("value", f"a {kind} is a number from 0 to 1")
        return float(value)
    if kind == "thumbs":
        thumb = value if isinstance(value, bool) else _THUMBS.get(value) if _is_plain(value) else None
        if thumb is None:
            raise RowRefused("value", 'thumbs are "up" or "down", true or false, 1 or -1')
        return thumb
    if kind == "bad-hit":
        if value not in (None, True):
            raise RowRefused("value", "a bad hit has no value, or true")
        return True
    return _label(value)


def _is_plain(value: Any) -> bool:
    return isinstance(value, str | int | float)


def _label(value: Any) -> Any:
    if value is None or value == "":
        raise RowRefused("value", "a label says what would have been right: a text, a list or an object")
    written = msgspec.json.encode(value)
    if deeper_than(written, limits.MAX_JSON_DEPTH):
        raise RowRefused("value", f"nested more than {limits.MAX_JSON_DEPTH} deep")
    if len(written) > limits.MAX_OUTCOME_VALUE_BYTES:
        raise RowRefused("value", f"{len(written)} bytes of JSON, more than {limits.MAX_OUTCOME_VALUE_BYTES}")
    return value


def _at(value: Any, now_ms: int) -> int | None:
    """A moment as ISO 8601 (UTC where it names no zone) or Unix milliseconds."""
    if value is None or value == "":
        return None
    at_ms = value
    if isinstance(value, str):
        try:
            moment = datetime.datetime.fromisoformat(value)
        except ValueError:
            raise RowRefused(
                "at", "expected a moment as 2026-12-31T12:00:00Z, or Unix milliseconds"
            ) from None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=datetime.UTC)
        at_ms = int(moment.timestamp() * 1000)
    if isinstance(at_ms, bool) or not isinstance(at_ms, int) or at_ms < 0:
        raise RowRefused("at", "expected a moment as 2026-12-31T12:00:00Z, or Unix milliseconds")
    if at_ms > now_ms + _AHEAD_MS:
        raise RowRefused("at", "lies in the future")
    return at_ms
