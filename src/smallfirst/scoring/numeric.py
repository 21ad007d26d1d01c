"""The number that an answer ends with, compared with the reference's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smallfirst.errors import ScorerError
from smallfirst.scoring.identity import scorer_id
from smallfirst.scoring.numbers import close, number_of
from smallfirst.scoring.scorer import Score

_VERSION = 1


class NumericScorer:
    """Implements `Scorer`: 1 where the answer's last number is a reference's, within `tolerance` of it. How numbers are read: `numbers.py`."""

    def __init__(self, *, tolerance: float = 0.0) -> None:
        self._tolerance = tolerance
        self.id = scorer_id("numeric", _VERSION, {"tolerance": tolerance})

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """`reference`: a number, a text with one, or a list of these. Raises `ScorerError` where it has no number."""
        values = reference if isinstance(reference, list) else [reference]
        truths = [number for value in values if (number := number_of(value)) is not None]
        if not truths:
            raise ScorerError("the numeric scorer compares with a number, and the reference has none")
        said = number_of(output)
        if said is None:
            return Score(0.0, note="no number")
        right = any(close(said, truth, self._tolerance) for truth in truths)
        return Score(1.0) if right else Score(0.0, note="another number")

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        return {}
