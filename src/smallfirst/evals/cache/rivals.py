"""The caches that ours is compared with, on the same stream and the same embedding: the same text only, and a fixed cosine.

All have an exact tier before them, and store the answer of every miss. What is too long for the embedder, or has no word that it knows, is looked
up exactly alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from smallfirst.evals.cache.decision import Decision
from smallfirst.evals.cache.lookup import exact_us, nearest_us
from smallfirst.evals.cache.neighbours import Neighbours, Shelf
from smallfirst.evals.cache.stream import StreamRow


class ExactOnly:
    """Gives an answer again to the very same text."""

    name = "exact"
    delta: float | None = None
    bound: float | None = None
    threshold: float | None = None

    def __init__(self, rows: Sequence[StreamRow]) -> None:
        self._rows = rows

    def replay(self) -> Iterator[Decision]:
        texts: dict[tuple[str, str], int] = {}
        for at, row in enumerate(self._rows):
            served = None if row.warm else texts.get((row.scope, row.text))
            if served is None:
                texts[row.scope, row.text] = at
            if not row.warm:
                yield Decision(at, served, "exact" if served is not None else "")

    def lookup_us(self) -> tuple[float, float]:
        return exact_us(self._rows)


class FixedThreshold:
    """What most semantic caches do: the nearest stored answer is given again where its text's cosine is at least `threshold`."""

    name = "fixed"
    delta: float | None = None
    bound: float | None = None

    def __init__(self, rows: Sequence[StreamRow], neighbours: Neighbours, *, threshold: float) -> None:
        self.threshold: float | None = threshold
        self._least = threshold
        self._rows = rows
        self._neighbours = neighbours
        self._shelf = Shelf(neighbours)

    def replay(self) -> Iterator[Decision]:
        texts: dict[tuple[str, str], int] = {}
        shelf = self._shelf = Shelf(self._neighbours)
        for at, row in enumerate(self._rows):
            decision = Decision(at) if row.warm else self._decide(at, row, texts, shelf)
            if decision.served is None:
                texts[row.scope, row.text] = at
                shelf.put(at)
            if not row.warm:
                yield decision

    def lookup_us(self) -> tuple[float, float]:
        return nearest_us(self._neighbours.vectors, self._shelf.stored)

    def _decide(self, at: int, row: StreamRow, texts: dict[tuple[str, str], int], shelf: Shelf) -> Decision:
        if (row.scope, row.text) in texts:
            return Decision(at, texts[row.scope, row.text], "exact")
        near = shelf.nearest(at, least=self._least)
        return Decision(at) if near is None else Decision(at, near[0], "semantic")
