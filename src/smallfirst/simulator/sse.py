"""Server-sent events, framed well or in any of the legal ways that clients get wrong."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from .faults import Fault
from .prompt import JsonObject, compact


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream and what it stands for.

    ``part`` is open, content (something generated), frame (around content) or end (what a cut answer lacks).
    """

    payload: JsonObject | str
    name: str | None = None
    part: str = "frame"
    output_tokens: int = 0
    reasoning_tokens: int = 0
    reports_usage: bool = False


class Framing:
    """Encodes events; a fault says with which line ends, comments, line breaks and spaces."""

    def __init__(self, fault: Fault) -> None:
        self._fault = fault
        self._ordinal = 0

    def encode(self, event: Event) -> bytes:
        """The bytes of one event, its blank line included."""
        self._ordinal += 1
        lines = [*self._prologue(event), *self._data(event.payload), "", ""]
        text = self._fault.line_ending.join(lines)
        bom = "\ufeff" if self._fault.bom and self._ordinal == 1 else ""
        return (bom + text).encode("utf-8", "replace")

    def _prologue(self, event: Event) -> Iterator[str]:
        space = "" if self._fault.no_space else " "
        if self._fault.comments:
            yield f": simulated comment {self._ordinal}"
            yield ""
            yield f"id:{space}{self._ordinal}"
            if event.name is None:
                yield f"event:{space}message"
        if event.name is not None:
            yield f"event:{space}{event.name}"
        if self._fault.comments:
            yield ":"

    def _data(self, payload: JsonObject | str) -> Iterator[str]:
        space = "" if self._fault.no_space else " "
        if isinstance(payload, dict) and self._fault.multi_line_data:
            for line in json.dumps(payload, ensure_ascii=False, indent=1).split("\n"):
                yield f"data:{space}{line}"
        else:
            yield f"data:{space}{payload if isinstance(payload, str) else compact(payload)}"


def truncated(event: Event) -> Event:
    """``event`` with only the first half of its JSON."""
    text = event.payload if isinstance(event.payload, str) else compact(event.payload)
    return Event(text[: len(text) // 2], event.name, event.part, event.output_tokens, event.reasoning_tokens)
