"""A policy answering one request: decide, climb, check. The gateway serves with this code and evaluation measures it."""

from smallfirst.answering.climb import Answer, Answerer
from smallfirst.answering.decide import Decision, decide

__all__ = ["Answer", "Answerer", "Decision", "decide"]
