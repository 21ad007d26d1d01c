"""A stream's rows as the cache's entries: what a gateway would have kept of them."""

from __future__ import annotations

import numpy as np

from smallfirst.cache.entry import Entry

FOREVER_MS = 1 << 62
_PARTITION = b"\1" * 32  # all rows of a stream are one task's, and differ in their text alone


def entry_of(row: int, vector: np.ndarray, *, question: str = "", answer: str = "", group: int = 0) -> Entry:
    """The entry of the row at this place; its id is `row + 1`, since a store's ids begin at 1. `vector`: float32, length 1."""
    return Entry(
        key=b"%32d" % row,
        tenant="stream",
        task="stream",
        policy="stream",
        release="stream",
        call=f"row-{row}",
        model="stream",
        rung=0,
        dialect="openai",
        answer=answer.encode("utf-8", "replace"),
        text=answer,
        cost_nusd=None,
        at_ms=row,
        expires_ms=FOREVER_MS,
        partition=_PARTITION,
        question=question,
        vector=vector.astype(np.float16).tobytes(),
        id=row + 1,
        group=group,
    )


def row_of(entry: int) -> int:
    """The place of the row that an entry's id stands for."""
    return entry - 1
