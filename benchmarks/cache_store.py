"""What the cache's file costs: CPU of a look-up, of a put, bytes of an entry on disk and in memory.

    python -m benchmarks.cache_store [--entries 100000] [--json]

Answers of about 1 KB, as a chat completion's. Half of the look-ups are for any entry, half for one of a hundred: what is often asked for
is in memory. CPU time is that of the thread that looks up.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.database import FILE
from smallfirst.cache.stores.sqlite_store import SqliteStore
from smallfirst.config.schema import Cache

_LOOK_UPS = 20_000
_HOT = 100
_KEY_BYTES = 73  # of a key in this script's own list
_TEXT = "We will send you a refund for the order that came late, to the account that you paid from, within three days. "


def measure_store(entries: int = 100_000, *, semantic: bool = False) -> dict[str, Any]:
    """Puts that many entries, looks some up, and says what each of it took. Times are microseconds of CPU."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measured(Path(folder), entries, semantic))


async def _measured(folder: Path, entries: int, semantic: bool) -> dict[str, Any]:
    draw = random.Random(1)
    before = _resident_bytes()
    store = SqliteStore(folder, Cache())
    keys: list[bytes] = []
    spent_s = {"wall": 0.0, "cpu": 0.0}
    payload = 0
    for at in range(0, entries, 2000):
        batch = [_entry(draw, number, semantic) for number in range(at, min(entries, at + 2000))]
        keys += [entry.key for entry in batch]
        payload += sum(len(entry.answer) + len(entry.question) + len(entry.vector) for entry in batch)
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        for entry in batch:
            assert store.put(entry)
        await store.database.write(lambda _conn: None, after_s=0.0)  # what waits is written along
        spent_s["wall"] += time.perf_counter() - wall_s
        spent_s["cpu"] += time.process_time() - cpu_s
    resident = _resident_bytes() - before
    await store.database.tidy()
    hot = draw.choices(keys, k=_HOT)
    asked = [draw.choice(hot if draw.random() < 0.5 else keys) for _ in range(_LOOK_UPS)]
    found = await _look_up_us(store, asked)
    missed = await _look_up_us(store, [draw.randbytes(32) for _ in range(_LOOK_UPS)])
    totals = store.totals()
    size = (folder / FILE).stat().st_size
    await store.close()
    return {
        "entries": totals.entries,
        "semantic": semantic,
        "hit_us_p50": found[0],
        "hit_us_p99": found[1],
        "miss_us_p50": missed[0],
        "miss_us_p99": missed[1],
        "put_us": round(spent_s["cpu"] / entries * 1e6, 1),
        "puts_per_s": round(entries / spent_s["wall"]),
        "payload_bytes": round(payload / entries),
        "disk_bytes": round(size / entries),
        "memory_mb": round(max(0, resident - _KEY_BYTES * entries) / 1e6, 1),  # of all together
    }


async def _look_up_us(store: SqliteStore, keys: list[bytes]) -> tuple[float, float]:
    """Median and 99th percentile."""
    now_ms = time.time_ns() // 1_000_000
    for key in keys[:2000]:
        await store.get(key, now_ms)
    spent_ns = np.empty(len(keys))
    for at, key in enumerate(keys):
        begun_ns = time.thread_time_ns()
        await store.get(key, now_ms)
        spent_ns[at] = time.thread_time_ns() - begun_ns
    p50, p99 = np.percentile(spent_ns / 1000, [50, 99])
    return round(float(p50), 1), round(float(p99), 1)


def _entry(draw: random.Random, number: int, semantic: bool) -> Entry:
    text = (_TEXT * 8)[: draw.randrange(300, 900)]
    message = {"role": "assistant", "content": text, "refusal": None}
    reply = {
        "id": f"chatcmpl-{number:032x}",
        "object": "chat.completion",
        "created": 1_795_650_873,
        "model": "small-instruct",
        "choices": [{"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 120, "completion_tokens": 150, "total_tokens": 270},
    }
    now_ms = time.time_ns() // 1_000_000
    return Entry(
        key=draw.randbytes(32),
        tenant="acme",
        task="reply-draft",
        policy="9" * 64,
        release="8" * 64,
        call=f"{number:026d}",
        model="small",
        rung=0,
        dialect="openai",
        answer=msgspec.json.encode(reply),
        text=text,
        cost_nusd=1200,
        at_ms=now_ms,
        expires_ms=now_ms + 86_400_000,
        partition=bytes(32) if semantic else b"",
        question="how do I get my money back for this order?" if semantic else "",
        vector=draw.randbytes(512) if semantic else b"",
    )


def _resident_bytes() -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) * 1024
    return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = [measure_store(options.entries, semantic=semantic) for semantic in (False, True)]
    if options.json:
        print(json.dumps(found))
        return
    for name in found[0]:
        print(f"{name:>14}  {found[0][name]!s:>10}  {found[1][name]!s:>10}")


if __name__ == "__main__":
    main()
