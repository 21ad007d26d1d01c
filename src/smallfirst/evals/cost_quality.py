"""How well a router spends calls to the frontier, in the literature's figures and on the whole curve."""

from __future__ import annotations

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smallfirst.evals.curve import NO_GAP, Curve, full_curve, rows_of
from smallfirst.evals.routellm import binned

_RANDOM_ROUTERS = 20


class CostQuality(msgspec.Struct, frozen=True, kw_only=True):
    """A router's figures on rows that it was not fitted on.

    `apgr`: average performance gap recovered, 0 the small model, 1 the frontier. `cpt50`, `cpt80`: percent of calls to the
    frontier that recover half and four fifths of the gap. `…_full` are on the curve with all its points, `cpt` at its first
    crossing; the others in RouteLLM's binning. `pgr20`: part of the gap recovered with 20 % to the frontier.
    `oracle_apgr` is of a router that knows both scores (above 1 where the small model is sometimes the better
    one), on the full curve; `random_apgr` the mean of twenty random ones. All are None where the frontier is no better
    than the small model: there is no gap to recover.
    """

    rows: int
    small_quality: float
    frontier_quality: float
    apgr: float | None
    cpt50: float | None
    cpt80: float | None
    apgr_full: float | None
    cpt50_full: float | None
    cpt80_full: float | None
    pgr20: float | None
    oracle_apgr: float | None
    random_apgr: float | None
    curve: Curve
    oracle: Curve


def cost_quality(scores: ArrayLike, *, small: ArrayLike, frontier: ArrayLike, seed: int = 0) -> CostQuality:
    """The figures of one router.

    `scores`, `small` and `frontier` have shape (n,): the router's reason to ask the frontier (higher: more) and the score of
    each model's answer. Raises ValueError where they are empty, differ in length or hold NaN.
    """
    reasons, low, high = rows_of(scores, small=small, frontier=frontier)
    exact = binned(reasons, small=low, frontier=high)
    curve = full_curve(reasons, small=low, frontier=high)
    oracle = full_curve(high - low, small=low, frontier=high)
    return CostQuality(
        rows=reasons.size,
        small_quality=exact.small,
        frontier_quality=exact.frontier,
        apgr=exact.apgr,
        cpt50=exact.cpt(0.5),
        cpt80=exact.cpt(0.8),
        apgr_full=gap_recovered(curve, curve.area),
        cpt50_full=percent_for(curve, 0.5),
        cpt80_full=percent_for(curve, 0.8),
        pgr20=gap_recovered(curve, curve.quality_at(0.2)),
        oracle_apgr=gap_recovered(oracle, oracle.area),
        random_apgr=_random_apgr(low, high, seed),
        curve=curve,
        oracle=oracle,
    )


def gap_recovered(curve: Curve, quality: float) -> float | None:
    """How much of the way from the small model to the frontier this quality is. None without a gap."""
    low, high = curve.qualities[0], curve.qualities[-1]
    return (quality - low) / (high - low) if high - low > NO_GAP else None


def percent_for(curve: Curve, part: float) -> float | None:
    """The least percentage of calls to the frontier that recovers this part of the gap. None without a gap."""
    low, high = curve.qualities[0], curve.qualities[-1]
    share = curve.share_for(low + part * (high - low)) if high - low > NO_GAP else None
    return None if share is None else 100 * share


def _random_apgr(small: NDArray[np.float64], frontier: NDArray[np.float64], seed: int) -> float | None:
    chance = np.random.default_rng(seed)
    draws = (chance.random(small.size) for _ in range(_RANDOM_ROUTERS))
    figures = [binned(scores, small=small, frontier=frontier).apgr for scores in draws]
    known = [figure for figure in figures if figure is not None]
    return sum(known) / len(known) if known else None
