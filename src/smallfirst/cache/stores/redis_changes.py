"""What became of entries that replicas share: a stream in Redis, trimmed."""

from __future__ import annotations

from typing import Any

from smallfirst import limits
from smallfirst.cache.stores.redis_rows import CHANGES
from smallfirst.cache.stores.store import Change, Changes

_NOTHING = "0-0"


async def since(redis: Any, at: str | None) -> Changes:
    """What follows the place `at`. A stream that was trimmed past it, or is gone, has lost it. Raises redis's errors."""
    newest = await redis.xrevrange(CHANGES, count=1)
    here = newest[0][0].decode() if newest else _NOTHING
    if at is None or at == here:
        return Changes(at=here)
    oldest = await redis.xrange(CHANGES, count=1)
    if not oldest or (at != _NOTHING and _place(at) < _place(oldest[0][0].decode())):
        return Changes(at=here, lost=True)
    found = await redis.xrange(CHANGES, min=f"({at}", max=here, count=limits.CACHE_CHANGES_KEPT)
    return Changes(at=here, changes=tuple(_change(fields) for _place, fields in found))


def _place(at: str) -> tuple[int, int]:
    at_ms, _, number = at.partition("-")
    return int(at_ms), int(number)


def _change(fields: dict[bytes, bytes]) -> Change:
    numbers = (int(fields[name]) for name in (b"e", b"g", b"c", b"r"))
    return Change(bytes.fromhex(fields[b"p"].decode()), *numbers)
