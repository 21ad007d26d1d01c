"""How often the cache's best candidate is wrong, by its score, from the requests of which that is known; and whether it has changed.

Estimates that a threshold is chosen by. No promise rests on them: that of `threshold.py` rests on the spot checks alone.
"""

from __future__ import annotations

import bisect
import math

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Finer where answers are sure: from 0.6 on, each step takes a quarter off what is left to 1.
THRESHOLDS: tuple[float, ...] = (0.5, *(float(1 - left) for left in np.geomspace(0.4, 1e-4, 30)))
_BINS = len(THRESHOLDS) + 1
_PRIOR_ROWS = 3.0  # what a bin's own score says of it counts as so many requests
_PRIOR: Array = np.array([1.0, *(1 - threshold for threshold in THRESHOLDS)])
_ROWS = 4000.0  # what is older fades
_UNSEEN = 0.5  # wrong candidates are supposed besides those that were seen
_HITS = 2.0  # checks that must speak against hits before they are taken to be worse than misses

_TIMES = 5.0  # a change to so many times the wrong candidates is looked for
_LEAST, _MOST = 0.005, 0.15  # what is expected of a bin, for that
_ALARM = 8.0  # log of the likelihood ratio: e⁸, about 3,000 requests between false alarms at least
_FORGOTTEN = 0.05  # what is left of the evidence at an alarm


class CacheRiskState(msgspec.Struct, frozen=True, kw_only=True):
    """All that is remembered: counts by bin of the score."""

    requests: tuple[float, ...]
    known: tuple[float, ...]
    wrong: tuple[float, ...]
    rates: tuple[float, ...]
    hits_wrong: float
    hits_expected: float
    ratio: float
    changes: int


class CacheRisk:
    """Counts requests by the score of their candidate, and how many of those candidates were wrong; old ones fade."""

    def __init__(self) -> None:
        self._requests, self._known, self._wrong = [0.0] * _BINS, [0.0] * _BINS, [0.0] * _BINS
        self._rates: list[float] = _PRIOR.tolist()
        self._hits_wrong, self._hits_expected = 0.0, 0.0
        self._ratio = 0.0
        self.changes = 0

    def add(self, probability: float, right: bool | None, *, hit: bool) -> None:
        """One request. `right` None: it is not known of its candidate."""
        at = bisect.bisect_right(THRESHOLDS, probability)
        self._requests[at] += 1
        if right is None:
            return
        self._known[at] += 1
        if not right:
            self._wrong[at] += 1
        if hit:
            self._hits_expected += self._rates[at]
            self._hits_wrong += not right

    def hit_told_wrong(self) -> None:
        """A client said that a hit was wrong."""
        self._hits_wrong += 1

    def changed(self, probability: float, right: bool, *, threshold: float | None) -> bool:
        """Whether candidates at or above the threshold are suddenly wrong far more often (Page's CUSUM, Biometrika 41, 1954).

        Then most of the evidence is forgotten: what comes next counts.
        """
        if threshold is None or probability < threshold:
            return False
        expected = min(max(self._rates[bisect.bisect_right(THRESHOLDS, probability)], _LEAST), _MOST)
        step = math.log((1 - _TIMES * expected) / (1 - expected)) if right else math.log(_TIMES)
        self._ratio = max(0.0, self._ratio + step)
        if self._ratio < _ALARM:
            return False
        self._ratio = 0.0
        self.changes += 1
        self._fade(_FORGOTTEN)
        return True

    def curve(self) -> tuple[Array, Array]:
        """For each of `THRESHOLDS`: the share of requests at or above it, and the share that is so and wrong. Errs towards wrong."""
        requests, known, wrong = np.array(self._requests), np.array(self._known), np.array(self._wrong)
        total = max(1.0, float(requests.sum()))
        rates = (wrong + _PRIOR_ROWS * _PRIOR) / (known + _PRIOR_ROWS)
        self._rates = rates.tolist()
        worse = max(1.0, (self._hits_wrong + _HITS) / (self._hits_expected + _HITS))
        hits = np.cumsum((requests / total)[::-1])[::-1]
        risk = (np.cumsum((requests / total * rates)[::-1])[::-1] + _UNSEEN / total) * worse
        return hits[1:], risk[1:]

    def fade(self, rows: int) -> None:
        """So many requests came since the last time."""
        if sum(self._requests) > _ROWS:
            self._fade(max(0.0, 1 - rows / _ROWS))
            kept = max(0.0, 1 - rows / _ROWS)
            self._hits_wrong, self._hits_expected = self._hits_wrong * kept, self._hits_expected * kept

    def _fade(self, kept: float) -> None:
        for counts in (self._requests, self._known, self._wrong):
            counts[:] = [count * kept for count in counts]

    @property
    def state(self) -> CacheRiskState:
        return CacheRiskState(
            requests=tuple(self._requests),
            known=tuple(self._known),
            wrong=tuple(self._wrong),
            rates=tuple(self._rates),
            hits_wrong=self._hits_wrong,
            hits_expected=self._hits_expected,
            ratio=self._ratio,
            changes=self.changes,
        )

    @classmethod
    def from_state(cls, state: CacheRiskState) -> CacheRisk:
        """As it was, to the bit. Raises ValueError for a state of another version."""
        found = cls()
        if len(state.requests) != _BINS:
            raise ValueError("state: written by another version, start again")
        found._requests, found._known = list(state.requests), list(state.known)
        found._wrong, found._rates = list(state.wrong), list(state.rates)
        found._hits_wrong, found._hits_expected = state.hits_wrong, state.hits_expected
        found._ratio, found.changes = state.ratio, state.changes
        return found
