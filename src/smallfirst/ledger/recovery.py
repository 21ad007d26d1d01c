"""What is done about a gateway that died: its journal is imported, and calls that it left open are settled at
what was reserved.
"""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec

from smallfirst import limits
from smallfirst.errors import StateError
from smallfirst.ledger import frames, segment
from smallfirst.ledger.erasure import now_ms
from smallfirst.ledger.frames import PREFIX_BYTES
from smallfirst.ledger.intake import Intake, lost_attempt
from smallfirst.ledger.records import Call, Event, Intent, Record, Settlement
from smallfirst.ledger.segment import HEADER_BYTES, Extent, Position, extents_of

_log = logging.getLogger(__name__)


def recover(intake: Intake, directory: Path) -> Position:
    """Imports and deletes the segments that a dead journal left, then settles every open call as lost.

    Nobody may be writing to the journal. Returns the position behind everything. Raises `sqlite3.Error` and
    `StateError`; what was done by then holds, and doing it again goes on from there.
    """
    position = intake.position
    for extent in extents_of(directory) if directory.exists() else ():
        if extent.number >= position.segment:
            position = _import_whole(intake, extent, position)
        extent.path.unlink()
    _settle_open(intake, position)
    return position


def _import_whole(intake: Intake, extent: Extent, position: Position) -> Position:
    at = position.offset if extent.number == position.segment else HEADER_BYTES
    at = max(at, HEADER_BYTES)
    while True:
        found = segment.read(extent, at, most=limits.IMPORT_BATCH_RECORDS)
        if found.payloads:
            at = found.end
            intake.take([_record(payload, extent) for payload in found.payloads], Position(extent.number, at))
        elif found.damaged and (behind := _behind_damage(extent, at)):
            _log.error("a record in %s at byte %d is damaged and was left out", extent.path.name, at)
            at = behind
        else:
            if found.damaged:
                _log.warning("%s ends in a record that was never finished, at byte %d", extent.path.name, at)
            return Position(extent.number, at)


def _behind_damage(extent: Extent, at: int) -> int | None:
    """Where the next whole record lies, if a damaged one still tells its length: a dying process leaves none,
    a failing disk may.
    """
    with extent.path.open("rb") as file:
        file.seek(at)
        length = int.from_bytes(file.read(4), "little")
    behind = at + PREFIX_BYTES + length
    if behind < extent.end and segment.read(extent, behind, most=1).payloads:
        return behind
    return None


def _record(payload: bytes, extent: Extent) -> Record:
    try:
        return frames.record(payload)
    except msgspec.DecodeError as error:
        raise StateError(
            f"{extent.path} holds a record that this version of smallfirst cannot read ({error}); "
            "it was left as it is"
        ) from error


def _settle_open(intake: Intake, position: Position) -> None:
    lost = [Settlement(call=lost_call(intents)) for intents in intake.open_intents().values()]
    if lost:
        detail = {"calls": len(lost), "reserved_nusd": sum(settled.call.cost_nusd or 0 for settled in lost)}
        intake.take([*lost, Event(at_ms=now_ms(), kind="recovered", detail=detail)], position)
        _log.warning(
            "%d calls were under way when the last gateway died; each is settled at its reservation",
            len(lost),
        )


def lost_call(intents: list[Intent]) -> Call:
    """The settlement of a call whose process died: every attempt that was announced, at its reservation, as
    an estimate.
    """
    first, last = intents[0], intents[-1]
    costs = [intent.reserved_nusd for intent in intents]
    return Call(
        id=first.call,
        at_ms=first.at_ms,
        tenant=first.tenant,
        key=first.key,
        status="lost",
        http_status=0,
        dialect=first.dialect,
        route=first.route,
        attempts=tuple(lost_attempt(intent) for intent in intents),
        task=first.task,
        origin=first.origin,
        asked_model=first.asked_model,
        rung=last.rung,
        release=first.release,
        policy=first.policy,
        cost_nusd=None if None in costs else sum(cost for cost in costs if cost is not None),
        prompt_bytes=first.prompt_bytes,
        error="lost",
    )
