"""What may be spent: purses and their limits, the alarms of what was spent, and what is set aside for a call."""

from smallfirst.gateway.budget.alarm import Alarms
from smallfirst.gateway.budget.budgets import Budgets, Reservation
from smallfirst.gateway.budget.limit import Limit, PurseName, limits_of

__all__ = ["Alarms", "Budgets", "Limit", "PurseName", "Reservation", "limits_of"]
