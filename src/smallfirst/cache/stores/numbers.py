"""Numbers for entries: they grow with time, need no store to be asked, and are whole also in JavaScript."""

from __future__ import annotations

import random
import time

_EPOCH_MS = 1_735_689_600_000  # 2025-01-01
_LOW_BITS = 12
_chance = random.Random()  # noqa: S311 (seeded from the system once: a system call would give the interpreter's lock away)


class Numbers:
    """41 bits of milliseconds since 2025 and 12 at random: two gateways take the same one once in 4,096 answers of the same millisecond, and a store
    keeps only the first.
    """

    def __init__(self, last: int = 0) -> None:
        self._last = last

    def next(self) -> int:
        """Greater than all before."""
        now = (time.time_ns() // 1_000_000 - _EPOCH_MS) << _LOW_BITS
        self._last = max(self._last + 1, now | _chance.getrandbits(_LOW_BITS))
        return self._last
