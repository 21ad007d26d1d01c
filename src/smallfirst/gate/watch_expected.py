"""What a watch is to expect: measured on held-out examples when the gate judges, and how many pairs a drop beyond it takes to be seen."""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import ArrayLike

from smallfirst.gate.watch import ALPHA_SHARES, Expected, Rule
from smallfirst.gate.watch_excess import LEVELS, cells
from smallfirst.releases.verdict import Disagreement
from smallfirst.statistics import binomial, noninferiority
from smallfirst.statistics.paired import Groups

LEAST_EXAMPLES = 20
MOST_PAIRS = 1000  # that a stage waits for
_FACTORS = (1.0, 1.25, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 8.0, 12.0, 20.0, 50.0)


def measured(scores: ArrayLike, *, groups: Groups = None) -> Disagreement | None:
    """What a verdict says of disagreement: `scores`, of shape (n,) in [0, 1], are small models' answers' with the frontier's as
    reference, on the held-out examples that a small model answered.

    None where there are too few to say anything. The bounds are Clopper and Pearson's where scores are 0 or 1 and no two examples are
    of one group, by betting otherwise.
    """
    lost = 1.0 - np.asarray(scores, dtype=np.float64)
    if lost.size < LEAST_EXAMPLES:
        return None
    sample = noninferiority.sample_of(lost, groups)
    plain = sample.largest == 1 and bool(np.all((lost == 0) | (lost == 1)))

    def bound(level: float) -> float:
        if plain:
            return binomial.upper_bound(int(lost.sum()), lost.size, confidence=1 - level)
        return noninferiority.upper_bound(sample, alpha=level)

    bounds = tuple((level, float(bound(level))) for level in LEVELS)
    return Disagreement(mean=float(lost.mean()), bounds=bounds, examples=int(lost.size))


def expectation(found: Disagreement | None, margin: float) -> Expected:
    """What to expect of a candidate: what its verdict measured; without one, what its task accepts as loss."""
    if found is None:
        return Expected(mean=margin, bounds=((1.0, margin),), examples=0, by="margin")
    return Expected(mean=found.mean, bounds=found.bounds, examples=found.examples, by="verdict")


class Reach(msgspec.Struct, frozen=True, kw_only=True):
    """In how many pairs which drop is found every other time."""

    pairs: int
    drop: float


def reach(rule: Rule, expected: Expected, *, small_share: float = 1.0) -> Reach:
    """How many pairs a stage needs: as many as find `rule.drop`, or, where `MOST_PAIRS` would not do, the next larger drop that they find.

    So it is where few held-out examples cannot tell a small drop from luck, however many pairs there are. A drop is of all calls and pairs are
    of those that small models answered, so it shows in pairs as 1 / `small_share` times itself.
    """
    for factor in _FACTORS:
        drop = rule.drop * factor
        is_then = expected.mean + drop / max(small_share, 1e-6)
        pairs = _pairs(rule, expected, min(is_then, 0.99))
        if pairs is not None and pairs <= MOST_PAIRS:
            return Reach(pairs=pairs, drop=drop)
        if is_then >= 1:
            break
    return Reach(pairs=MOST_PAIRS, drop=1.0)


def _pairs(rule: Rule, expected: Expected, is_then: float) -> int | None:
    """Wald's approximation for each test: log(1/α) over the relative entropy between what is and what may be. None where no number would do."""
    needed = 1.0
    for cell in cells(expected.bounds, rule.alpha * ALPHA_SHARES["quality"]):
        if cell.null >= is_then:
            return None
        growth = is_then * math.log(is_then / cell.null)
        growth += (1 - is_then) * math.log((1 - is_then) / (1 - cell.null))
        needed = max(needed, -math.log(cell.alpha) / growth)
    return math.ceil(needed)
