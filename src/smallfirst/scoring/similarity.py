"""How near a text is to a reference in meaning, as an embedder sees it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from smallfirst.classify.embedder import Embedder, bounded
from smallfirst.scoring.identity import scorer_id
from smallfirst.scoring.references import texts_of
from smallfirst.scoring.scorer import Score

_VERSION = 1


class SimilarityScorer:
    """Implements `Scorer` for texts: the cosine of the two vectors, negative ones as 0, with the nearest reference.

    It says that two texts are about the same, not that they say the same: "is paid" and "is not paid" are near. It is no proof of quality.
    """

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self.id = scorer_id("embedding", _VERSION, {"embedder": embedder.name, "sha256": embedder.sha256})

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """`reference`: a text, or a list of texts."""
        texts = texts_of(reference, kind="embedding")
        if output.strip() in {text.strip() for text in texts}:
            return Score(1.0)
        vectors = self._embedder.embed([bounded(text) for text in (output, *texts)]).astype(np.float64)
        return Score(float(np.clip((vectors[1:] @ vectors[0]).max(), 0.0, 1.0)))

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        return {}
