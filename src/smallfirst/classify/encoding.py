"""Calls as numbers: a vector of what they mean, counts of what is in them, and their words."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.embedder import Embedder, unit
from smallfirst.classify.features import features
from smallfirst.classify.prompt import Prompt
from smallfirst.classify.words import Words, words_of

_CONTEXT_WEIGHT = 0.5


class Encoded(msgspec.Struct, frozen=True):
    """`vectors` [n, dimensions] of length 1, `features` [n, columns], `words` of each."""

    vectors: np.ndarray
    features: np.ndarray
    words: tuple[Words, ...]

    def rows(self, kept: np.ndarray) -> Encoded:
        return Encoded(self.vectors[kept], self.features[kept], tuple(self.words[at] for at in kept))


def encode(embedder: Embedder, prompts: Sequence[Prompt]) -> Encoded:
    """The prompts in their order, each as it would be alone."""
    return Encoded(
        vectors(embedder, prompts),
        np.stack([features(prompt) for prompt in prompts]),
        tuple(words_of(prompt.question) for prompt in prompts),
    )


def vectors(embedder: Embedder, prompts: Sequence[Prompt]) -> np.ndarray:
    """[n, dimensions], of length 1: the question, and what was said before it at half its weight."""
    asked = embedder.embed([prompt.question for prompt in prompts])
    told = [at for at, prompt in enumerate(prompts) if prompt.context]
    if told:
        context = embedder.embed([prompts[at].context for at in told])
        asked[told] = unit(asked[told] + _CONTEXT_WEIGHT * context)  # the others keep their bits
    return asked


def joined(parts: Sequence[Encoded]) -> Encoded:
    return Encoded(
        np.concatenate([part.vectors for part in parts]),
        np.concatenate([part.features for part in parts]),
        tuple(words for part in parts for words in part.words),
    )
