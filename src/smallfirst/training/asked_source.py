"""Figures from what a language model says of each call: a calibrated curve a rung, from its rating to the probability that the answer is adequate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np

from smallfirst.classify.artifact import Artifact
from smallfirst.classify.calibrated import Calibrated
from smallfirst.classify.prompt import Prompt
from smallfirst.errors import ConfigError
from smallfirst.money import NUSD_PER_USD
from smallfirst.routing.asking import AskingRouter, expected, ratings_of
from smallfirst.routing.fitted import Asked, Fitted
from smallfirst.routing.rating import Ratings
from smallfirst.routing.thresholds import UNKNOWN
from smallfirst.training.logistic import fit_calibrated, folds
from smallfirst.training.ratings import Rated
from smallfirst.training.source import Progress, Read, Spent

_FOLDS = 5
_LEAST_RATED = 20
_US_PER_MS = 1000


class Rates(Protocol):
    """Who rates calls: `ratings.Rater`."""

    asked: Asked

    def rate(self, prompts: Sequence[Prompt], progress: Progress) -> list[Rated]: ...


class AskedSource:
    """Implements `source.Source`."""

    def __init__(self, rater: Rates) -> None:
        self.by = rater.asked.model
        self._rater = rater

    def read(self, prompts: Sequence[Prompt], progress: Progress) -> Ratings:
        return ratings_of(prompts, [rated.rating for rated in self._rater.rate(prompts, progress)])

    def fit(self, train: Read, *, seed: int) -> AskedFigures:
        """Raises `ConfigError` where the model has rated too few of the examples."""
        ratings: Ratings = train.numbers
        known = np.flatnonzero(ratings.known)
        if len(known) < _LEAST_RATED:
            raise ConfigError(
                f"{self.by} gave {len(known)} of {len(ratings.values)} examples a rating; at least {_LEAST_RATED} are needed"
            )
        rated, score = ratings.rows(known), train.worth.score[known]
        crossed = np.zeros_like(score)
        for inside, outside in folds(len(known), _FOLDS, seed=seed):
            curves = _curves(rated.rows(inside), score[inside], seed=seed)
            crossed[outside] = expected(curves, rated.rows(outside))
        base = score.mean(axis=0)
        adequate = np.tile(base, (len(ratings.values), 1))
        adequate[known] = crossed
        uplift = adequate[:, -1:] - adequate
        uplift[~ratings.known, :-1] = UNKNOWN
        return AskedFigures(self._rater.asked, _curves(rated, score, seed=seed), base, adequate, uplift)

    def router(self, fitted: Fitted, found: Artifact) -> AskingRouter:
        return AskingRouter(fitted, found)

    def spent(self, router: AskingRouter, prompts: Sequence[Prompt]) -> Spent:
        """Wall time and cost of the questions as they were asked, by whatever was asked beside them."""
        rated = self._rater.rate(prompts, lambda *_: None)
        taken = np.array([one.latency_ms for one in rated]) * _US_PER_MS
        costs = [one.cost_nusd for one in rated]
        known = [cost for cost in costs if cost is not None]
        usd = sum(known) / len(costs) * 1000 / NUSD_PER_USD if len(known) == len(costs) else None
        return Spent((float(np.median(taken)), float(np.quantile(taken, 0.99))), usd)


class AskedFigures:
    """Implements `source.Figures`."""

    def __init__(
        self,
        asked: Asked,
        curves: Sequence[Calibrated],
        base: np.ndarray,
        adequate: np.ndarray,
        uplift: np.ndarray,
    ) -> None:
        """`base` [rungs]: what holds of a call that was not rated."""
        self.adequate = adequate
        self.uplift = uplift
        self._asked = asked
        self._curves = curves
        self._base = base

    def arrays(self) -> dict[str, np.ndarray]:
        arrays = {"base": self._base}
        for rung, curve in enumerate(self._curves):
            arrays |= curve.arrays(f"rung{rung}")
        return arrays

    def described(self, draft: Fitted) -> Fitted:
        return msgspec.structs.replace(draft, by=self._asked.model, asked=self._asked)

    def expected(self, numbers: Ratings) -> tuple[np.ndarray, np.ndarray]:
        """A call without a rating is as likely adequate as any, and more reason for the frontier than all others."""
        adequate = np.where(numbers.known[:, None], expected(self._curves, numbers), self._base)
        uplift = adequate[:, -1:] - adequate
        uplift[~numbers.known, :-1] = UNKNOWN
        return adequate, uplift


def _curves(ratings: Ratings, score: np.ndarray, *, seed: int) -> list[Calibrated]:
    return [fit_calibrated(ratings.features, score[:, rung], seed=seed) for rung in range(score.shape[1])]
