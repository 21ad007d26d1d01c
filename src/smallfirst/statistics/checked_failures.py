"""How many of many events failed, when chance alone picks those that are checked: bounds that hold at every moment, whatever the events.

Event i is checked with a probability p_i that was fixed before anything was known of it. Only a check shows whether it failed. Of the
failures, K were checked and N were not; K is seen, N is to be bounded. A gambler with the stake θ > 0 has his money multiplied, at each *failure*, by

    e^θ                                  where it was not checked,
    a_i = (1 − (1 − p_i) e^θ) / p_i      where it was: so that the mean of the two is exactly 1.

His money is a nonnegative martingale, and so is that of many gamblers together: by Ville's inequality it ever reaches 1/α with probability at
most α. It is Σ w_θ exp(θ N − E_θ) with E_θ = −Σ log a_i over the checked failures, which is known: every N for which it exceeds 1/α is
refuted, at all times together. θ < 0 bounds N from below in the same way. Nothing is assumed of the events: not that they are alike or
independent, and an adversary who knows all but the next coin may choose each of them.

The stake must keep a_i above zero, so a gambler comes down, for good, to the most that the smallest p_i so far allows. His earlier stakes were
higher: exp(θ N − E) with the present one is at most what he has, and the bound stands.

Source: Ville, "Étude critique de la notion de collectif" (1939); the mixture of stakes is that of Waudby-Smith and Ramdas, JRSS-B 86 (2024),
https://arxiv.org/abs/2010.09686. In the words of survey sampling, it bounds a total under Poisson sampling.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_STAKES: Array = 2.0 * 2.0 ** (-np.arange(23) / 2)  # from 2 to 0.001
_LOG_SHARES: Array = -0.5 * np.log1p(np.arange(23) / 2)
_LOG_SHARES -= math.log(float(np.exp(_LOG_SHARES).sum()))
_LEAST = 0.1  # what a checked failure leaves of a gambler's money, at least


class CheckedFailuresState(msgspec.Struct, frozen=True, kw_only=True):
    """All that the bounds remember, for a file: `above` and `below` are E by stake."""

    alpha: float
    events: int
    checked: int
    failed: int
    estimate: float
    least_check: float
    above: tuple[float, ...]
    below: tuple[float, ...]


class CheckedFailures:
    """Bounds the number of failures among all events so far; each bound is ever wrong with probability at most `alpha`."""

    def __init__(self, alpha: float) -> None:
        if not 0 < alpha < 1:
            raise ValueError(f"alpha: expected a number in (0, 1), got {alpha:g}")
        self.alpha = alpha
        self.events, self.checked, self.failed = 0, 0, 0
        self.estimate = 0.0  # of all failures, without bias: each checked one stands for 1 / p
        self._least_check = 1.0
        self._above, self._below = np.zeros(_STAKES.size), np.zeros(_STAKES.size)
        self._unseen: float | None = None
        self._surely_unseen: float | None = None

    def add(self, check: float, failed: bool | None) -> None:
        """One event, checked with probability `check` in (0, 1]; `failed` None: it was not drawn. A check that could not be made is a failure."""
        if not 0 < check <= 1:
            raise ValueError(f"check: expected a number in (0, 1], got {check!r}")
        if check < self._least_check:
            self._least_check, self._unseen = check, None
        self.events += 1
        if failed is None:
            return
        self.checked += 1
        if failed:
            self.failed += 1
            self.estimate += 1 / check
            self._above -= log_kept(self.stakes(), check)
            self._below -= log_kept(-_STAKES, check)
            self._unseen = self._surely_unseen = None

    @property
    def high(self) -> float:
        """So many failures at most, checked or not. Changes only with a checked failure, or a smaller probability of a check."""
        if self._unseen is None:
            self._unseen = float(self.unseen(self.stakes(), np.zeros(1)))
        return self.failed + min(self._unseen, self.events - self.checked)

    @property
    def low(self) -> float:
        """So many failures at least."""
        if self._surely_unseen is None:
            money = _LOG_SHARES - self._below
            self._surely_unseen = max(0.0, float(_crossing(-_STAKES, money, -math.log(self.alpha), steps=20)))
        return self.failed + self._surely_unseen

    def stakes(self, check: float | Array = 1.0) -> Array:
        """What each gambler stakes once events were checked with `check`: over a last axis."""
        least = np.minimum(np.asarray(check, dtype=np.float64), self._least_check)
        return np.minimum(_STAKES, _most_staked(least)[..., None])

    def unseen(self, stakes: Array, further: Array, *, steps: int = 20) -> Array:
        """So many failures at most were not checked, had the gamblers these stakes and lost the logarithm `further` besides: over its last axis."""
        return _crossing(stakes, _LOG_SHARES - self._above - further, -math.log(self.alpha), steps=steps)

    @property
    def state(self) -> CheckedFailuresState:
        return CheckedFailuresState(
            alpha=self.alpha,
            events=self.events,
            checked=self.checked,
            failed=self.failed,
            estimate=self.estimate,
            least_check=self._least_check,
            above=tuple(self._above.tolist()),
            below=tuple(self._below.tolist()),
        )

    @classmethod
    def from_state(cls, state: CheckedFailuresState) -> CheckedFailures:
        """The bounds as they were, to the bit. Raises ValueError for a state of another version."""
        if len(state.above) != _STAKES.size or len(state.below) != _STAKES.size:
            raise ValueError("state: written by another version, start again")
        found = cls(state.alpha)
        found.events, found.checked, found.failed = state.events, state.checked, state.failed
        found.estimate, found._least_check = state.estimate, state.least_check
        found._above, found._below = np.asarray(state.above), np.asarray(state.below)
        return found


def log_kept(stakes: Array, check: float | Array) -> Array:
    """The logarithm of what is left of each gambler's money when a failure is checked that was drawn with `check`."""
    return np.log((1 - (1 - check) * np.exp(stakes)) / check)


def _most_staked(check: Array) -> Array:
    """The highest stake that leaves `_LEAST` of the money when a failure is checked."""
    check = np.minimum(check, 1 - 1e-12)  # where all are checked, any stake does
    return np.log((1 - _LEAST * check) / (1 - check))


def _crossing(stakes: Array, money: Array, target: float, *, steps: int) -> Array:
    """Where log Σ exp(stakes · n + money) meets `target`: over the last axis.

    The function of n is convex, and where one gambler alone would meet the target lies outside the bound: from there each of Newton's steps
    comes closer and stays outside, so that stopping early errs on the safe side.
    """
    alone = (target - money) / stakes
    n = np.asarray(alone.min(axis=-1) if stakes.flat[0] > 0 else alone.max(axis=-1))
    for _ in range(steps):
        each = stakes * n[..., None] + money
        top = each.max(axis=-1, keepdims=True)
        weights = np.exp(each - top)
        total = weights.sum(axis=-1)
        step = (top[..., 0] + np.log(total) - target) * total / (weights * stakes).sum(axis=-1)
        n = n - step
        if np.all(np.abs(step) <= 1e-9 * (1 + np.abs(n))):
            break
    return n
