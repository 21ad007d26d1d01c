"""The keeper of a replayed stream: what `gate/controller_cache.py` does for a task, done at once and in memory.

The bound is told of each request as it ends, so that nothing is ever in flight; the guard is fitted again when the observations have grown by as
much as the controller waits for, in no time of the stream's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from smallfirst.cache.semantic.guard import PRIOR, Guard
from smallfirst.cache.semantic.seen import Observation
from smallfirst.config.schema import SemanticCache
from smallfirst.evals.cache.stream import StreamRow
from smallfirst.training.cache.guard import LATEST, Known, fit_guard
from smallfirst.training.cache.refit import is_due
from smallfirst.training.cache.threshold import Proven, Threshold

LEAST_CHECK = SemanticCache().min_checks  # of hits


class Keeper:
    """What is proven and learned so far of a stream."""

    def __init__(self, rows: Sequence[StreamRow], vectors: np.ndarray, *, delta: float) -> None:
        """`vectors`: float32, `[rows, dimensions]`."""
        self.guard: Guard = PRIOR
        self._rows = rows
        self._vectors = vectors
        self._rule = Threshold(delta, least_check=LEAST_CHECK)
        self._standing: Proven | None = None
        self.answers: dict[int, int] = {}  # of the rows that are stored, oldest first
        self._observed: deque[Observation] = deque(maxlen=LATEST)
        self._known = self._fitted = 0

    @property
    def standing(self) -> Proven:
        """From which probability on a hit is served now, and how many are checked."""
        if self._standing is None:
            self._standing = self._rule.proven()
        return self._standing

    def saw(self, seen: Observation) -> None:
        """One request of the stream."""
        self._rule.add(seen)
        self._learn(seen)

    def warmed(self, seen: Observation) -> None:
        """One that was answered before it."""
        self._rule.warm(seen.probability, seen.right)
        self._learn(seen)

    def stored(self, row: int, answer: int) -> None:
        """A row is an entry from now on; rows with one answer have one number."""
        self.answers[row] = answer

    def removed(self, row: int) -> None:
        self.answers.pop(row, None)

    def _learn(self, seen: Observation) -> None:
        self._standing = None
        if seen.right is None:
            return
        self._observed.append(seen)
        self._known += 1
        if is_due(self._known, self._fitted):
            self._fitted = self._known
            self.guard = fit_guard(list(self._observed), self._entries())

    def _entries(self) -> Known:
        rows = list(self.answers)[-LATEST:]
        return Known(
            vectors=self._vectors[rows],
            answers=np.array([self.answers[row] for row in rows], np.int64),
            texts=[self._rows[row].text for row in rows],
        )
