"""Watching a mean while it is measured: a test and a bound that hold at every moment, however often one looks.

A gambler who believes that the mean is above m stakes, before each observation x in [low, high], the part λ of his wealth on it: the
wealth is multiplied by 1 + λ (x − m) ≥ 0, whose expectation is at most 1 if the mean, given what came before, is at most m. So is
that of an average over gamblers, a nonnegative supermartingale: by Ville's inequality it ever reaches 1/α with probability at most α.
Every m whose gamblers reached 1/α is refuted for good; below the least that was not lies the lower bound of a confidence sequence.

Source: Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", JRSS-B 86 (2024),
https://arxiv.org/abs/2010.09686, section 4 (predictable stakes) and the mixtures of its appendix B.

Most of the money is staked on the drop that is to be caught, at the stake that is best for it given the scatter seen so far
(λ = drop / E[(x − m)²], the first-order optimum); the rest is spread over all stakes, so that other drops are caught too.
"""

from __future__ import annotations

import math
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

_AIMED: NDArray[np.float64] = np.array(
    [1.2, 1.7]
)  # stakes, over the best for the drop itself: larger drops come as well
_SPREAD: NDArray[np.float64] = np.array(
    [0.01, 0.03, 0.08, 0.2, 0.4, 0.7, 0.95]
)  # shares of what a bet can lose
_MOST = 0.95  # of what a bet can lose: no wealth is ever zero
_AIMED_SHARE = 0.9  # of the money
_PRIOR_ROWS = 20.0  # for how many observations the supposed scatter counts
_GRID: NDArray[np.float64] = np.sign(np.arange(-20, 21)) * (np.arange(-20, 21) / 20.0) ** 2


class EProcessState(msgspec.Struct, frozen=True, kw_only=True):
    """All that a process remembers, for a file: `wealth` is by candidate mean, then by gambler, in logarithms."""

    null: float
    alpha: float
    low: float
    high: float
    drop: float
    scatter: float
    count: int
    total: float
    squares: float
    wealth: tuple[tuple[float, ...], ...]
    best: tuple[float, ...]


