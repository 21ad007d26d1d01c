"""How many examples a gate needs, said before it is asked: the chance that a candidate passes, from losses seen on other examples.

The losses are few themselves, so their scatter is known only roughly. Each simulated future therefore draws the scatter too: a Bayesian
bootstrap (Rubin, Annals of Statistics 9, 1981) of the groups seen and one more of the usual size, on which the candidate disagrees wholly,
for what never happened may happen. On what is drawn, wins and losses are balanced so that the true mean loss is the one supposed; then
the test is run as the gate runs it. The answer is a count of passes, not a formula.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from smallfirst.statistics.noninferiority import Sample, aimed_stakes

FUTURES = 1000
FAR = 1_000_000  # examples that nobody will collect
_STEPS = 20  # losses are told apart in twentieths


def power(
    seen: Sample, margin: float, *, examples: int, alpha: float = 0.05, loss: float = 0.0, seed: int = 0
) -> float:
    """The probability that a candidate whose true mean loss is `loss` passes on so many examples, grouped as the ones seen."""
    return _Futures(seen, margin, alpha=alpha, loss=loss, seed=seed).passing(_groups(seen, examples))


def examples_needed(
    seen: Sample,
    margin: float,
    *,
    alpha: float = 0.05,
    power: float = 0.9,
    loss: float = 0.0,
    seed: int = 0,
) -> int | None:
    """How many examples in all a candidate whose true mean loss is `loss` needs to pass with probability `power` at least.

    None where it is not below the margin, or so close to it that `FAR` examples would not do. Raises ValueError where nothing was seen.
    """
    if loss >= margin:
        return None
    futures = _Futures(seen, margin, alpha=alpha, loss=loss, seed=seed)
    # Two standard errors of the simulation, on the safe side.
    wanted = power + 2 * math.sqrt(power * (1 - power) / FUTURES)
    size = seen.examples / seen.sizes.size
    above = max(16, _about(seen, margin - loss, alpha, power) // 2)
    while above > 16 and futures.passing(above) >= wanted:
        above //= 2
    while futures.passing(above) < wanted:
        above *= 2
        if above * size > FAR:
            return None
    below = above // 2
    while above - below > max(1, above // 100):
        middle = (below + above) // 2
        below, above = (below, middle) if futures.passing(middle) >= wanted else (middle, above)
    return math.ceil(above * size)


def _about(seen: Sample, room: float, alpha: float, power: float) -> int:
    """Groups, by the normal approximation of the test's log wealth at the best stake: only where the search begins."""
    reach = math.sqrt(-2 * math.log(alpha)) + NormalDist().inv_cdf(power)
    scatter = float(np.mean(seen.sums**2)) / float(np.mean(seen.sizes)) ** 2
    return int(min(FAR, scatter * (reach / room) ** 2))


def _groups(seen: Sample, examples: int) -> int:
    return max(1, round(examples * seen.sizes.size / max(1, seen.examples)))


class _Futures:
    """Simulated held-out parts: each a scatter that may be the true one, and what is drawn from it."""

    def __init__(self, seen: Sample, margin: float, *, alpha: float, loss: float, seed: int) -> None:
        if not seen.examples:
            raise ValueError("seen: expected losses of at least one example")
        self._seen, self._margin, self._alpha, self._seed = seen, margin, alpha, seed
        usual = round(float(seen.sizes.mean()))
        distance = np.append(np.abs(seen.sums), usual)
        sizes = np.append(seen.sizes, usual)
        atoms, counts = _atoms(distance, sizes)
        chance = np.random.default_rng(seed)
        shares = chance.dirichlet(counts, size=FUTURES)
        self._atoms = atoms
        self._weights = _signed(shares, atoms, loss)

    def passing(self, groups: int) -> float:
        """The share of futures in which so many groups pass."""
        distance, sizes = self._atoms[:, 0], self._atoms[:, 1]
        margin, largest = self._margin, self._seen.largest
        stakes = self._stakes(groups)
        values = (np.concatenate([distance, -distance]) - np.tile(sizes, 2) * margin) / (
            largest * (1 - margin)
        )
        steps = np.log1p(-np.outer(np.minimum(values, 1.0), stakes))
        chance = np.random.default_rng([self._seed, groups])
        wealth = chance.multinomial(groups, self._weights) @ steps
        top = wealth.max(axis=1)
        mixed = top + np.log(np.exp(wealth - top[:, None]).mean(axis=1))
        return float(np.mean(mixed >= -math.log(self._alpha)))

    def _stakes(self, groups: int) -> NDArray[np.float64]:
        """As the gate will aim them, by the same losses."""
        sizes = np.full(groups, self._seen.largest)
        return aimed_stakes(
            Sample(np.zeros(groups), sizes), self._margin, alpha=self._alpha, expected=self._seen
        )


def _atoms(
    distance: NDArray[np.float64], sizes: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Groups of one size and about one distance as one atom, at their root mean square: shape (atoms, 2), and how many each stands for."""
    steps = np.ceil(distance / sizes * _STEPS - 1e-9)
    keys, place, counts = np.unique(
        np.stack([steps, sizes], axis=1), axis=0, return_inverse=True, return_counts=True
    )
    squares = np.zeros(counts.size)
    np.add.at(squares, place.ravel(), distance**2)
    stand_for = counts.astype(np.float64)
    atoms = np.empty((counts.size, 2))
    atoms[:, 0], atoms[:, 1] = np.sqrt(squares / stand_for), keys[:, 1]
    return atoms, stand_for


def _signed(shares: NDArray[np.float64], atoms: NDArray[np.float64], loss: float) -> NDArray[np.float64]:
    """Each atom as a loss and as a gain, so that the mean loss of an example is `loss`: shape (futures, 2 · atoms), rows sum to 1."""
    scatter, size = shares @ atoms[:, 0], shares @ atoms[:, 1]
    lean = np.clip(loss * size / np.maximum(scatter, 1e-12), -1.0, 1.0)[:, None]
    weights = np.concatenate([shares * (1 + lean) / 2, shares * (1 - lean) / 2], axis=1)
    return weights / weights.sum(axis=1, keepdims=True)
