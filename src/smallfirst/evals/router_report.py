"""A router, fitted on some outcomes and measured on others: how well it ranks calls, how calibrated it is, what its bound was worth."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.artifact import unpack
from smallfirst.classify.prompt import Prompt
from smallfirst.evals.cost_quality import CostQuality, cost_quality
from smallfirst.routing.fitted import read_fitted
from smallfirst.routing.second_look import looks_of
from smallfirst.statistics import auroc, brier, ece
from smallfirst.training.looks import seen_by
from smallfirst.training.outcomes import Example
from smallfirst.training.router_fit import Fit, Wanted, fit_router
from smallfirst.training.source import Numbers, Progress, Read, Source, Spent, read_examples
from smallfirst.training.table import play, worth_of


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """What a router says of calls whose outcomes it does not know, [n] each: the probability that the cheapest rung's answer is adequate, that the
    frontier's is, and the reason for the frontier (the uplift that is expected of it; higher is more).
    """

    p_small: np.ndarray
    p_frontier: np.ndarray
    score: np.ndarray


class RouterReport(msgspec.Struct, frozen=True, kw_only=True):
    """`quality`: of a router fitted on all the rows. The others are of the router as `router fit` would serve it, fitted on the training part of the
    rows with its thresholds chosen on the rest. `by` is what decides; `spent` what one decision takes: CPU time of a learned router, wall time of an
    asked one.
    """

    by: str

    quality: CostQuality
    auroc: float | None
    brier: float | None
    ece: float | None
    fit: Fit
    served_apgr: float | None
    small_share: float
    loss: float
    cost: float
    frontier_cost: float
    spent: Spent

    def figures(self) -> dict[str, object]:
        """The flat figures, by the names that scripts read."""
        quality = self.quality
        names = ("apgr", "cpt50", "cpt80", "apgr_full", "cpt50_full", "cpt80_full", "pgr20")
        return {name: getattr(quality, name) for name in names} | {
            "auroc": self.auroc,
            "brier": self.brier,
            "ece": self.ece,
            "oracle_apgr": quality.oracle_apgr,
            "random_apgr": quality.random_apgr,
            "small_share": self.small_share,
            "loss": self.loss,
            "loss_bound": self.fit.chosen.bound.loss_bound,
            "margin": self.fit.chosen.bound.margin,
            "examples_needed": self.fit.chosen.examples_needed,
            "served_apgr": self.served_apgr,
            "cost_ratio": self.cost / self.frontier_cost if self.frontier_cost else None,
            "decision_us_p50": self.spent.decision_us[0],
            "decision_us_p99": self.spent.decision_us[1],
            "router_cost_usd_per_1000": self.spent.usd_per_1000,
            "by": self.by,
            "small_quality": quality.small_quality,
            "frontier_quality": quality.frontier_quality,
            "rows": quality.rows,
        }


def score(
    examples: Sequence[Example],
    prompts: Sequence[Prompt],
    wanted: Wanted,
    source: Source,
    progress: Progress,
) -> Scored:
    """Fits on all the examples and scores the prompts: of these nothing but what was asked is looked at."""
    return _scored(examples, source.read(prompts, progress), wanted, source, progress)


def _scored(
    examples: Sequence[Example], numbers: Numbers, wanted: Wanted, source: Source, progress: Progress
) -> Scored:
    read = read_examples(examples, wanted.ladder, source, progress)
    figures = source.fit(read, seed=wanted.seed)
    progress("scoring", 0, 1)
    adequate, uplift = figures.expected(numbers)
    return Scored(p_small=adequate[:, 0], p_frontier=adequate[:, -1], score=uplift[:, 0])


def evaluate(
    examples: Sequence[Example],
    test: Sequence[Example],
    wanted: Wanted,
    source: Source,
    progress: Progress,
) -> RouterReport:
    """Fits on `examples`, scores the prompts of `test`, and only then looks at the outcomes of `test`."""
    prompts = [example.prompt for example in test]
    numbers = source.read(prompts, progress)
    scored = _scored(examples, numbers, wanted, source, progress)
    fit = fit_router(examples, wanted, source, progress)
    artifact = unpack(fit.data)
    router = source.router(read_fitted(artifact), artifact)
    spent = source.spent(router, prompts)
    worth = worth_of(test, wanted.ladder)
    read = Read(examples=tuple(test), ladder=wanted.ladder, numbers=numbers, worth=worth)
    seen = seen_by(router, read, looks_of(artifact.arrays, len(wanted.ladder)))
    played = play(fit.fitted.thresholds, seen, worth)
    small, frontier = worth.score[:, 0], worth.score[:, -1]
    right = small >= 0.5
    return RouterReport(
        by=source.by,
        quality=cost_quality(scored.score, small=small, frontier=frontier),
        auroc=auroc(scored.p_small, right),
        brier=brier(scored.p_small, small),
        ece=ece(scored.p_small, small),
        fit=fit,
        served_apgr=cost_quality(seen.uplift[:, 0], small=small, frontier=frontier).apgr,
        small_share=float((played.rung < len(wanted.ladder) - 1).mean()),
        loss=float(played.loss.mean()),
        cost=float(played.cost.mean()),
        frontier_cost=float(worth.cost[:, -1].mean()),
        spent=spent,
    )
