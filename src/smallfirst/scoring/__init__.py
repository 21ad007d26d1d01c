"""From an output and a reference to a score in [0, 1]: scorers, and the judge with its correction."""

from smallfirst.scoring.judge import Ask, JudgeScorer, is_judged
from smallfirst.scoring.opening import named_kind, open_scorer, reference_of
from smallfirst.scoring.scorer import Score, Scorer

__all__ = [
    "Ask",
    "JudgeScorer",
    "Score",
    "Scorer",
    "is_judged",
    "named_kind",
    "open_scorer",
    "reference_of",
]
