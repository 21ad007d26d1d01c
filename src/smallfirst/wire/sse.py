"""Server-sent events: bytes to events and back, by the rules of the WHATWG's HTML standard, section 9.2.

Everything stays bytes: an event's data is never decoded here, so that UTF-8 that was split across chunks cannot be broken.
"""

from __future__ import annotations

import msgspec

from smallfirst import limits
from smallfirst.errors import UpstreamBroken

_BOM = b"\xef\xbb\xbf"


class SseEvent(msgspec.Struct, frozen=True):
    """One dispatched event. `raw` is what it was, to the byte, with its blank line; `event` is empty for the default type."""

    data: bytes
    event: str
    raw: bytes


class SseDecoder:
    """Feed it chunks, however the bytes were split; it gives the events that they complete.

    An event that its stream ends in the middle of is not dispatched; `torn` says that there was one. Raises `UpstreamBroken` for an
    event of more than `MAX_SSE_EVENT_BYTES`.
    """

    __slots__ = ("_bytes_held", "_held", "_started", "torn")

    def __init__(self) -> None:
        self._held: list[bytes] = []  # what has come of the event that is not yet complete
        self._bytes_held = 0
        self._started = False
        self.torn = False

    def feed(self, chunk: bytes) -> list[SseEvent]:
        """The events that this chunk completes."""
        held = self._held
        if not chunk:
            return []
        if held:
            held.append(chunk)
            self._bytes_held += len(chunk)
            # A long event that comes in many chunks is joined once, not at each of them.
            if self._started and b"\n" not in chunk and b"\r" not in chunk and not held[-2].endswith(b"\r"):
                self._check(self._bytes_held)
                return []
            buffer = b"".join(held)
        else:
            buffer = chunk
        if not self._started:
            if len(buffer) < len(_BOM) and _BOM.startswith(buffer):
                self._hold(buffer)
                return []
            buffer = buffer.removeprefix(_BOM)
            self._started = True
        if b"\r" in buffer:
            events: list[SseEvent] = []
            rest = _split(buffer, events, last=False)
        else:
            pieces = buffer.split(b"\n\n")
            rest = pieces.pop()
            events = [event for piece in pieces if (event := _event(piece, piece + b"\n\n")) is not None]
        self._hold(rest)
        if len(buffer) > limits.MAX_SSE_EVENT_BYTES:
            self._check(max([len(rest), *(len(event.raw) for event in events)]))
        return events

    def end(self) -> list[SseEvent]:
        """The stream is over: the event whose blank line was a lone CR, if there is one. Sets `torn`."""
        events: list[SseEvent] = []
        rest = _split(b"".join(self._held), events, last=True)
        self._hold(b"")
        lines = rest.replace(b"\r", b"\n").split(b"\n")
        self.torn = any(line and not line.startswith(b":") for line in lines)
        return events

    def _hold(self, rest: bytes) -> None:
        self._held = [rest] if rest else []
        self._bytes_held = len(rest)

    def _check(self, size: int) -> None:
        if size > limits.MAX_SSE_EVENT_BYTES:
            raise UpstreamBroken(f"an event of the stream has more than {limits.MAX_SSE_EVENT_BYTES} bytes")


def _split(buffer: bytes, events: list[SseEvent], *, last: bool) -> bytes:
    """Events whose lines end in LF, CR LF or CR, in any mixture. Returns what is left over.

    A CR at the very end waits for its LF, unless it is the `last`.
    """
    begin = line_begin = 0
    size = len(buffer)
    while (ending := _next_ending(buffer, line_begin)) < size:
        is_cr = buffer[ending] == 0x0D
        if is_cr and ending + 1 == size and not last:
            break
        after = ending + (2 if is_cr and buffer[ending + 1 : ending + 2] == b"\n" else 1)
        if ending == line_begin:  # a blank line
            raw = buffer[begin:after]
            event = _event(
                buffer[begin:ending].replace(b"\r\n", b"\n").replace(b"\r", b"\n").rstrip(b"\n"), raw
            )
            if event is not None:
                events.append(event)
            begin = after
        line_begin = after
    return buffer[begin:]


def _next_ending(buffer: bytes, position: int) -> int:
    """Where the next CR or LF is; the end if there is none."""
    lf = buffer.find(b"\n", position)
    cr = buffer.find(b"\r", position, lf if lf >= 0 else len(buffer))
    found = cr if cr >= 0 else lf
    return found if found >= 0 else len(buffer)


def _event(piece: bytes, raw: bytes) -> SseEvent | None:
    """An event from its lines, separated by LF; None for one without data, which is not dispatched."""
    if piece.startswith(b"data: "):  # nearly all of OpenAI's events are this one line
        if b"\n" not in piece:
            return SseEvent(piece[6:], "", raw)
    elif piece.startswith(b"event: "):  # nearly all of Anthropic's are these two
        name, _, data = piece[7:].partition(b"\ndata: ")
        if data and b"\n" not in data and b"\n" not in name:
            return SseEvent(data, name.decode("utf-8", "replace"), raw)
    return _event_of_lines(piece.split(b"\n"), raw)


def _event_of_lines(lines: list[bytes], raw: bytes) -> SseEvent | None:
    data: list[bytes] = []
    name = ""
    for line in lines:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            data.append(value)
        elif field == b"event":
            name = value.decode("utf-8", "replace")
    if not data:
        return None
    return SseEvent(b"\n".join(data), name, raw)


def replaced(event: SseEvent, data: bytes) -> SseEvent:
    """The event with other data; itself where they are the same."""
    return event if data is event.data else SseEvent(data, event.event, encode(data, event.event))


def encode(data: bytes, event: str | None = None) -> bytes:
    """An event as bytes; LF in `data` begins another data line. `data` has no CR (JSON never has one)."""
    head = b"event: " + event.encode() + b"\n" if event else b""
    if b"\n" in data:
        data = data.replace(b"\n", b"\ndata: ")
    return head + b"data: " + data + b"\n\n"
