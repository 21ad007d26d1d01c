"""Is the mean of a stream above another mean that is itself known only from a sample? Looked at after every observation.

The gate measured disagreement on so many held-out examples; the canary's may be the same. Let D be the truth of both. For each D the sample
bets against "the mean is at least D" with e-value W₀(D) and the stream against "the mean is at most D" with wealth W₁(D): both hold at D, so
the product there is an e-process, and by Ville's inequality it ever reaches 1/α with probability at most α. D is not known, so an alarm needs
the product to have reached 1/α at every D. (Taking one safe bound and testing against it is the special case of a W₀ with one step; with 1,000
examples it needs four times the pairs to find eight points: design/007.)

W₀ comes from the sample's upper bounds: one at level a that D exceeds is wrong with probability at most a, so (D ≥ bound) / a has expectation at most
1, and so has an average of such steps and of 1. Between two bounds W₀ is constant and W₁ falls with D, so it is enough to look at each cell's
upper end: one process for each bound, rejected at α · W₀ of the cell below.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from smallfirst.statistics.sequences import EProcess, EProcessState

LEVELS = (0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001, 0.00001)
"""At which a sample's upper bounds are taken. A watch uses as many of them as its α asks for."""

_LEAST_NULL, _MOST_NULL = 0.001, 0.98
_LEAST_SCATTER = 0.02
_LEAST_ALPHA = 0.0001


class Cell(msgspec.Struct, frozen=True):
    """One test: of a mean at most `null`, at level `alpha`."""

    null: float
    alpha: float


def cells(bounds: Sequence[tuple[float, float]], alpha: float) -> list[Cell]:
    """The tests all of which must reject, from (level, bound) pairs of falling levels; of one bound that is simply known, `alpha` against it.

    As many levels are used as it takes for the last of them to speak for itself. Raises ValueError where they are too few for this alpha.
    """
    if len(bounds) == 1:
        return [Cell(_inside(bounds[0][1]), alpha)]
    alpha = max(alpha, _LEAST_ALPHA)
    inverses = [1 / level for level, _ in bounds]
    used = next(
        (n for n in range(1, len(bounds) + 1) if (1 + sum(inverses[:n])) / (n + 1) >= 1 / alpha), None
    )
    if used is None:
        raise ValueError(f"bounds: {len(bounds)} levels are too few for alpha {alpha:g}")
    weight = 1 / (used + 1)
    found, wealth = [], weight
    for level, bound in bounds[:used]:
        found.append(Cell(_inside(bound), min(alpha * wealth, 0.999)))
        wealth += weight / level
    return found


class Excess:
    """The tests together. `drop` is the distance above the sample's mean that is to be found soonest."""

    def __init__(self, bounds: Sequence[tuple[float, float]], alpha: float, *, drop: float) -> None:
        self._processes = [_process(cell, drop) for cell in cells(bounds, alpha)]

    @classmethod
    def from_state(cls, state: Sequence[EProcessState]) -> Excess:
        """The tests as they were saved."""
        made = cls([(1.0, 0.5)], 0.01, drop=0.05)
        made._processes = [EProcess.from_state(each) for each in state]
        return made

    @property
    def state(self) -> list[EProcessState]:
        return [each.state for each in self._processes]

    def add(self, x: float) -> None:
        """Takes one observation in [0, 1]."""
        for each in self._processes:
            each.add(x)

    @property
    def rejected(self) -> bool:
        """The mean is above the sample's: once true, always true."""
        return all(each.rejected for each in self._processes)

    @property
    def count(self) -> int:
        return self._processes[0].count

    @property
    def mean(self) -> float | None:
        return self._processes[0].mean

    @property
    def lower_bound(self) -> float:
        """What the mean is above, at all times together."""
        return self._processes[0].lower_bound


def _process(cell: Cell, drop: float) -> EProcess:
    scatter = max(cell.null * (1 - cell.null), _LEAST_SCATTER)
    return EProcess(cell.null, cell.alpha, low=0.0, high=1.0, drop=drop, scatter=scatter)


def _inside(null: float) -> float:
    """A null that leaves room to bet on both sides."""
    return min(max(null, _LEAST_NULL), _MOST_NULL)
