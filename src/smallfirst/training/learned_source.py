"""Figures learned from what calls mean: an embedding, counts and words (`difficulty.py`)."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.artifact import Artifact
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.encoding import Encoded, encode, joined
from smallfirst.classify.prompt import Prompt
from smallfirst.errors import ReleaseError
from smallfirst.routing.fitted import LEARNED, Fitted
from smallfirst.routing.learned_router import LearnedRouter
from smallfirst.training.difficulty import FittedDifficulty, fit_difficulty
from smallfirst.training.source import Progress, Read, Spent

_KEPT_EXAMPLES = 1024
_STEP = 256
_TIMED = 400


class LearnedSource:
    """Implements `source.Source`."""

    by = LEARNED

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder

    def read(self, prompts: Sequence[Prompt], progress: Progress) -> Encoded:
        parts = []
        for at in range(0, len(prompts), _STEP):
            parts.append(encode(self._embedder, prompts[at : at + _STEP]))
            progress("reading", min(at + _STEP, len(prompts)), len(prompts))
        return joined(parts)

    def fit(self, train: Read, *, seed: int) -> LearnedFigures:
        intents = [example.row.intent for example in train.examples]
        found = fit_difficulty(train.numbers, train.worth.score, intents, seed=seed)
        return LearnedFigures(found, train, self._embedder, seed=seed)

    def router(self, fitted: Fitted, found: Artifact) -> LearnedRouter:
        if fitted.embedder_sha256 != self._embedder.sha256:
            raise ReleaseError(f"the router was fitted with other weights of {fitted.embedder}")
        return LearnedRouter(fitted, found, self._embedder)

    def spent(self, router: LearnedRouter, prompts: Sequence[Prompt]) -> Spent:
        """CPU time, text to judgement: nothing is waited for, and nobody is paid."""
        router.judge_now(prompts[0])
        taken = []
        for prompt in prompts[:_TIMED]:
            began_ns = time.thread_time_ns()
            router.judge_now(prompt)
            taken.append((time.thread_time_ns() - began_ns) / 1000)
        return Spent((float(np.median(taken)), float(np.quantile(taken, 0.99))), 0.0)


class LearnedFigures:
    """Implements `source.Figures`."""

    def __init__(self, found: FittedDifficulty, train: Read, embedder: Embedder, *, seed: int) -> None:
        self.adequate = found.adequate
        self.uplift = found.uplift
        self._found = found
        self._train = train
        self._embedder = embedder
        self._kept = _kept_rows(len(train.examples), seed)

    def arrays(self) -> dict[str, np.ndarray]:
        kept = self._train.numbers.vectors[self._kept]
        return self._found.difficulty.arrays() | {"examples": kept.astype(np.float16)}

    def described(self, draft: Fitted) -> Fitted:
        return msgspec.structs.replace(
            draft,
            by=LEARNED,
            embedder=self._embedder.name,
            embedder_sha256=self._embedder.sha256,
            intents=self._found.intents,
            examples=tuple(self._train.examples[at].id for at in self._kept),
            unknown_below=_unknown_below(self._train.numbers.vectors, self._kept),
        )

    def expected(self, numbers: Encoded) -> tuple[np.ndarray, np.ndarray]:
        found = self._found.difficulty.expected(numbers)
        return found.adequate, found.uplift


def _kept_rows(rows: int, seed: int) -> np.ndarray:
    """The examples whose vectors go into the artifact: all, or a seeded sample."""
    if rows <= _KEPT_EXAMPLES:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, _KEPT_EXAMPLES, replace=False))


def _unknown_below(vectors: np.ndarray, kept: np.ndarray) -> float:
    """The cosine to its nearest kept example below which a call is unlike anything seen: one training row in two hundred is nearly so."""
    cosines = vectors @ vectors[kept].T
    cosines[kept, np.arange(len(kept))] = -1  # not to itself
    return float(np.quantile(cosines.max(axis=1), 0.005)) - 0.05
