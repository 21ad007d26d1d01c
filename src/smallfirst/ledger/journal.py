"""Appends records so that they survive the death of the process, and never takes on what it could not finish
recording.

One `pwrite` a record: what the kernel has, kill -9 cannot take. A power cut costs at most what came since the
last `sync` (once a second).

*Room.* Segments are allocated on the disk before they are used. For each admitted call (one whose intent was
appended and whose settlement was not) the journal keeps room for its settlement, so that a disk that fills up
meanwhile loses none. An intent that would find no such room is refused (`LedgerUnavailable`), and so is every
intent while more than `max_unimported_bytes` wait to be imported: pushed back, never discarded.
"""

from __future__ import annotations

import errno
import logging
import os
import threading
from collections import deque
from pathlib import Path

from smallfirst import limits
from smallfirst.errors import LedgerUnavailable, StateError
from smallfirst.ledger import frames
from smallfirst.ledger.records import Bodies, Event, Heartbeat, Intent, Outcome, Settlement
from smallfirst.ledger.segment import HEADER_BYTES, Extent, Position, Segment, extents_of, is_full
from smallfirst.ledger.trim import trimmed, trimmed_intent

_log = logging.getLogger(__name__)
_KEPT = limits.JOURNAL_SETTLEMENT_BYTES
_INTENTS_PER_KEPT = 8  # a trimmed settlement holds this many attempts, each below two kilobytes
_MAX_INTENT_BYTES = 1536  # of one that is trimmed: then its settlement fits its room, names and all
_MAX_KEPT = 12
_MAX_INTENTS = _MAX_KEPT * _INTENTS_PER_KEPT - 1  # of a call; eight rungs of ten attempts each make eighty
_WASTE = _MAX_KEPT * _KEPT  # no trimmed settlement is larger: no segment leaves more than this at its end
_SMALLEST_SEGMENT_BYTES = 2 * _WASTE
_RETRY_AFTER_S = 1.0


