"""What the cache did for calls, counted."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from smallfirst.ledger.records import HITS
from smallfirst.ledger.reports import CacheSums


class Cached(msgspec.Struct, frozen=True, kw_only=True):
    """What the cache did for one task's calls; `task` empty: for all of them.

    `calls` are those that it was asked for, hits those of them that it answered; `saved_nusd` is what the calls
    had cost that were answered so first, and `unknown_hits` those of an unknown price, which are not in it.
    """

    task: str
    calls: int = 0
    exact_hits: int = 0
    semantic_hits: int = 0
    flight_hits: int = 0
    unknown_hits: int = 0
    saved_nusd: int = 0

    @property
    def hits(self) -> int:
        return self.exact_hits + self.semantic_hits + self.flight_hits

    @property
    def hit_rate(self) -> float | None:
        """The share of the calls that it was asked for; None where there were none."""
        return self.hits / self.calls if self.calls else None


AnyCached = TypeVar("AnyCached", bound=Cached)


def with_asked(line: AnyCached, row: CacheSums) -> AnyCached:
    """The line with these calls counted too."""
    changes = {"calls": line.calls + row.calls, "saved_nusd": line.saved_nusd + row.saved_nusd}
    if row.result in HITS:
        field = f"{row.result}_hits"
        changes[field] = getattr(line, field) + row.calls
        changes["unknown_hits"] = line.unknown_hits + row.unknown_calls
    return msgspec.structs.replace(line, **changes)
