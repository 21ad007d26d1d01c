"""How much of a reference's wording a text has: ROUGE-L and chrF, by the libraries that others' figures come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from smallfirst.scoring.identity import scorer_id
from smallfirst.scoring.needed import needed
from smallfirst.scoring.references import texts_of
from smallfirst.scoring.scorer import Score

_VERSION = 1
MAX_CHARS = 20_000  # of a text that are compared: ROUGE-L's time grows with the product of both lengths


class RougeLScorer:
    """Implements `Scorer` for texts: the F-measure of the longest common subsequence of words (Lin, 2004), with the reference that fits
    best. As rouge_score counts without stemming: letters and digits of ASCII, in lower case; a text without any scores 1 if it is the
    reference. For other scripts take chrF.
    """

    def __init__(self) -> None:
        """Raises `ScorerError` where rouge_score is not installed."""
        scorer = needed("rouge_score.rouge_scorer", by='scorer.kind = "rouge-l"')
        self._rouge = scorer.RougeScorer(["rougeL"], use_stemmer=False)
        self.id = scorer_id("rouge-l", _VERSION, {"rouge_score": version("rouge_score"), "chars": MAX_CHARS})

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """`reference`: a text, or a list of texts; `parts` has precision and recall."""
        return max(
            (self._one(output, text) for text in texts_of(reference, kind="rouge-l")),
            key=lambda score: score.value,
        )

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        return {}

    def _one(self, output: str, text: str) -> Score:
        if output.strip() == text.strip():
            return Score(1.0, {"precision": 1.0, "recall": 1.0})
        found = self._rouge.score(text[:MAX_CHARS], output[:MAX_CHARS])["rougeL"]
        return Score(
            float(found.fmeasure), {"precision": float(found.precision), "recall": float(found.recall)}
        )


class ChrfScorer:
    """Implements `Scorer` for texts: the F-score of character n-grams (Popović, 2015), 6 long at most and β = 2, as sacrebleu's sentence chrF
    with the reference that fits best. Works for every script.
    """

    def __init__(self) -> None:
        """Raises `ScorerError` where sacrebleu is not installed."""
        self._chrf = needed("sacrebleu.metrics.chrf", by='scorer.kind = "chrf"').CHRF()
        self.id = scorer_id("chrf", _VERSION, {"sacrebleu": version("sacrebleu"), "chars": MAX_CHARS})

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """`reference`: a text, or a list of texts."""
        texts = texts_of(reference, kind="chrf")
        if output.strip() in {text.strip() for text in texts}:
            return Score(1.0)
        cut = [text[:MAX_CHARS] for text in texts]
        return Score(min(1.0, max(0.0, self._chrf.sentence_score(output[:MAX_CHARS], cut).score / 100)))

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        """`corpus_chrf`: of all texts together, with each row's first reference."""
        if not outputs:
            return {}
        first = [texts_of(reference, kind="chrf")[0] for reference in references]
        return {"corpus_chrf": self._chrf.corpus_score(list(outputs), [first]).score / 100}
