"""What one look-up costs, in CPU time, through the code that serves: measured on a sample, with the cache as full as it was at the stream's end."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.cache.key import Keyed, key_of
from smallfirst.cache.semantic.index import Index
from smallfirst.cache.stores.store import CacheStore
from smallfirst.evals.cache.entries import entry_of
from smallfirst.evals.cache.stream import StreamRow
from smallfirst.wire.incoming import Incoming

_SAMPLE = 1000
_STORED = 10_000
_PUT_AT_ONCE = 2000
_ANY = entry_of(0, np.zeros(1, np.float32), answer="{}")


def percentiles_us(spent_ns: Sequence[int]) -> tuple[float, float]:
    """Median and 99th percentile, in microseconds; zeros where nothing was measured."""
    if not len(spent_ns):
        return 0.0, 0.0
    return float(np.median(spent_ns)) / 1000, float(np.quantile(spent_ns, 0.99)) / 1000


def nearest_us(
    vectors: np.ndarray, stored: np.ndarray, *, rule: Callable[[int], None] | None = None
) -> tuple[float, float]:
    """The nearest of the stored rows through the gateway's index, for rows drawn at random; `rule` is what is decided after it, of a row."""
    index = filled(vectors, stored)
    spent = []
    for row in np.random.default_rng(0).integers(0, len(vectors), _SAMPLE).tolist():
        began_ns = time.thread_time_ns()
        index.nearest(vectors[row], 1, 0)
        spent.append(time.thread_time_ns() - began_ns)
    if rule is not None:
        for at, row in enumerate(np.random.default_rng(0).integers(0, len(vectors), _SAMPLE).tolist()):
            began_ns = time.thread_time_ns()
            rule(row)
            spent[at] += time.thread_time_ns() - began_ns
    return percentiles_us(spent)


def filled(vectors: np.ndarray, stored: np.ndarray) -> Index:
    """The gateway's index of one partition with these rows in it, with its graph where it would have one."""
    index = Index(vectors.shape[1])
    for row in stored.tolist():
        index.add(entry_of(row, vectors[row]))
    if index.worn:
        index.take(index.building()())
    return index


def exact_us(rows: Sequence[StreamRow]) -> tuple[float, float]:
    """A request's key, and the store's answer to it, with at most 10,000 of the rows in a store of its own."""
    from smallfirst.cache.stores.sqlite_store import SqliteStore
    from smallfirst.config.schema import Cache

    texts = list({row.text: None for row in rows})[:_STORED]

    async def measured(folder: Path) -> list[int]:
        store = SqliteStore(folder, Cache())
        try:
            for at, text in enumerate(texts):
                if at % _PUT_AT_ONCE == 0:
                    await _written(store)
                store.put(msgspec.structs.replace(_ANY, key=_key(_asked(text))))
            await _written(store)
            drawn = np.random.default_rng(0).integers(0, len(texts), _SAMPLE).tolist()
            return [await _spent_ns(store, _asked(texts[at])) for at in drawn]
        finally:
            await store.close()

    with tempfile.TemporaryDirectory() as folder:
        return percentiles_us(asyncio.run(measured(Path(folder))))


async def _spent_ns(store: CacheStore, incoming: Incoming) -> int:
    began_ns = time.thread_time_ns()
    await store.get(_key(incoming), 0)
    return time.thread_time_ns() - began_ns


async def _written(store: CacheStore) -> None:
    for _ in range(1000):
        if not store.totals().waiting:
            return
        await asyncio.sleep(0.01)


def _asked(text: str) -> Incoming:
    body = {"model": "stream", "temperature": 0, "messages": [{"role": "user", "content": text}]}
    return Incoming("chat", msgspec.json.encode(body))


def _key(incoming: Incoming) -> bytes:
    keyed = key_of(
        incoming, tenant="stream", task="stream", policy="stream", model="stream", ignore=frozenset()
    )
    return keyed.exact if isinstance(keyed, Keyed) else b""
