"""What a regular expression finds in an answer, compared with the reference."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from smallfirst.errors import ScorerError
from smallfirst.scoring.identity import scorer_id
from smallfirst.scoring.label import normalised
from smallfirst.scoring.references import texts_of
from smallfirst.scoring.scorer import Score

_VERSION = 1
_MAX_CHARS = 20_000  # of an answer that are searched


class PatternScorer:
    """Implements `Scorer`: 1 where what the pattern finds last, its first group or all of it, is a reference without blank space around it.

    The last match counts: models give their answer at the end. A reference in which the pattern finds something is read the same way.
    """

    def __init__(self, pattern: str, *, normalise: bool = False) -> None:
        """Raises `ScorerError` where the pattern is empty or none."""
        if not pattern:
            raise ScorerError('scorer.pattern: scorer.kind = "regex" needs one, such as "Answer: (.*)"')
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise ScorerError(f"scorer.pattern: not a regular expression: {error}") from error
        self._normalise = normalise
        self.id = scorer_id("regex", _VERSION, {"pattern": pattern, "normalise": normalise})

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """`reference`: a text, or a list of texts of which each is right."""
        texts = texts_of(reference, kind="regex")
        said = self._found(output)
        if said is None:
            return Score(0.0, note="the pattern finds nothing")
        right = {
            self._key(found) for text in texts for found in (text, self._found(text)) if found is not None
        }
        return Score(1.0) if self._key(said) in right else Score(0.0, note="another value")

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        return {}

    def _found(self, text: str) -> str | None:
        last = None
        for last in self._pattern.finditer(text[-_MAX_CHARS:]):  # noqa: B007 (the last one is wanted)
            pass
        if last is None:
            return None
        return (last.group(1) or "") if self._pattern.groups else last.group()

    def _key(self, text: str) -> str:
        return normalised(text) if self._normalise else text.strip()
