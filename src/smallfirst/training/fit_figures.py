"""What there is to say of a fitted router, flat: kept beside its artifact, and told as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from smallfirst.training.router_fit import Fit


def fit_figures(found: Fit) -> dict[str, Any]:
    """What is said of a fit, flat."""
    chosen, fitted = found.chosen, found.fitted
    bound = chosen.bound
    return {
        "task": fitted.task,
        "ladder": fitted.ladder,
        "examples": found.train + found.calibration,
        "train": found.train,
        "calibration": found.calibration,
        "margin": bound.margin,
        "confidence": bound.confidence,
        "kept": bound.kept,
        "small_share": bound.small_share,
        "loss": bound.loss,
        "loss_bound": bound.loss_bound,
        "cost_ratio": chosen.cost / chosen.frontier_cost if chosen.frontier_cost else None,
        "tested": chosen.tested,
        "certified": chosen.certified,
        "examples_needed": chosen.examples_needed,
        "ask": fitted.thresholds.ask,
        "accept": fitted.thresholds.accept,
        "embedder": fitted.embedder,
        "by": fitted.by,
    }
