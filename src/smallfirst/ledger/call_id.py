"""How calls are named."""

from __future__ import annotations

import random

_chance = random.Random()  # noqa: S311 (seeded from the system once; a system call for each id would cost more than the id)


def new_call_id(at_ms: int) -> str:
    """Sorts by time: twelve hex digits of milliseconds, then sixteen of chance (a name, not a secret)."""
    return f"{at_ms:012x}{_chance.getrandbits(64):016x}"
