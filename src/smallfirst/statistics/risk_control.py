"""Which of a fixed sequence of policies may be used, so that the chosen one's true loss exceeds the margin with
probability at most δ.

Learn then Test (Angelopoulos, Bates, Candès, Jordan and Lei, Annals of Applied Statistics 19 (2025),
https://arxiv.org/abs/2110.01052): each policy's "its loss is above the margin" is a hypothesis with a p-value. Tested
in an order fixed without these examples, each at the full δ, until the first that cannot be refuted, only
the first true hypothesis of the sequence can do harm: to choose it or anything beyond, it must be refuted, which
happens with probability at most δ. So none of those that passed is wrong, with probability 1 − δ, and any of them
may be taken. An order by the evidence that other examples have for each policy is Pareto testing
(Laufer-Goldshtein, Fisch, Barzilay and Jaakkola, ICLR 2023, https://arxiv.org/abs/2210.07913).
"""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smallfirst.statistics import betting, binomial


class RiskControl(msgspec.Struct, frozen=True, kw_only=True):
    """What the tests said. `certified` is the index of the last policy that passed; None: not one did.

    `p_values` and `mean_losses` are of the policies tested, in order, the first that failed included. `mean_loss` and
    `loss_bound` are the certified policy's; the bound is its own at 1 − δ and never above the margin. What holds
    for the choice is the margin: the bound was looked at after choosing. `examples_needed` is how many
    examples in all the policy that failed would take, were they like these: None where none failed, and where
    no number would do.
    """

    margin: float
    delta: float
    examples: int
    policies: int
    certified: int | None
    p_values: tuple[float, ...]
    mean_losses: tuple[float, ...]
    mean_loss: float | None
    loss_bound: float | None
    examples_needed: int | None

    @property
    def failed(self) -> int | None:
        """The index of the first policy that could not be shown to keep the margin."""
        passed = 0 if self.certified is None else self.certified + 1
        return passed if passed < len(self.p_values) else None


def fixed_sequence(
    losses: ArrayLike,
    *,
    margin: float,
    delta: float = 0.05,
    binary: bool = False,
    expected: ArrayLike | None = None,
) -> RiskControl:
    """Tests policies in their order until the first that fails.

    `losses` has shape (examples, policies): each example's loss in [−1, 1] under each policy; the rows are
    independent draws, the columns may depend on one another in any way, and their order was fixed without these rows.
    `expected`, of shape (others, policies), are losses of the same policies on other examples, say those that the order came
    from: the bets are aimed by them, which takes fewer examples and is as valid. `binary` says that a loss is 0 or 1 by
    construction (then Clopper and Pearson's test is used, which is sharper still); ValueError if one is not.
    """
    matrix, others = _checked(losses, expected, binary=binary)
    tests: list[_Bounded] = []
    p_values: list[float] = []
    for at, column in enumerate(matrix.T):
        elsewhere = None if others is None else others[:, at]
        kind = _Binary if binary else _Bounded
        tests.append(kind(column, margin=margin, delta=delta, expected=elsewhere))
        p_values.append(tests[-1].p_value())
        if p_values[-1] > delta:
            break
    failed = tests[-1] if p_values and p_values[-1] > delta else None
    passed = tests if failed is None else tests[:-1]
    return RiskControl(
        margin=margin,
        delta=delta,
        examples=matrix.shape[0],
        policies=matrix.shape[1],
        certified=len(passed) - 1 if passed else None,
        p_values=tuple(p_values),
        mean_losses=tuple(float(test.losses.mean()) for test in tests) if matrix.size else (),
        mean_loss=float(passed[-1].losses.mean()) if passed else None,
        loss_bound=passed[-1].upper_bound() if passed else None,
        examples_needed=None if failed is None else failed.examples_needed(),
    )


def _checked(
    losses: ArrayLike, expected: ArrayLike | None, *, binary: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None]:
    matrix = _matrix(losses, "losses")
    if binary and not np.all((matrix == 0) | (matrix == 1)):
        raise ValueError("losses: expected 0 or 1, since they were said to be binary")
    others = None if expected is None else _matrix(expected, "expected")
    if others is not None and others.shape[1] != matrix.shape[1]:
        raise ValueError(f"expected: {others.shape[1]} policies, but losses of {matrix.shape[1]}")
    return matrix, others


def _matrix(values: ArrayLike, name: str) -> NDArray[np.float64]:
    matrix = np.asarray(values, dtype=np.float64)
    if matrix.ndim != 2:
        raise ValueError(f"{name}: expected shape (examples, policies), got {matrix.shape}")
    return matrix


class _Bounded:
    """The test of one policy whose losses lie in [−1, 1], by betting."""

    def __init__(
        self,
        losses: NDArray[np.float64],
        *,
        margin: float,
        delta: float,
        expected: NDArray[np.float64] | None,
    ) -> None:
        self.losses, self.margin, self.delta, self.expected = losses, margin, delta, expected

    def p_value(self) -> float:
        return betting.p_value(self.losses, self.margin, stakes=self._stakes())

    def upper_bound(self) -> float:
        confidence = 1 - self.delta
        return min(
            self.margin, betting.upper_bound(self.losses, confidence=confidence, stakes=self._stakes())
        )

    def examples_needed(self) -> int | None:
        return betting.examples_needed(self.losses, self.margin, delta=self.delta, expected=self.expected)

    def _stakes(self) -> NDArray[np.float64]:
        if self.expected is None:
            return betting.STAKES
        return betting.aimed(self.expected, self.margin, examples=self.losses.size, delta=self.delta)


class _Binary(_Bounded):
    """The test of one policy whose losses are 0 or 1, by counting."""

    def p_value(self) -> float:
        return binomial.p_value(self._failures, self.losses.size, margin=self.margin)

    def upper_bound(self) -> float:
        bound = binomial.upper_bound(self._failures, self.losses.size, confidence=1 - self.delta)
        return min(self.margin, bound)

    def examples_needed(self) -> int | None:
        return binomial.examples_needed(
            self._failures, self.losses.size, margin=self.margin, delta=self.delta
        )

    @property
    def _failures(self) -> int:
        return int(self.losses.sum())
