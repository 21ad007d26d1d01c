"""Answers for the cache's stores to keep."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.database import Database
from smallfirst.cache.stores.store import CacheStore

NOW_MS = time.time_ns() // 1_000_000
HOUR_MS = 3_600_000
PARTITION = hashlib.sha256(b"partition").digest()


def key_of(name: str) -> bytes:
    return hashlib.sha256(name.encode()).digest()


def entry(name: str, **changed: Any) -> Entry:
    """An answer to the call `name`, by tenant `acme`, fresh for an hour."""
    text = f"The answer to {name}."
    fields: dict[str, Any] = {
        "key": key_of(name),
        "tenant": "acme",
        "task": "triage",
        "policy": "policy-1",
        "release": "release-1",
        "call": f"call-{name}",
        "model": "small",
        "rung": 0,
        "dialect": "openai",
        "answer": b'{"choices":[{"message":{"content":"%s"}}]}' % text.encode(),
        "text": text,
        "cost_nusd": 1200,
        "at_ms": NOW_MS - 1000,
        "expires_ms": NOW_MS + HOUR_MS,
    }
    return Entry(**(fields | changed))


def near(name: str, **changed: Any) -> Entry:
    """The same, in the partition that other questions may be answered from."""
    return entry(name, **({"partition": PARTITION, "question": f"{name}?", "vector": b"\1\2" * 64} | changed))


async def settled(store: CacheStore) -> None:
    """What was put, touched and marked is where it is kept."""
    from smallfirst.cache.stores.redis_store import RedisStore

    if isinstance(store, RedisStore):
        await store._outbox.flush()
    else:
        await written(store.database)


async def written(database: Database) -> None:
    """Also what was due later: the writer takes what is due in its order."""
    with database._writer._wake:
        database._writer._due = [(0.0, *rest) for _due_s, *rest in sorted(database._writer._due)]
        database._writer._wake.notify()
    await database.write(lambda _conn: None)
