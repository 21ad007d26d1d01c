"""How good a router, a head or a policy is, on rows that it was not fitted on."""

from smallfirst.evals.cost_quality import CostQuality, cost_quality
from smallfirst.evals.curve import Curve, curve_csv, full_curve
from smallfirst.evals.selective import Selective, selective

__all__ = ["CostQuality", "Curve", "Selective", "cost_quality", "curve_csv", "full_curve", "selective"]