class EProcess:
    """Refutes "the mean of x is at most `null`", at any time, wrongly ever with probability at most `alpha`.

    Observations are in [low, high], one `add` each. `drop` is the distance above `null` that is to be caught soonest (default: a
    twentieth of the range); `scatter` the mean square distance from `null` that is expected (of losses in [−1, 1]: the share of
    disagreements; default: .15 of the half range squared). Both only aim: they do not touch the guarantee, as long as they are chosen before.
    """

    def __init__(
        self,
        null: float,
        alpha: float,
        *,
        low: float = -1.0,
        high: float = 1.0,
        drop: float | None = None,
        scatter: float | None = None,
    ) -> None:
        if not low < null < high:
            raise ValueError(f"null: expected a number in ({low:g}, {high:g}), got {null:g}")
        if not 0 < alpha < 1:
            raise ValueError(f"alpha: expected a number in (0, 1), got {alpha:g}")
        self.null, self.alpha, self.low, self.high = null, alpha, low, high
        self.drop = (high - low) / 40 if drop is None else drop
        self.scatter = 0.15 * ((high - low) / 2) ** 2 if scatter is None else scatter
        if self.drop <= 0 or self.scatter <= 0:
            raise ValueError("drop and scatter: expected numbers above zero")
        self._means = np.where(_GRID < 0, null + _GRID * (null - low), null + _GRID * (high - null))
        self._means = self._means[1:-1]  # a mean at the very end of the range cannot be bet on
        self._wealth = np.zeros((self._means.size, _AIMED.size + _SPREAD.size))
        self._best = np.zeros(self._means.size)
        self.count, self._total, self._squares = 0, 0.0, 0.0

    def add(self, x: float) -> bool:
        """Takes one observation; returns `rejected`. Raises ValueError for one outside the range."""
        if not self.low <= x <= self.high:  # false for NaN too
            raise ValueError(f"x: expected a number in [{self.low:g}, {self.high:g}], got {x!r}")
        stakes = stakes_for(self._means, self.low, drop=self.drop, scatter=self._scatter_so_far())
        self._wealth += np.log1p(stakes * (x - self._means)[:, None])
        self._best = np.maximum(self._best, mixed(self._wealth))
        self.count += 1
        self._total += x
        self._squares += (x - self.null) ** 2
        return self.rejected

    @property
    def rejected(self) -> bool:
        """The mean is above `null`: once true, always true."""
        return bool(self._best[self._at_null] >= -math.log(self.alpha))

    @property
    def e_value(self) -> float:
        """The most that the wealth against `null` has ever been: 1 at the start, 1/α where it is rejected."""
        return math.exp(min(700.0, float(self._best[self._at_null])))

    @property
    def mean(self) -> float | None:
        """The mean of what was observed."""
        return self._total / self.count if self.count else None

    @property
    def lower_bound(self) -> float:
        """What the mean is above, at confidence 1 − alpha at all times together: on a grid that is finest around `null`."""
        refuted = self._best >= -math.log(self.alpha)
        first = int(np.argmin(refuted)) if not refuted.all() else refuted.size
        return self.low if first == 0 else float(self._means[first - 1])

    @property
    def state(self) -> EProcessState:
        return EProcessState(
            null=self.null,
            alpha=self.alpha,
            low=self.low,
            high=self.high,
            drop=self.drop,
            scatter=self.scatter,
            count=self.count,
            total=self._total,
            squares=self._squares,
            wealth=tuple(tuple(row) for row in self._wealth.tolist()),
            best=tuple(self._best.tolist()),
        )

    @classmethod
    def from_state(cls, state: EProcessState | dict[str, Any]) -> EProcess:
        """The process as it was, to the bit: from `state`, or from it as JSON gave it back."""
        found = msgspec.convert(state, EProcessState) if isinstance(state, dict) else state
        process = cls(
            found.null, found.alpha, low=found.low, high=found.high, drop=found.drop, scatter=found.scatter
        )
        wealth = np.asarray(found.wealth, dtype=np.float64)
        if wealth.shape != process._wealth.shape or len(found.best) != process._best.size:
            raise ValueError("state: written by another version, start again")
        process._wealth, process._best = wealth, np.asarray(found.best)
        process.count, process._total, process._squares = found.count, found.total, found.squares
        return process

    @property
    def _at_null(self) -> int:
        return _GRID.size // 2 - 1

    def _scatter_so_far(self) -> float:
        return float(scatter_so_far(self.scatter, self._squares, self.count))


def scatter_so_far(supposed: float, squares: float | NDArray[np.float64], count: int) -> NDArray[np.float64]:
    """The mean square distance from the null: what was supposed counts as so many observations, and gives way to what was seen."""
    return np.asarray((_PRIOR_ROWS * supposed + squares) / (_PRIOR_ROWS + count))


def stakes_for(
    means: NDArray[np.float64], low: float, *, drop: float, scatter: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """What each gambler stakes against each mean, from what was known before: shape (means, gamblers).

    `scatter` may have the shape of `means`, for streams that are watched together.
    """
    most = _MOST / (means - low)
    best = np.broadcast_to(drop / scatter, means.shape)
    aimed = np.minimum(_AIMED * best[:, None], most[:, None])
    return np.concatenate([aimed, _SPREAD / _MOST * most[:, None]], axis=1)


def mixed(wealth: NDArray[np.float64]) -> NDArray[np.float64]:
    """The log of the gamblers' money together; the last axis is theirs."""
    shares = np.concatenate(
        [
            np.full(_AIMED.size, _AIMED_SHARE / _AIMED.size),
            np.full(_SPREAD.size, (1 - _AIMED_SHARE) / _SPREAD.size),
        ]
    )
    top = wealth.max(axis=-1)
    return top + np.log(np.exp(wealth - top[..., None]) @ shares)
