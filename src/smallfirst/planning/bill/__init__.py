"""What was spent, on what, what it is compared with, and what the month will come to."""

from smallfirst.planning.bill.bill import Bill, make_bill
from smallfirst.planning.bill.counterfactual import Counterfactual, TaskCounterfactual
from smallfirst.planning.bill.forecast import Forecast, Limit, LimitAhead, forecast, limits_ahead
from smallfirst.planning.bill.savings import Savings

__all__ = [
    "Bill",
    "Counterfactual",
    "Forecast",
    "Limit",
    "LimitAhead",
    "Savings",
    "TaskCounterfactual",
    "forecast",
    "limits_ahead",
    "make_bill",
]
