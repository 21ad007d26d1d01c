"""The references of scorers that compare texts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from smallfirst.errors import ScorerError


def texts_of(reference: Any, *, kind: str) -> list[str]:
    """The texts of which each is right: one text, or a list of them. Raises `ScorerError` where there is none."""
    texts = [reference] if isinstance(reference, str) else reference
    if not texts and (texts is None or isinstance(texts, Sequence)):
        raise ScorerError(
            f"the {kind} scorer compares with a right answer, and this example has none: give it `references`, "
            'or score the task by a judge (scorer.kind = "judge")'
        )
    if not isinstance(texts, Sequence) or not all(isinstance(text, str) for text in texts):
        raise ScorerError(f"the {kind} scorer compares texts, and the reference is none")
    return list(texts)
