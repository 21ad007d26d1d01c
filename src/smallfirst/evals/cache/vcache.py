"""vCache's rule, written from the paper: Schroeder et al., "vCache: Verified Semantic Prompt Caching", ICLR 2026, arXiv 2502.03771.

Each stored text has its own sigmoid from cosine to "its answer is right", fitted to that text's own observations. Of a request whose nearest
text is this one, the model is asked with probability τ = 1 − δ / (1 − p), where p bounds the probability of being right from below: the
sigmoid's lower confidence limit at level 1 − ε, times 1 − ε, at the ε where that is highest. So (1 − τ)(1 − p) ≤ δ. What was asked becomes an
observation of the nearest text, and is stored as a text of its own where the nearest's answer was wrong (the authors' insertion rule; the paper
leaves it open, and storing every request costs most of the hits).

The paper leaves open how the limit is computed from few observations, which a steep sigmoid often separates. Here the sigmoid
L(s) = 1 / (1 + exp(−γ(s − t))) has a flat prior, t over cosines 0 … 1 and log γ over γ = 20 … 200, and the limit is the ε-quantile of L(s) under
what the observations leave of it; two of them hold by definition: right at cosine 1, wrong at cosine 0. Texts with fewer than six are always
explored. The range of γ and the six were chosen in vCache's favour: of those tried, they gave it the most hits while wrong hits stayed below δ.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from smallfirst.evals.cache.decision import Decision
from smallfirst.evals.cache.lookup import nearest_us
from smallfirst.evals.cache.neighbours import Neighbours, Shelf
from smallfirst.evals.cache.stream import StreamRow

_LEAST_OBSERVATIONS = 6  # the two by definition among them
_PLACES, _SLOPES = (
    grid.ravel() for grid in np.meshgrid(np.linspace(0.0, 1.0, 48), np.geomspace(20.0, 200.0, 8))
)


class Sigmoid:
    """What is known of one stored text: how likely its answer is right, by cosine."""

    def __init__(self) -> None:
        self._count = 2
        self._log = _log_right(1.0) + _log_wrong(0.0)

    def observe(self, cosine: float, *, right: bool) -> None:
        self._log = self._log + (_log_right(cosine) if right else _log_wrong(cosine))
        self._count += 1

    def surely_right(self, cosine: float) -> float:
        """The lower bound p; 0 where too little was observed."""
        if self._count < _LEAST_OBSERVATIONS:
            return 0.0
        weight = np.exp(self._log - self._log.max())
        chance = np.exp(_log_right(cosine))
        order = np.argsort(chance)
        below = np.cumsum(weight[order])
        epsilon = np.concatenate([[0.0], below[:-1]]) / below[-1]
        return float(((1 - epsilon) * chance[order]).max())


def _log_right(cosine: float) -> np.ndarray:
    return -np.logaddexp(0.0, -_SLOPES * (cosine - _PLACES))


def _log_wrong(cosine: float) -> np.ndarray:
    return -np.logaddexp(0.0, _SLOPES * (cosine - _PLACES))


class VCache:
    """A stream replayed under vCache's rule, with an exact tier before it as all methods have."""

    name = "vcache"
    threshold: float | None = None
    bound: float | None = None  # it counts no wrong hits

    def __init__(
        self, rows: Sequence[StreamRow], neighbours: Neighbours, *, delta: float, seed: int = 0
    ) -> None:
        self.delta: float | None = delta
        self._promise = delta
        self._rows = rows
        self._neighbours = neighbours
        self._chance = np.random.default_rng([seed, 7])
        self._shelf = Shelf(neighbours)
        self._sigmoids: dict[int, Sigmoid] = {}

    def replay(self) -> Iterator[Decision]:
        texts: dict[tuple[str, str], int] = {}
        sigmoids = self._sigmoids = {}
        shelf = self._shelf = Shelf(self._neighbours)
        for at, row in enumerate(self._rows):
            if (row.scope, row.text) in texts and not row.warm:
                yield Decision(at, texts[row.scope, row.text], "exact", self._promise)
                continue
            near = shelf.nearest(at)
            if near is not None and not row.warm and self._exploits(sigmoids.get(near[0]), near[1]):
                yield Decision(at, near[0], "semantic", self._promise)
                continue
            texts[row.scope, row.text] = at
            right = near is not None and self._rows[near[0]].answer_class == row.answer_class
            if near is not None:
                sigmoids.setdefault(near[0], Sigmoid()).observe(near[1], right=right)
            if not right:
                shelf.put(at)
            if not row.warm:
                yield Decision(at, None, "", self._promise)

    @property
    def stored_rows(self) -> list[int]:
        """The rows that it has stored, in their order."""
        return self._shelf.stored.tolist()

    def lookup_us(self) -> tuple[float, float]:
        def rule(row: int) -> None:
            near = self._shelf.nearest(row)
            if near is not None and near[0] in self._sigmoids:
                self._sigmoids[near[0]].surely_right(near[1])

        return nearest_us(self._neighbours.vectors, self._shelf.stored, rule=rule)

    def _exploits(self, sigmoid: Sigmoid | None, cosine: float) -> bool:
        sure = sigmoid.surely_right(cosine) if sigmoid is not None else 0.0
        if not sure:
            return False
        asked = 1 - self._promise / (1 - sure) if sure < 1 - self._promise else 0.0
        return float(self._chance.random()) > asked
