"""Bounds, tests and measures on numbers: pure functions of arrays. Most share words such as `p_value`, `upper_bound` and
`examples_needed`, and are used by their modules' names.
"""

from smallfirst.statistics import betting, binomial, holm, noninferiority, paired, power, spending
from smallfirst.statistics.calibration import (
    RiskCoverage,
    accuracy_at,
    aurc,
    auroc,
    brier,
    ece,
    risk_coverage,
)
from smallfirst.statistics.checked_failures import CheckedFailures, CheckedFailuresState
from smallfirst.statistics.paired import Estimate
from smallfirst.statistics.risk_control import RiskControl, fixed_sequence
from smallfirst.statistics.sequences import EProcess, EProcessState

__all__ = [
    "CheckedFailures",
    "CheckedFailuresState",
    "EProcess",
    "EProcessState",
    "Estimate",
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
    "holm",
    "noninferiority",
    "paired",
    "power",
    "risk_coverage",
    "spending",
]