class Journal:
    """The writing end of a directory of segments. Any thread may append; `Ledger` sees to it that there is
    one journal a directory.
    """

    def __init__(
        self, directory: Path, first: Segment, *, segment_bytes: int, max_unimported_bytes: int
    ) -> None:
        self._directory = directory
        self._segment_bytes = segment_bytes
        self._max_unimported_bytes = max_unimported_bytes
        self._lock = threading.Lock()
        self._current = first
        self._past: list[Segment] = []
        self._spares: deque[Segment] = deque()
        self._spare_room = 0
        self._next_number = first.number + 1
        self._intents: dict[str, int] = {}
        self._kept_bytes = 0
        self._held: deque[tuple[str, bytes]] = deque()
        self._written_bytes = 0
        self._imported_bytes = 0
        self._closed = False
        self._listed = False  # whether the directory's entries are on the disk
        self.dropped_bodies = 0

    @classmethod
    def open(
        cls,
        directory: Path,
        *,
        after: int = 0,
        segment_bytes: int = limits.JOURNAL_SEGMENT_BYTES,
        max_unimported_bytes: int = limits.JOURNAL_MAX_UNIMPORTED_BYTES,
    ) -> Journal:
        """A journal that begins a new segment, numbered above `after` and above all that lie there.

        Raises `StateError` where the disk has no room for it.
        """
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        number = max([after, *(extent.number for extent in extents_of(directory))]) + 1
        first = _allocated(directory, number, segment_bytes)
        if first is None:
            raise StateError(f"the disk that holds {directory} is full: the ledger's journal has no room")
        return cls(directory, first, segment_bytes=segment_bytes, max_unimported_bytes=max_unimported_bytes)

    # Appending.

    def append_intent(self, intent: Intent) -> None:
        """Written before an attempt is sent. Raises `LedgerUnavailable`; the attempt must then not be
        made.
        """
        data = frames.frame(intent)
        if len(data) > _MAX_INTENT_BYTES:
            data = frames.frame(trimmed_intent(intent))
        if len(data) > _MAX_INTENT_BYTES:
            raise _unavailable("its names are too long")
        with self._lock:
            self._flush_held()
            if self._held or self._closed:
                raise _unavailable("its journal cannot be written")
            if self._written_bytes - self._imported_bytes > self._max_unimported_bytes:
                raise _unavailable("its journal waits to be imported")
            known = self._intents.get(intent.call, 0)
            if known == _MAX_INTENTS:
                raise _unavailable(f"it has made {known} attempts")
            more = _kept(known + 1) - _kept(known)
            if not self._make_room(len(data), self._kept_bytes + more):
                raise _unavailable("the disk is full")
            if not self._try_put(data):
                raise _unavailable("its journal cannot be written")
            self._intents[intent.call] = known + 1
            self._kept_bytes += more

    def append_settlement(self, settlement: Settlement) -> None:
        """Written before a call's last byte goes out. An admitted call's settlement is always taken: its room
        was kept.

        One that is larger than its room on a full disk loses its texts (decision, reasons), never its
        figures. Where the disk fails although the room was allocated, it is held in memory, written as soon
        as that is possible, and no new call is admitted until then. Raises `LedgerUnavailable` only for a
        call that was never admitted (it made no attempt) and finds no room.
        """
        call = settlement.call
        data = frames.frame(settlement)
        with self._lock:
            if self._closed:
                raise _unavailable("its journal is closed")
            self._flush_held()
            kept = _kept(self._intents.get(call.id, 0))
            roomy = len(data) <= kept or (
                not self._held and self._make_room(len(data), self._kept_bytes - kept)
            )
            if not roomy and not kept:
                raise _unavailable("the disk is full")
            if not roomy:
                data = frames.frame(trimmed(settlement))
            if not self._held and self._try_put(data):
                self._release(call.id)
                return
            if not kept:
                raise _unavailable("its journal cannot be written")
            _log.critical(
                "the settlement of call %s is held in memory until the journal can be written", call.id
            )
            fits = len(data) <= kept
            self._held.append((call.id, data if fits else frames.frame(trimmed(settlement))))

    def append(self, record: Bodies | Event | Heartbeat | Outcome) -> bool:
        """Written where there is room beside what is kept for settlements.

        Bodies that find none are left out and counted: False. Anything else then raises `LedgerUnavailable`.
        """
        data = frames.frame(record)
        with self._lock:
            open_ = not self._held and not self._closed
            if open_ and self._make_room(len(data), self._kept_bytes) and self._try_put(data):
                return True
        if not isinstance(record, Bodies):
            raise _unavailable("the disk is full")
        self.dropped_bodies += 1
        return False

    # Keeping.

    def sync(self) -> None:
        """Everything appended before survives a power cut afterwards."""
        with self._lock:
            if self._closed:
                return
            self._flush_held()
            segments = [*self._past, self._current]
            listed, self._listed = self._listed, True
        if not listed:
            _sync_directory(self._directory)
        for segment in segments:
            segment.sync()

    def prepare(self) -> None:
        """Allocates the next segment before it is needed: off the event loop, where that takes its time."""
        with self._lock:
            if self._spares or self._closed:
                return
            number = self._next_number
            self._next_number += 1
        spare = _allocated(self._directory, number, self._segment_bytes)
        if spare is None:
            return
        with self._lock:
            if (
                self._closed
                or (self._spares and self._spares[0].number > number)
                or self._current.number > number
            ):
                spare.remove()  # appends made their own meanwhile; numbers must be used in order
                return
            self._keep(spare)

    def rotate(self) -> None:
        """Ends the current segment, so that it is deleted as soon as it is imported (after an erasure)."""
        with self._lock:
            if (
                self._current.position == HEADER_BYTES
                or self._closed
                or not (self._spares or self._add_spare())
            ):
                return
            if self._spare_room >= self._kept_bytes:
                self._advance()

    def extents(self) -> list[Extent]:
        """What may be imported now, in order."""
        with self._lock:
            return [segment.extent() for segment in (*self._past, self._current)]

    def imported(self, position: Position, byte_count: int) -> None:
        """The store has everything before `position`, `byte_count` more than before: segments that are done
        with are deleted.
        """
        with self._lock:
            self._imported_bytes += byte_count
            done = [segment for segment in self._past if segment.number < position.segment]
            self._past = [segment for segment in self._past if segment.number >= position.segment]
        for segment in done:
            segment.remove()

    def close(self) -> None:
        """Syncs and closes. What was imported is deleted; what was not stays for the next start."""
        self.sync()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            done = self._written_bytes == self._imported_bytes and not self._held
            for segment in self._spares:
                segment.remove()
            for segment in (*self._past, self._current):
                if done:
                    segment.remove()
                else:
                    segment.close()
        if self._held:
            _log.critical(
                "%d settlements could not be written; their calls will be settled at their reservations",
                len(self._held),
            )

    @property
    def unimported_bytes(self) -> int:
        return self._written_bytes - self._imported_bytes

    @property
    def admitted(self) -> int:
        """Calls with an intent and no settlement yet."""
        return len(self._intents)

    @property
    def healthy(self) -> bool:
        """Whether everything that was appended is in the hands of the kernel."""
        return not self._held

    # Inside the lock.

    def _try_put(self, data: bytes) -> bool:
        try:
            self._put(data)
        except OSError as error:
            _log.error("the journal cannot be written: %s", error)
            return False
        return True

    def _put(self, data: bytes) -> None:
        if len(data) > self._current.free:
            if not self._spares:
                raise OSError(errno.ENOSPC, "no room in the journal")
            self._advance()
        self._current.write(data)
        self._written_bytes += len(data)

    def _advance(self) -> None:
        spare = self._spares.popleft()
        self._spare_room -= _room(spare.size - HEADER_BYTES)
        self._past.append(self._current)
        self._current = spare

    def _make_room(self, size: int, kept_bytes: int) -> bool:
        """Sees to it that a frame of `size` can be put and `kept_bytes` of settlements still find room after
        it.
        """
        while self._room_after(size) < kept_bytes:
            too_small = self._spares and size > max(self._current.free, self._spares[0].size - HEADER_BYTES)
            if too_small or not self._add_spare():
                return False
        return True

    def _room_after(self, size: int) -> int:
        """How many bytes of settlements surely find room once a frame of `size` is put; negative where it
        cannot be.
        """
        free = self._current.free
        if size <= free:
            return _room(free - size) + self._spare_room
        if not self._spares:
            return -1
        capacity = self._spares[0].size - HEADER_BYTES
        return -1 if size > capacity else _room(capacity - size) + self._spare_room - _room(capacity)

    def _add_spare(self) -> bool:
        spare = _allocated(self._directory, self._next_number, self._segment_bytes)
        if spare is None:
            return False
        self._next_number += 1
        self._keep(spare)
        return True

    def _keep(self, spare: Segment) -> None:
        self._spares.append(spare)
        self._spare_room += _room(spare.size - HEADER_BYTES)
        self._listed = False

    def _flush_held(self) -> None:
        while self._held:
            call, data = self._held[0]
            try:
                self._put(data)
            except OSError:
                return
            self._held.popleft()
            self._release(call)

    def _release(self, call: str) -> None:
        self._kept_bytes -= _kept(self._intents.pop(call, 0))


def _kept(intents: int) -> int:
    """Bytes kept for the settlement of a call that has announced so many attempts."""
    return 0 if intents == 0 else _KEPT * (1 + intents // _INTENTS_PER_KEPT)


def _room(free: int) -> int:
    """What of `free` bytes surely takes settlements: one that does not fit goes to the next segment and
    leaves less than its size.
    """
    return max(0, free - _WASTE)


def _allocated(directory: Path, number: int, size: int) -> Segment | None:
    """A segment of `size`, or as much of it as the disk still has; None where that is too little."""
    while True:
        try:
            return Segment.create(directory, number, size)
        except OSError as error:
            if not is_full(error):
                _log.error("a journal segment cannot be made: %s", error)
                return None
        if size <= _SMALLEST_SEGMENT_BYTES:
            return None
        size = max(size // 4, _SMALLEST_SEGMENT_BYTES)


def _sync_directory(directory: Path) -> None:
    fd = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _unavailable(why: str) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the ledger cannot record this call ({why}), so it is not made; ask again",
        retry_after_s=_RETRY_AFTER_S,
    )
