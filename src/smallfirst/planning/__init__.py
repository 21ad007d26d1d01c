"""What it costs, what it would cost, and what it would take: read from the ledger, never written to it."""

from smallfirst.planning.bill import Bill, Counterfactual, TaskCounterfactual, make_bill

__all__ = ["Bill", "Counterfactual", "TaskCounterfactual", "make_bill"]
