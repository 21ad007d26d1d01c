"""Our cache, replayed: the gateway's index, its guard and differences, and what its keeper proves and learns, request by request.

What is done here as it is in service: an exact tier first; a miss is answered and stored, as an alias where its answer is known; hits are drawn for
spot checks, and those alone say whether they were right; the keeper reads what was seen in turns, and fits the guard again as it grows. What
is not: answers are there at once, every miss's answer is compared, and equality is that of classes.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from smallfirst import limits
from smallfirst.cache.semantic.index import Index
from smallfirst.cache.semantic.seen import Candidate, Judgement, Observation
from smallfirst.cache.semantic.trust import PROBABLE, trusted
from smallfirst.evals.cache.decision import Decision
from smallfirst.evals.cache.entries import entry_of, row_of
from smallfirst.evals.cache.keeper import LEAST_CHECK, Keeper
from smallfirst.evals.cache.lookup import percentiles_us
from smallfirst.evals.cache.stream import AnswerClass, StreamRow


class _Seen(NamedTuple):
    candidates: list[Candidate]
    judgement: Judgement | None


class Ours:
    """A stream replayed under the bound `delta`."""

    name = "ours"
    threshold: float | None = None

    def __init__(
        self,
        rows: Sequence[StreamRow],
        vectors: np.ndarray,
        *,
        delta: float,
        seed: int = 0,
        keeper: Keeper | None = None,
    ) -> None:
        """`vectors`: float32, `[rows, dimensions]`, of length 1, zeros where a row has no partition. `keeper`: another than the gateway's."""
        self.delta: float | None = delta
        self._promise = delta
        self._rows = rows
        self._vectors = vectors
        self._indexes: dict[str, Index] = {}
        self._texts: dict[tuple[str, str], int] = {}
        self._chance = np.random.default_rng([seed, 11])
        self._keeper = keeper or Keeper(rows, vectors, delta=delta)
        self._spent_ns: list[int] = []

    @property
    def bound(self) -> float | None:
        return self._keeper.standing.bound

    def replay(self) -> Iterator[Decision]:
        for at, row in enumerate(self._rows):
            if row.warm:
                self._warm(at)
            else:
                yield self._decide(at)

    def lookup_us(self) -> tuple[float, float]:
        """Of the last tenth of its semantic look-ups."""
        return percentiles_us(self._spent_ns[-max(1, len(self._spent_ns) // 10) :])

    def _warm(self, at: int) -> None:
        """Answered as if nothing were served yet."""
        if self._readable(at):
            self._keeper.warmed(self._miss(at, self._look(at), None))
        self._store(at)

    def _decide(self, at: int) -> Decision:
        row = self._rows[at]
        if (row.scope, row.text) in self._texts:
            return Decision(at, self._texts[row.scope, row.text], "exact", self._promise)
        if not self._readable(at):
            self._store(at)
            return Decision(at, None, "", self._promise)
        seen, standing = self._look(at), self._keeper.standing
        found, threshold = seen.judgement, standing.threshold
        if found is None or found.refused or threshold is None or found.probability < threshold:
            self._keeper.saw(self._miss(at, seen, threshold))
            self._store(at)
            return Decision(at, None, "", self._promise)
        check = min(1.0, max(standing.check, LEAST_CHECK))
        checked = bool(self._chance.random() < check)
        served = row_of(found.candidate.entry)
        right = self._class(found.candidate) == self._rows[at].answer_class
        self._keeper.saw(
            Observation(
                probability=found.probability,
                threshold=threshold,
                hit=True,
                check=check,
                right=right if checked else None,
                features=found.features,
                guard=self._keeper.guard.sha256,
            )
        )
        if checked:
            self._checked(at, found.candidate, right=right)
        return Decision(at, served, "semantic", self._promise, checked)

    def _look(self, at: int) -> _Seen:
        began_ns = time.thread_time_ns()
        vector, index = self._vectors[at], self._index(at)
        candidates = index.nearest(vector, limits.CACHE_CANDIDATES, 0)
        judgement = trusted(self._keeper.guard.judge(self._rows[at].text, vector, candidates), candidates)
        self._spent_ns.append(time.thread_time_ns() - began_ns)
        return _Seen(candidates, judgement)

    def _miss(self, at: int, seen: _Seen, threshold: float | None) -> Observation:
        """What a miss's answer says of its best candidate's."""
        found = seen.judgement
        right = found is not None and self._class(found.candidate) == self._rows[at].answer_class
        if found is not None and found.probability >= PROBABLE:
            self._index(at).mark(found.candidate.entry, confirmed=int(right), refuted=int(not right))
        return Observation(
            probability=found.probability if found is not None else 0.0,
            threshold=threshold,
            hit=False,
            check=1.0,
            right=right,
            features=found.features if found is not None else (),
            guard=self._keeper.guard.sha256,
        )

    def _checked(self, at: int, candidate: Candidate, *, right: bool) -> None:
        """What a spot check found: a wrong answer's entry is gone, its aliases bear the mark, and the fresh answer is kept."""
        index = self._index(at)
        if right:
            index.mark(candidate.entry, confirmed=1)
        else:
            index.remove(candidate.entry)
            self._keeper.removed(row_of(candidate.entry))
            index.mark(candidate.answer, refuted=1)
            gone = self._rows[row_of(candidate.entry)]
            if self._texts.get((gone.scope, gone.text)) == row_of(candidate.entry):
                del self._texts[gone.scope, gone.text]
        self._store(at)

    def _store(self, at: int) -> None:
        row, index = self._rows[at], self._index(at)
        self._texts[row.scope, row.text] = at
        if not self._readable(at):
            return
        answer = f"{type(row.answer_class).__name__} {row.answer_class}"
        group = index.answer_of(answer) or 0
        entry = entry_of(at, self._vectors[at], question=row.text, answer=answer, group=group)
        index.add(entry)
        self._keeper.stored(at, group or entry.id)
        if index.worn:
            index.take(index.building()())

    def _index(self, at: int) -> Index:
        """The partition of a row."""
        scope = self._rows[at].scope
        found = self._indexes.get(scope)
        if found is None:
            found = self._indexes[scope] = Index(self._vectors.shape[1])
        return found

    def _class(self, candidate: Candidate) -> AnswerClass:
        return self._rows[row_of(candidate.entry)].answer_class

    def _readable(self, at: int) -> bool:
        return bool(self._vectors[at].any())
