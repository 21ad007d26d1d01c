"""`smallfirst cache eval`: a stream replayed through our cache and through its rivals, on the same embedding, in the same order."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
from msgspec.structs import replace

from smallfirst import limits
from smallfirst.classify.embedder import Embedder
from smallfirst.evals.cache.decision import Decision, Figures, Method, figures
from smallfirst.evals.cache.neighbours import Neighbours
from smallfirst.evals.cache.replay import Ours
from smallfirst.evals.cache.rivals import ExactOnly, FixedThreshold
from smallfirst.evals.cache.stream import StreamRow, scopes_of
from smallfirst.evals.cache.vcache import VCache

METHODS = ("ours", "exact", "fixed", "vcache")
THRESHOLDS = tuple(round(0.80 + 0.01 * step, 2) for step in range(19))  # 0.80 … 0.98
_EMBEDDED = 128  # texts at a time: progress is told, and Ctrl-C seen, between them
_TOLD_EVERY = 64

Progress = Callable[[str, int, int], None]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is replayed. `seed`: of the spot checks, and of vCache's draws."""

    deltas: tuple[float, ...] = (0.01, 0.02, 0.05)
    thresholds: tuple[float, ...] = THRESHOLDS
    methods: tuple[str, ...] = METHODS
    seed: int = 0


class Replayed(msgspec.Struct, frozen=True, kw_only=True):
    """One method's whole replay."""

    figures: Figures
    decisions: list[Decision]

    @property
    def name(self) -> str:
        """As files are named by it: `ours-0.01`, `fixed-0.90`, `exact`."""
        told = self.figures
        if told.threshold is not None:
            return f"{told.method}-{told.threshold:.2f}"
        return told.method if told.delta is None else f"{told.method}-{told.delta:g}"


def replayed(
    rows: Sequence[StreamRow], wanted: Wanted, embedder: Embedder, progress: Progress
) -> Iterator[Replayed]:
    """Each method's replay as it ends, the quick ones first. `KeyboardInterrupt` during one yields what it had done, and then is raised."""
    vectors = embedded(rows, embedder, progress)
    total = sum(not row.warm for row in rows)
    for method in _methods(rows, wanted, vectors, progress):
        name, decisions = _named(method), []
        try:
            for decision in method.replay():
                decisions.append(decision)
                if not len(decisions) % _TOLD_EVERY:
                    progress(name, len(decisions), total)
            median, p99 = method.lookup_us()
        except KeyboardInterrupt:
            found = figures(method, decisions, rows, complete=len(decisions) == total)
            yield Replayed(figures=replace(found, embedder=embedder.name), decisions=decisions)
            raise
        found = figures(method, decisions, rows)
        found = replace(found, embedder=embedder.name, lookup_us_p50=median, lookup_us_p99=p99)
        yield Replayed(figures=found, decisions=decisions)


def embedded(rows: Sequence[StreamRow], embedder: Embedder, progress: Progress) -> np.ndarray:
    """float32, `[rows, dimensions]`; zeros for what the gateway looks up exactly alone: empty texts, and those longer than the embedder reads."""
    reads = getattr(embedder, "reads", lambda _: True)
    places: dict[str, list[int]] = {}
    for at, row in enumerate(rows):
        if 0 < len(row.text) <= limits.MAX_EMBEDDED_CHARS:
            places.setdefault(row.text, []).append(at)
    vectors = np.zeros((len(rows), embedder.dimensions), np.float32)
    texts = list(places)
    for begin in range(0, len(texts), _EMBEDDED):
        part = [text for text in texts[begin : begin + _EMBEDDED] if reads(text)]
        for text, vector in zip(part, embedder.embed(part) if part else (), strict=True):
            vectors[places[text]] = vector
        progress("embedding", min(begin + _EMBEDDED, len(texts)), len(texts))
    return vectors


def write_decisions(folder: Path, found: Replayed, rows: Sequence[StreamRow]) -> Path:
    """Writes what was done with each request as CSV: `id,hit,served_id,bound`; `served_id` names the row whose answer was given again."""
    path = folder / f"{found.name}.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("id", "hit", "served_id", "bound"))
        for one in found.decisions:
            served = "" if one.served is None else rows[one.served].id
            bound = "" if one.bound is None else f"{one.bound:.6g}"
            writer.writerow((rows[one.row].id, str(one.served is not None).lower(), served, bound))
    return path


def in_hindsight(found: Sequence[Figures], delta: float) -> Figures | None:
    """The fixed threshold that hits most among those that were wrong at most so often: what nobody knows beforehand."""
    kept = [one for one in found if one.method == "fixed" and one.complete and one.wrong_rate <= delta]
    return max(kept, key=lambda one: one.hit_rate, default=None)


def _methods(
    rows: Sequence[StreamRow], wanted: Wanted, vectors: np.ndarray, progress: Progress
) -> Iterator[Method]:
    if "exact" in wanted.methods:
        yield ExactOnly(rows)
    if {"fixed", "vcache"} & {*wanted.methods}:
        neighbours = Neighbours(vectors, told=progress, scopes=scopes_of(rows))
        if "fixed" in wanted.methods:
            yield from (FixedThreshold(rows, neighbours, threshold=one) for one in wanted.thresholds)
        if "vcache" in wanted.methods:
            yield from (VCache(rows, neighbours, delta=one, seed=wanted.seed) for one in wanted.deltas)
    if "ours" in wanted.methods:
        yield from (Ours(rows, vectors, delta=one, seed=wanted.seed) for one in wanted.deltas)


def _named(method: Method) -> str:
    setting = method.delta if method.delta is not None else method.threshold
    return method.name if setting is None else f"{method.name} {setting:g}"
