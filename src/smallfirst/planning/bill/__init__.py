"""What was spent, on what, and what it is compared with."""

from smallfirst.planning.bill.bill import Bill, make_bill
from smallfirst.planning.bill.counterfactual import Counterfactual, TaskCounterfactual

__all__ = ["Bill", "Counterfactual", "TaskCounterfactual", "make_bill"]
