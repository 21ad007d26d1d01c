"""Answers that may be given again: exactly the same call, or, where a task has earned it, one that asks the same in other words."""
