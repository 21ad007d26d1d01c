"""How far a judge agrees with people: on the same answers, scored by both."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.scoring.label_figures import cohens_kappa, confusion
from smallfirst.scoring.needed import needed


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """`agreement`: the share of answers with the same score, with Wilson's interval. `kappa`: what of it is beyond chance, quadratically
    weighted over the scores that occur; None where one score explains all. `bias`: the mean of judge − people, with its t interval: above 0
    the judge is too kind. `confusion`: people's score → the judge's → answers. Intervals at 95 %.
    """

    answers: int
    agreement: float
    agreement_low: float
    agreement_high: float
    kappa: float | None
    bias: float
    bias_low: float
    bias_high: float
    human: float  # means
    judge: float
    confusion: dict[str, dict[str, int]]


def agreement_of(human: Sequence[float], judge: Sequence[float]) -> Agreement:
    """The figures of n ≥ 1 pairs of scores. Raises `ScorerError` where statsmodels is not installed, ValueError without pairs."""
    if not human or len(human) != len(judge):
        raise ValueError("expected as many scores by people as by the judge, at least one")
    proportion = needed("statsmodels.stats.proportion", by="a judge's agreement")
    same = sum(mine == yours for mine, yours in zip(human, judge, strict=True))
    low, high = proportion.proportion_confint(same, len(human), method="wilson")
    truths, givens = [_named(score) for score in human], [_named(score) for score in judge]
    scale = sorted({*truths, *givens}, key=float)
    bias, bias_low, bias_high = _mean(np.subtract(judge, human))
    return Agreement(
        answers=len(human),
        agreement=same / len(human),
        agreement_low=float(low),
        agreement_high=float(high),
        kappa=cohens_kappa(truths, givens, order=scale),
        bias=bias,
        bias_low=bias_low,
        bias_high=bias_high,
        human=float(np.mean(human)),
        judge=float(np.mean(judge)),
        confusion=confusion(truths, givens),
    )


def _mean(values: np.ndarray) -> tuple[float, float, float]:
    """The mean with its t interval; all of [−1, 1] where one value says nothing of its spread."""
    mean = float(values.mean())
    if len(values) < 2:
        return mean, -1.0, 1.0
    if len(Counter(values.tolist())) == 1:
        return mean, mean, mean
    weightstats = needed("statsmodels.stats.weightstats", by="a judge's agreement")
    low, high = weightstats.DescrStatsW(values).tconfint_mean()
    return mean, float(low), float(high)


def _named(score: float) -> str:
    return f"{score:g}"
