"""What looking examples up takes: `python -m benchmarks.retrieval`. One call's vector, and the 8 nearest of so many examples, exactly.

Half of the examples are one tenant's and half are nobody's in particular, which are two products. Prints microseconds of CPU, median and 99th
percentile.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.example_index import ExampleIndex
from smallfirst.classify.examples import Header, Row, pack_index, rows_path, salt
from smallfirst.classify.store import Artifacts, Described

TIMES = 300
QUESTION = "My card was charged twice for the same payment, how do I get my money back?"


def main() -> None:
    embedder = open_embedder("wordllama")
    median, slow = timed(lambda: embedder.embed([QUESTION]))
    print(f"wordllama, one vector            {median:8.0f} {slow:8.0f} µs")
    vector = embedder.embed([QUESTION])[0]
    for count in (500, 2_000, 10_000, 20_000):
        with tempfile.TemporaryDirectory() as folder:
            index = made(Path(folder), count)
            median, slow = timed(lambda index=index: index.near(vector, tenant="acme", count=8))
            opened_s, size = opened(Path(folder), index.sha256)
        print(
            f"{count:6,} examples, 8 nearest      {median:8.0f} {slow:8.0f} µs; opened in {opened_s * 1000:.0f} ms, {size / 1e6:.1f} MB on disk"
        )


def made(folder: Path, count: int) -> ExampleIndex:
    embedder = open_embedder("wordllama")
    draw = np.random.default_rng(0)
    vectors = draw.standard_normal((count, embedder.dimensions))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    rows = [
        Row(
            salt=salt(),
            id=f"e-{at:06}",
            question="x" * 60,
            answer="label",
            vector=vector.astype(np.float16).tobytes(),
            tenant="acme" if at % 2 else "",
        )
        for at, vector in enumerate(vectors)
    ]
    header = Header(
        task="t",
        dataset="",
        contract_sha256="",
        embedder=embedder.name,
        embedder_sha256=embedder.sha256,
        dimensions=embedder.dimensions,
        examples=count,
    )
    data, packed = pack_index(header, rows)
    artifacts = Artifacts(folder)
    name = artifacts.save(data, Described(at_ms=1, kind="examples", task="t"), rows=packed)
    return ExampleIndex(artifacts.path(name), embedder)


def opened(folder: Path, sha256: str) -> tuple[float, int]:
    path = Artifacts(folder).path(sha256)
    begun_s = time.perf_counter()
    ExampleIndex(path, open_embedder("wordllama"))
    return time.perf_counter() - begun_s, path.stat().st_size + rows_path(path).stat().st_size


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Microseconds: median and 99th percentile."""
    taken = []
    for _ in range(TIMES):
        begun_s = time.process_time()
        work()
        taken.append((time.process_time() - begun_s) * 1e6)
    return float(np.median(taken)), float(np.quantile(taken, 0.99))


if __name__ == "__main__":
    main()
