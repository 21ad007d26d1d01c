"""The nearest entries of one partition, in memory: a product of matrices while they are some thousands, a graph (usearch, int8) above.

It is an accelerator and never the truth. What the graph returns is looked up among what is known to be live, and ranked again by the exact vectors;
nothing is ever removed from a graph (removals are where its open crash reports are): what is gone stays in it as a ghost, and it is built anew, off
the event loop, once there are too many.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.seen import Candidate

EXACT_BELOW = 4096  # entries: 0.2 ms by a product of matrices, and a cache of a processor holds them
_WITHOUT_GRAPH = 8 * EXACT_BELOW  # so many are still searched without a graph, while it is built
_GHOSTS = 0.25  # of a graph's vectors
_MORE = 12  # than are wanted: int8 mixes up the last ones
_CHUNK = 64  # added at a time, in a thread: between chunks others get their turn
_GRAPH = {"metric": "cos", "dtype": "i8", "connectivity": 16, "expansion_add": 64, "expansion_search": 64}


class Held(msgspec.Struct, kw_only=True):
    """What memory knows of an entry."""

    entry: int
    answer: int  # the group of entries with the same answer
    question: str
    said: bytes  # a digest of the answer's text: entries that say the same are the same answer
    expires_ms: int
    confirmed: int
    refuted: int
    serial: int = 0  # its number in the graph; never given twice
    slot: int = 0  # its row


class Built(msgspec.Struct, frozen=True):
    """A graph of what was live when it was begun."""

    graph: Any
    below: int  # serials below this one were there


class Index:
    """One partition's entries. Not for two threads at once, but what `building` returns, which is for a thread of its own."""

    def __init__(self, dimensions: int) -> None:
        self.dimensions = dimensions
        self._rows = np.zeros((64, dimensions), np.float16)
        self._exact: np.ndarray | None = np.zeros(
            (64, dimensions), np.float32
        )  # the same, while it is searched row by row
        self._slots: list[Held] = []
        self._by_id: dict[int, Held] = {}
        self._by_serial: dict[int, Held] = {}
        self._said: dict[bytes, int] = {}  # the answer that a text is
        self._serial = 0
        self._graph: Built | None = None
        self._ghosts = 0

    def __len__(self) -> int:
        return len(self._slots)

    def __contains__(self, entry: int) -> bool:
        return entry in self._by_id

    @property
    def ready(self) -> bool:
        """Whether it can be searched in about a millisecond."""
        return self._graph is not None or self._exact is not None

    @property
    def worn(self) -> bool:
        """Whether a graph should be built: there is none yet, or too much of it is gone."""
        if self._graph is None:
            return len(self) > EXACT_BELOW or self._exact is None
        return self._ghosts > _GHOSTS * (len(self) + self._ghosts)

    def add(self, entry: Entry) -> None:
        """Holds an entry, in the place of the one of its id. One without a vector of this length is left out; of too many, the oldest goes."""
        if len(entry.vector) != 2 * self.dimensions:
            return
        self.remove(entry.id)
        if len(self) >= limits.CACHE_PARTITION_VECTORS:
            self.remove(next(iter(self._by_id)))
        said = digest(entry.text)
        held = Held(
            entry=entry.id,
            answer=entry.group or entry.id,
            question=entry.question,
            said=said,
            expires_ms=entry.expires_ms,
            confirmed=entry.confirmed,
            refuted=entry.refuted,
            serial=self._serial,
            slot=len(self._slots),
        )
        self._serial += 1
        vector = np.frombuffer(entry.vector, np.float16)
        self._put(held.slot, vector)
        self._slots.append(held)
        self._by_id[held.entry] = self._by_serial[held.serial] = held
        self._said.setdefault(said, held.answer)
        if self._graph is not None:
            self._graph.graph.add(held.serial, vector.astype(np.float32), threads=1)

    def remove(self, entry: int) -> None:
        """Forgets an entry; the last row takes its place."""
        held = self._by_id.pop(entry, None)
        if held is None:
            return
        del self._by_serial[held.serial]
        last = self._slots.pop()
        if last is not held:
            self._put(held.slot, self._rows[last.slot])
            self._slots[held.slot] = last
            last.slot = held.slot
        if self._graph is not None:
            self._ghosts += 1
        if len(self._said) > 2 * len(self) + 64:
            self._said = {each.said: each.answer for each in self._slots}

    def remove_answer(self, answer: int) -> list[int]:
        """Forgets every entry of an answer; returns their ids."""
        gone = [held.entry for held in self._slots if held.answer == answer]
        for entry in gone:
            self.remove(entry)
        return gone

    def regroup(self, entry: int, answer: int) -> None:
        """This entry's answer is that one."""
        held = self._by_id.get(entry)
        if held is not None:
            held.answer = answer
            self._said[held.said] = answer

    def set(self, entry: int, *, answer: int, confirmed: int, refuted: int) -> None:
        """What the store says of an entry now."""
        held = self._by_id.get(entry)
        if held is not None:
            held.confirmed, held.refuted = confirmed, refuted
            if held.answer != answer:
                self.regroup(entry, answer)

    def mark(self, entry: int, *, confirmed: int = 0, refuted: int = 0) -> None:
        """Its answer was found right, or wrong, for another text."""
        held = self._by_id.get(entry)
        if held is not None:
            held.confirmed += confirmed
            held.refuted += refuted

    def answer_of(self, text: str) -> int | None:
        """The answer whose text is exactly this."""
        return self._said.get(digest(text))

    def nearest(self, vector: np.ndarray, most: int, now_ms: int) -> list[Candidate]:
        """The live entries with the highest cosine, best first. What is over is forgotten meanwhile."""
        slots = self._near(vector, most)
        if not len(slots):
            return []
        rows = self._rows[slots].astype(np.float32)
        similarity = rows @ vector
        found: list[Candidate] = []
        over: list[int] = []
        for at in np.argsort(-similarity, kind="stable")[:most].tolist():
            held = self._slots[slots[at]]
            if held.expires_ms <= now_ms:
                over.append(held.entry)
                continue
            found.append(
                Candidate(
                    entry=held.entry,
                    answer=held.answer,
                    text=held.question,
                    vector=rows[at],
                    similarity=float(similarity[at]),
                    confirmed=held.confirmed,
                    refuted=held.refuted,
                )
            )
        for entry in over:
            self.remove(entry)
        return found

    def held(self) -> Iterable[Held]:
        return self._slots

    def building(self) -> Callable[[], Built]:
        """What builds a graph of what is live now, for a thread; `take` takes it into use."""
        serials = np.array([held.serial for held in self._slots], np.uint64)
        rows, below = self._rows[: len(self._slots)].copy(), self._serial

        def build() -> Built:
            from usearch.index import Index as Graph

            graph = Graph(ndim=self.dimensions, **_GRAPH)
            for at in range(0, len(serials), _CHUNK):
                part = slice(at, at + _CHUNK)
                graph.add(serials[part], rows[part].astype(np.float32), threads=1)
            return Built(graph, below)

        return build

    def take(self, built: Built) -> None:
        """Searches by this graph from now on, with what came since it was begun."""
        for held in self._slots:
            if held.serial >= built.below:
                built.graph.add(held.serial, self._rows[held.slot].astype(np.float32), threads=1)
        self._graph = built
        self._ghosts = max(0, len(built.graph) - len(self))
        self._exact = None

    def _put(self, slot: int, vector: np.ndarray) -> None:
        if slot == len(self._rows):
            self._rows = _grown(self._rows)
            if self._exact is not None:
                self._exact = _grown(self._exact) if slot < _WITHOUT_GRAPH else None
        self._rows[slot] = vector
        if self._exact is not None:
            self._exact[slot] = vector

    def _near(self, vector: np.ndarray, most: int) -> np.ndarray:
        """Rows that are near, in no order."""
        if self._graph is not None:
            more = 1 + self._ghosts / max(len(self), 1)
            keys = self._graph.graph.search(vector, round((most + _MORE) * more), threads=1).keys
            live = (self._by_serial.get(int(key)) for key in keys)
            return np.array([held.slot for held in live if held is not None], np.intp)
        count = len(self._slots)
        if count <= most:
            return np.arange(count)
        rows = self._exact if self._exact is not None else self._rows.astype(np.float32)
        similarity = rows[:count] @ vector
        return np.argpartition(similarity, count - most)[count - most :]


def _grown(rows: np.ndarray) -> np.ndarray:
    """With as much room again."""
    return np.concatenate([rows, np.zeros_like(rows)])


def digest(text: str) -> bytes:
    """Of an answer's text, as two equal answers have it."""
    return hashlib.blake2b(text.strip().encode("utf-8", "replace"), digest_size=16).digest()
