"""Bounds, tests and measures on numbers: pure functions of arrays. `betting` and `binomial` share the words
`p_value`, `upper_bound` and `examples_needed`, and are used by their modules' names.
"""

from smallfirst.statistics import betting, binomial
from smallfirst.statistics.calibration import (
    RiskCoverage,
    accuracy_at,
    aurc,
    auroc,
    brier,
    ece,
    risk_coverage,
)
from smallfirst.statistics.risk_control import RiskControl, fixed_sequence

__all__ = [
    "RiskControl",
    "RiskCoverage",
    "accuracy_at",
    "aurc",
    "auroc",
    "betting",
    "binomial",
    "brier",
    "ece",
    "fixed_sequence",
    "risk_coverage",
]
