"""The decision "same answer?": candidates → the best answer, and the calibrated probability that it is right. Pure numpy.

    PRIOR.judge(text, vector, candidates)      before anything is learned of a task
    load_guard(path).judge(…)                  what `training/cache/guard.py` fitted

What is learned is a metric in which texts of one answer lie together, which words decide, and how much each feature says: no answers and no
texts. One guard serves all partitions of a task. `differences.py` has the last word.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from zlib import crc32

import numpy as np

from smallfirst.cache.semantic import lexicon
from smallfirst.cache.semantic.differences import difference
from smallfirst.cache.semantic.guard_features import NAMES, NEAR, near, worded
from smallfirst.cache.semantic.seen import Candidate, Judgement
from smallfirst.classify import artifact
from smallfirst.errors import ReleaseError

KIND = "cache-guard"
FORMAT = 1
_FUNCTION_WEIGHT, _CONTENT_WEIGHT = 0.6, 3.0  # of words of which nothing is known
_FURTHEST = 30.0  # log odds


class Guard:
    """What was learned of one task, frozen."""

    def __init__(
        self,
        *,
        weights: np.ndarray,
        bias: float,
        metric: np.ndarray | None = None,
        words: dict[int, tuple[float, float]] | None = None,
        sha256: str = "",
    ) -> None:
        """`weights` [NAMES] and `bias`: of raw features. `words`: weight and decision of each, by hash. `sha256`: empty for the prior."""
        self.weights = np.asarray(weights, np.float64)
        self.bias = float(bias)
        self.metric = metric
        self.sha256 = sha256
        self._words = words or {}
        self._rarest = max((weight for weight, _ in self._words.values()), default=0.0)

    def judge(self, text: str, vector: np.ndarray, candidates: Sequence[Candidate]) -> Judgement | None:
        """The best candidate and what speaks for it. None: there is no candidate, or another embedder's."""
        if not candidates or (self.metric is not None and len(vector) != len(self.metric)):
            return None
        answers = near(vector, candidates, self.metric)
        rough = answers.features @ self.weights[: len(NEAR)]
        ranked = np.argsort(-rough, kind="stable")
        words = worded(text, candidates, answers, ranked, self.weigh)
        rows = np.concatenate([answers.features[ranked[: len(words)]], words], axis=1)
        log_odds = rows @ self.weights + self.bias
        best = int(log_odds.argmax())
        candidate = candidates[answers.members(int(ranked[best]))[0]]
        refused = difference(text, candidate.text, similarity=candidate.similarity, decides=self.decides)
        chance = 0.0 if refused else float(1 / (1 + np.exp(-np.clip(log_odds[best], -_FURTHEST, _FURTHEST))))
        return Judgement(
            candidate=candidate, probability=chance, features=tuple(rows[best].tolist()), refused=refused
        )

    def weigh(self, word: str) -> tuple[float, float]:
        """A word's weight (rarer words say more), and how far it decides between answers."""
        known = self._words.get(crc32(word.encode()))
        if known is not None:
            return known
        if self._words:
            return self._rarest, 0.0
        return (_FUNCTION_WEIGHT if word in lexicon.FUNCTION else _CONTENT_WEIGHT), 0.0

    def decides(self, word: str) -> float | None:
        """How far a word decides between answers: below 0 it was seen to vary freely within one. None: nothing is known of it."""
        known = self._words.get(crc32(word.encode()))
        return None if known is None else known[1]

    def packed(self) -> bytes:
        """Its file's bytes."""
        hashes = sorted(self._words)
        arrays = {
            "weights": self.weights,
            "bias": np.array([self.bias]),
            "words.hashes": np.array(hashes, np.uint32),
            "words.known": np.array([self._words[one] for one in hashes], np.float32).reshape(-1, 2),
        }
        if self.metric is not None:
            arrays["metric"] = self.metric.astype(np.float32)
        return artifact.pack(KIND, {"format": FORMAT, "features": list(NAMES)}, arrays)


def load_guard(path: Path) -> Guard:
    """The guard of this file, which must be what its name says. Raises `ReleaseError`."""
    return guard_of(artifact.read(path))


def guard_of(found: artifact.Artifact) -> Guard:
    """Raises `ReleaseError` where it is something else, or made for other features."""
    if (
        found.kind != KIND
        or found.header.get("format") != FORMAT
        or found.header.get("features") != list(NAMES)
    ):
        raise ReleaseError(
            f"{found.sha256[:12]} is no cache guard of this version; it is fitted again from what was observed"
        )
    arrays = found.arrays
    known = arrays["words.known"].astype(np.float64).tolist()
    return Guard(
        weights=arrays["weights"],
        bias=float(arrays["bias"][0]),
        metric=arrays.get("metric"),
        words={
            one: (weight, decides)
            for one, (weight, decides) in zip(arrays["words.hashes"].tolist(), known, strict=True)
        },
        sha256=found.sha256,
    )


# Fitted to what was recorded on two public data sets with two embedders each (design/008-cache.md); a task's own observations take over as they come.
_PRIOR = {
    "similarity": 1.42, "margin": 4.79, "vote": 0.2, "learned_similarity": -0.49, "learned_margin": -1.44, "learned_vote": -0.05, "centre": -0.33,
    "centre_margin": 4.58, "density": 2.13, "learned": -0.64, "agreement": 3.17, "members": 0.02, "covered": 1.08, "covered_margin": 3.04,
    "covered_by_one": -0.2, "covers": 0.5, "freedom": -0.26, "kinds": -0.73,
}  # fmt: skip
PRIOR = Guard(weights=np.array([_PRIOR[name] for name in NAMES]), bias=-2.8)
