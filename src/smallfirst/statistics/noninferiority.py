"""Is a candidate worse than what it is compared with by less than the margin? Tested by betting, exact at every number of examples.

A loss is score(other) − score(candidate) on one example, in [−1, 1]. Examples come in groups (a conversation, a user) that are independent
of one another and not inside. The hypothesis to refute is "the mean loss is at least the margin": E[Σ_g S_g] ≥ 0 with
S_g = Σ_{i in g} (loss_i − margin). Each S_g, over the size of the largest group, is one bounded variable; a gambler with a fixed stake
multiplies his wealth by 1 − stake · S_g / (n_max (1 − margin)). Given the groups' sizes and independent groups, the expectation of the product is
at most (1 − stake · mean)^G ≤ 1 under the hypothesis (arithmetic over geometric mean), whatever the scores, so 1 / wealth is a p-value:
`betting.p_value`. The bound on the loss is its inverse, for S_g / (1 − margin) falls as the margin grows.

The stake is aimed by other examples than the test's (calibration) where there are any; aimed badly it has less power and is as valid.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smallfirst.statistics import betting
from smallfirst.statistics.paired import LOSSES, Groups, group_sums


class NonInferiority(msgspec.Struct, frozen=True, kw_only=True):
    """`bound` is what the mean loss does not exceed and `floor` what it does not fall below, each with confidence 1 − alpha;
    `p_value` is of "the loss is at least the margin"."""

    loss: float
    bound: float
    floor: float
    p_value: float
    margin: float
    alpha: float
    examples: int
    groups: int

    @property
    def shown(self) -> bool:
        """The loss is below the margin, at level alpha."""
        return self.p_value <= self.alpha

    @property
    def refuted(self) -> bool:
        """The candidate is worse, at level alpha, and as far as was seen by more than the margin."""
        return self.floor > 0 and self.loss > self.margin


class Sample(msgspec.Struct, frozen=True):
    """Losses summed by group: what the test needs of them."""

    sums: NDArray[np.float64]
    sizes: NDArray[np.int64]

    @property
    def examples(self) -> int:
        return int(self.sizes.sum())

    @property
    def largest(self) -> int:
        return int(self.sizes.max()) if self.sizes.size else 1


def sample_of(losses: ArrayLike, groups: Groups = None) -> Sample:
    """Losses of shape (n,) as sums and sizes of groups. Raises ValueError for a loss outside [−1, 1]."""
    values = np.asarray(losses, dtype=np.float64)
    if values.ndim != 1 or not np.all((values >= LOSSES[0]) & (values <= LOSSES[1])):
        raise ValueError("losses: expected numbers in [-1, 1], in one dimension")
    return Sample(*group_sums(values, groups))


def judge(
    losses: ArrayLike,
    margin: float,
    *,
    groups: Groups = None,
    alpha: float = 0.05,
    expected: Sample | None = None,
) -> NonInferiority:
    """The test of these losses, of shape (n,), against the margin at level alpha, and both one-sided bounds.

    `expected` is a sample of losses on other examples, by which the stakes are aimed. No losses show nothing.
    """
    return judge_sample(sample_of(losses, groups), margin, alpha=alpha, expected=expected)


def judge_sample(
    sample: Sample, margin: float, *, alpha: float = 0.05, expected: Sample | None = None
) -> NonInferiority:
    """As `judge`, of losses that are summed already."""
    if not 0 <= margin < 1:
        raise ValueError(f"margin: expected a number in [0, 1), got {margin:g}")
    if not sample.examples:
        nothing = {"loss": 0.0, "bound": 1.0, "floor": -1.0, "p_value": 1.0}
        return NonInferiority(**nothing, margin=margin, alpha=alpha, examples=0, groups=0)
    stakes = aimed_stakes(sample, margin, alpha=alpha, expected=expected)
    opposite = Sample(-sample.sums, sample.sizes)
    return NonInferiority(
        loss=float(sample.sums.sum() / sample.examples),
        bound=upper_bound(sample, alpha=alpha, stakes=stakes),
        floor=-upper_bound(opposite, alpha=alpha),
        p_value=p_value(sample, margin, stakes=stakes),
        margin=margin,
        alpha=alpha,
        examples=sample.examples,
        groups=int(sample.sizes.size),
    )


def p_value(sample: Sample, margin: float, *, stakes: NDArray[np.float64] = betting.STAKES) -> float:
    """How likely losses that speak as strongly against "the mean loss is at least `margin`" would be if it were so, at most."""
    bounds = _bounds(margin)
    return betting.p_value(_scaled(sample, margin, sample.largest), 0.0, bounds=bounds, stakes=stakes)


def upper_bound(
    sample: Sample, *, alpha: float = 0.05, stakes: NDArray[np.float64] = betting.STAKES
) -> float:
    """The least loss that is refuted at level alpha (rounded up, to a millionth), 1 if none is."""
    below, above = (float(sample.sums.sum() / sample.examples) if sample.examples else 1.0), 1.0
    while above - below > 1e-6:
        middle = (below + above) / 2
        if p_value(sample, middle, stakes=stakes) <= alpha:
            above = middle
        else:
            below = middle
    return above


def aimed_stakes(
    sample: Sample, margin: float, *, alpha: float, expected: Sample | None
) -> NDArray[np.float64]:
    """The stakes with the best chance for a sample of these sizes, if losses scatter as the expected ones do; all of them where none are.

    Of `sample` only the sizes of its groups are used.
    """
    if expected is None or not expected.examples:
        return betting.STAKES
    seen = np.clip(_scaled(_level(expected), margin, sample.largest), *_bounds(margin))
    return betting.aimed(seen, 0.0, examples=int(sample.sizes.size), delta=alpha, bounds=_bounds(margin))


def _level(sample: Sample) -> Sample:
    """The same scatter with a mean loss of zero: each group once as it is and once turned round.

    A stake is aimed for a candidate that is as good; that the expected losses happen to be above or below zero must not turn it aside.
    """
    return Sample(np.concatenate([sample.sums, -sample.sums]), np.concatenate([sample.sizes, sample.sizes]))


def _scaled(sample: Sample, margin: float, largest: int) -> NDArray[np.float64]:
    """S_g / n_max, one a group, in the bounds (which rounding must not leave)."""
    scaled = (sample.sums - sample.sizes * margin) / largest
    low, high = _bounds(margin)
    if scaled.size and math.isclose(float(np.abs(scaled).max()), 1 + margin, rel_tol=1e-12):
        return np.clip(scaled, low, high)
    return np.minimum(scaled, high) if largest >= sample.largest else scaled


def _bounds(margin: float) -> tuple[float, float]:
    return -(1.0 + margin), 1.0 - margin
