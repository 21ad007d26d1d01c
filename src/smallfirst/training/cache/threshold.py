"""From which score on the cache serves an answer to another wording, and which share of such hits is checked: under a bound on wrong hits.

What is promised, with confidence 1 − α, for all t together: of the first t requests that looked for an answer, at most δ·t were wrong hits.
Misses count among the t, and so do requests while nothing was served. It rests on the coins of the spot checks alone
(`statistics/checked_failures.py`): nothing is assumed of the scores, of how they were learned, of the traffic, or of whether tomorrow is like
yesterday. A hit is served only while, if it were wrong too, the bound on the wrong hits so far would still be at most δ·t; else none is, until
enough requests have passed.

The threshold and the share of checks only decide how many hits there are. Of all pairs by which the bound stays within δ, if what comes is
like the requests that are known, the one with the most hits less checks is taken.

Two limits hold back more than the promise asks. What may be saved up in good times is limited, so that a bad time spends only so much. And when
candidates above the threshold are suddenly wrong far more often, what was known before is forgotten.

Rows that were answered and compared beforehand (`warm`) are no requests. With them serving can begin at once; then at most δ·max(t, t₀) of t
requests are wrong hits, where t₀ is the number of those rows, 3,000 at most.
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import NDArray

from smallfirst.cache.semantic.seen import Observation
from smallfirst.cache.semantic.standing import Figures
from smallfirst.statistics.checked_failures import (
    CheckedFailures,
    CheckedFailuresState,
    log_kept,
)
from smallfirst.training.cache.risk import THRESHOLDS, CacheRisk, CacheRiskState

Array = NDArray[np.float64]

HEAD_START = 3000  # requests that warm rows stand for, at most
_SAVED, _SAVED_CLOSED = (
    50_000,
    5000,
)  # requests whose wrong hits may be saved up: once hits were served, and before
_LEAST_CHECK = 0.001  # whatever is asked for: hits of which none is ever checked would be bounded by nothing
_MOST_CHECKED = 0.75  # a threshold that needs more checks saves too little to be opened
_CHECK_COSTS = 0.99  # calls: a hit that is checked is still sooner answered
_CHECKS = 11  # probabilities of a check that are tried
_AHEAD, _AHEAD_LEAST = 0.3, 200.0  # the choice looks so far ahead: a share of the requests so far
_SPENT = 0.7  # of what comes in by then
_EVERY, _EVERY_SHARE = 50, 0.01  # requests between two choices: so many, and a share of those that were seen
_NEAR = 0.95  # a threshold is tried whose estimated risk is below so much of δ


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """What may be served from now on. `threshold` None: exact answers only, and `why`."""

    threshold: float | None
    check: float  # the probability with which each hit is to be checked
    bound: float  # the share of wrong hits is at most this; 1 where nothing was seen
    allowed: float  # so many wrong hits, of so many requests
    changes: int  # how often the candidates turned worse all of a sudden
    why: str
    figures: Figures


class ThresholdState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the rule remembers, for a file."""

    delta: float
    least_check: float
    requests: int
    hits: int
    warm: int
    told: int
    saved: float
    since: int
    threshold: float | None
    check: float
    would_hit: float
    failures: CheckedFailuresState
    risk: CacheRiskState


