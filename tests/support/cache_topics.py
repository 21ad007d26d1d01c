"""Entries of a made-up task whose answers are topics: each topic a direction, and noise that is the same in all of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smallfirst.cache.semantic.seen import Candidate
from smallfirst.training.cache.guard import Known

DIMENSIONS = 16
TOPICS = 8
_WORDS = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta")


def topics(*, per_topic: int, text: str = "topic {topic} {word}", seed: int = 0) -> Known:
    """`per_topic` entries of each topic; noise along the first 8 dimensions is louder than what tells topics apart."""
    chance = np.random.default_rng(seed)
    vectors: list[np.ndarray] = []
    answers: list[int] = []
    texts: list[str] = []
    for row in range(per_topic * TOPICS):
        topic = row % TOPICS
        vector = np.concatenate(
            [chance.normal(size=8), np.eye(TOPICS)[topic] + 0.1 * chance.normal(size=TOPICS)]
        )
        vectors.append(vector / np.linalg.norm(vector))
        answers.append(topic * 10)
        texts.append(text.format(topic=topic, word=_WORDS[row % len(_WORDS)]))
    return Known(vectors=np.array(vectors, np.float32), answers=np.array(answers), texts=texts)


def candidates(known: Known, vector: np.ndarray, *, but: Sequence[int] = ()) -> list[Candidate]:
    """All entries, nearest first."""
    similarity = known.vectors @ vector
    return [
        Candidate(
            entry=int(at),
            answer=int(known.answers[at]),
            text=known.texts[int(at)],
            vector=known.vectors[at],
            similarity=float(similarity[at]),
        )
        for at in np.argsort(-similarity, kind="stable")
        if at not in but
    ]
