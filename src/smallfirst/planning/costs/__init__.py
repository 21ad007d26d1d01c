"""What the ways of answering cost beside each other: the frontier alone, a hosted small model, own GPUs, by the second, on spot."""

from smallfirst.planning.costs.break_even import BreakEven, Line, break_even
from smallfirst.planning.costs.plan import Plan, make_plan
from smallfirst.planning.costs.ratio import bill_left, frontier_share_needed, hit_rate_needed
from smallfirst.planning.costs.saved import SavedPlan, load_plan

__all__ = [
    "BreakEven",
    "Line",
    "Plan",
    "SavedPlan",
    "bill_left",
    "break_even",
    "frontier_share_needed",
    "hit_rate_needed",
    "load_plan",
    "make_plan",
]