class Threshold:
    """Fed all observations of one policy in their order, once each; says after each what may be served.

    `delta`: the share of all requests that may be wrong hits. `least_check`: the probability of a check is never less.
    """

    def __init__(self, delta: float, *, confidence: float = 0.95, least_check: float = 0.01) -> None:
        if not 0 < delta < 1:
            raise ValueError(f"delta: expected a number in (0, 1), got {delta:g}")
        if not 0 <= least_check <= 1:
            raise ValueError(f"least_check: expected a number in [0, 1], got {least_check:g}")
        self.delta, self.least_check = delta, max(least_check, _LEAST_CHECK)
        self._failures, self._risk = CheckedFailures(1 - confidence), CacheRisk()
        self._requests, self._hits, self._warm, self._told = 0, 0, 0, 0
        self._saved = 0.0  # wrong hits that δ has allowed so far
        self._since = 0
        self._threshold: float | None = None
        self._check, self._would_hit = 1.0, 0.0

    def add(self, seen: Observation) -> None:
        """The next request. Raises ValueError for a probability that is none, and for a hit that could not have been checked.

        A hit whose check was drawn and could not be made is a wrong one: say `right=False`.
        """
        failed = None if seen.right is None else not seen.right
        if not 0 <= seen.probability <= 1:
            raise ValueError(f"probability: expected a number in [0, 1], got {seen.probability!r}")
        if seen.hit:
            self._failures.add(seen.check, failed)
            self._hits += 1
        self._requests += 1
        limit = self.delta * (_SAVED if self._hits else _SAVED_CLOSED)
        self._saved = max(self._saved, min(self._saved + self.delta, self._wrong_most + limit))
        self._learn(seen.probability, seen.right, hit=seen.hit)

    def warm(self, probability: float, right: bool | None) -> None:
        """A row that was answered before the requests that count."""
        self._warm += 1
        self._learn(probability, right, hit=False)

    def told_wrong(self) -> None:
        """A client says that a hit was wrong: it counts as one more. That none says so counts for nothing."""
        self._told += 1
        self._risk.hit_told_wrong()
        self._choose()

    def lost(self, hits: int) -> None:
        """So many hits were served and nothing else is known of them: they count as wrong ones."""
        self._hits += hits
        self._requests += hits
        self._told += hits
        self._choose()

    def proven(self, *, in_flight: int = 0) -> Proven:
        """What may be served now. `in_flight`: hits that were, or may yet be, served before the rule is fed them: room is kept for them."""
        allowed, wrong = self._allowed(), self._wrong_most
        threshold, why = self._threshold, ""
        if threshold is None:
            why = f"no threshold is known to keep wrong hits below {self.delta:g} of all requests ({self._requests + self._warm} seen)"
        elif wrong + in_flight + 1 > allowed:
            threshold = None
            why = f"up to {wrong:.1f} hits may have been wrong, and {allowed:.1f} of {self._requests} requests may be"
        return Proven(
            threshold=threshold,
            check=self._check,
            bound=wrong / self._requests if self._requests else 1.0,
            allowed=allowed,
            changes=self._risk.changes,
            why=why,
            figures=self._figures(),
        )

    @property
    def _wrong_most(self) -> float:
        return min(self._failures.high + self._told, float(self._hits))

    def _figures(self) -> Figures:
        of = max(1, self._requests)
        return Figures(
            requests=self._requests,
            hits=self._hits,
            checked=self._failures.checked,
            wrong=self._failures.failed + self._told,
            wrong_rate=self._failures.estimate / of,
            wrong_low=self._failures.low / of,
            wrong_high=min(1.0, self._wrong_most / of) if self._requests else 1.0,
            would_hit=self._would_hit if self._threshold is not None else None,
        )

    def _allowed(self, *, ahead: float = 0.0) -> float:
        """So many wrong hits: now, or when so many more requests have passed, part of what they allow being kept."""
        return max(self.delta * self._head_start, self._saved + self.delta * ahead * _SPENT)

    @property
    def _head_start(self) -> int:
        return min(self._warm, HEAD_START)

    def _learn(self, probability: float, right: bool | None, *, hit: bool) -> None:
        self._risk.add(probability, right, hit=hit)
        changed = right is not None and self._risk.changed(probability, right, threshold=self._threshold)
        self._since += 1
        every = _EVERY + _EVERY_SHARE * (self._requests + self._warm)
        if changed or (hit and right is False) or self._since >= every:
            self._choose()

    def _choose(self) -> None:
        """Takes the threshold and the check's probability that promise the most hits less checks, and may be kept up."""
        self._risk.fade(self._since)
        self._since = 0
        hits, risk = self._risk.curve()
        tried = np.flatnonzero((risk < _NEAR * self.delta) & (hits > 0))
        checks = np.geomspace(self.least_check, max(self.least_check, _MOST_CHECKED), _CHECKS)
        self._threshold = None
        if not tried.size:
            return
        ahead = max(_AHEAD_LEAST, _AHEAD * min(max(self._requests, self._head_start), _SAVED))
        kept = self._wrong_by_then(risk[tried] * ahead, checks) <= self._allowed(ahead=ahead)
        saved = np.where(kept, hits[tried][:, None] * (1 - _CHECK_COSTS * checks), 0.0)
        best, check = np.unravel_index(int(saved.argmax()), saved.shape)
        if saved[best, check] > 0:
            self._threshold = THRESHOLDS[int(tried[best])]
            self._check = float(checks[check])
            self._would_hit = float(hits[tried[best]])

    def _wrong_by_then(self, wrong: Array, checks: Array) -> Array:
        """The bound on the wrong hits, once so many more were wrong, for each probability of a check: shape (wrong, checks).

        Of those so many would be found, and one and half a standard deviation more.
        """
        found = wrong[:, None] * checks
        found += 0.5 * np.sqrt(found) + 1
        stakes = self._failures.stakes(checks)
        lost = -found[..., None] * log_kept(stakes, checks[:, None])
        unseen = self._failures.unseen(stakes, lost, steps=1)
        return self._failures.failed + self._told + found + unseen

    @property
    def state(self) -> ThresholdState:
        return ThresholdState(
            delta=self.delta,
            least_check=self.least_check,
            requests=self._requests,
            hits=self._hits,
            warm=self._warm,
            told=self._told,
            saved=self._saved,
            since=self._since,
            threshold=self._threshold,
            check=self._check,
            would_hit=self._would_hit,
            failures=self._failures.state,
            risk=self._risk.state,
        )

    @classmethod
    def from_state(cls, state: ThresholdState) -> Threshold:
        """The rule as it was, to the bit. Raises ValueError for a state of another version."""
        found = cls(state.delta, least_check=state.least_check)
        found._failures = CheckedFailures.from_state(state.failures)
        found._risk = CacheRisk.from_state(state.risk)
        found._requests, found._hits, found._warm = state.requests, state.hits, state.warm
        found._told, found._saved, found._since = state.told, state.saved, state.since
        found._threshold, found._check = state.threshold, state.check
        found._would_hit = state.would_hit
        return found
