"""What it costs, and what it would have cost: read from the ledger, never written to it."""

from smallfirst.planning.bill import Bill, make_bill
from smallfirst.planning.counterfactual import Counterfactual, TaskCounterfactual

__all__ = ["Bill", "Counterfactual", "TaskCounterfactual", "make_bill"]
