"""Fits `classify.WordScores`: a ridge on hashed TF-IDF, solved in its dual by conjugate gradients over the sparse counts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smallfirst.classify.words import BUCKETS, Words, WordScores

_LEAST_TEXTS = 2  # in which a bucket must occur
_STEPS = 60
_CLOSE = 1e-8


def fit_words(words: Sequence[Words], target: np.ndarray, *, penalty: float) -> WordScores:
    """`target` [n, outputs], centred. Minimises squared error + penalty × squared scores, over texts of length 1."""
    rows = len(words)
    texts = np.bincount(np.concatenate([one.buckets for one in words]), minlength=BUCKETS)
    idf = np.where(texts >= _LEAST_TEXTS, np.log((1 + rows) / (1 + texts)) + 1, 0.0)
    at = np.repeat(np.arange(rows), [len(one.buckets) for one in words])
    buckets = np.concatenate([one.buckets for one in words])
    values = np.concatenate([one.weights for one in words]) * idf[buckets]
    kept = values > 0
    at, buckets, values = at[kept], buckets[kept], values[kept]
    lengths = np.sqrt(np.bincount(at, values * values, rows))
    values = values / np.where(lengths > 0, lengths, 1)[at]
    used, columns = np.unique(buckets, return_inverse=True)

    def down(dual: np.ndarray) -> np.ndarray:
        return np.bincount(columns, values * dual[at], len(used))

    def up(scores: np.ndarray) -> np.ndarray:
        return np.bincount(at, values * scores[columns], rows)

    scores = np.zeros((BUCKETS, target.shape[1]), np.float32)
    for output in range(target.shape[1]):
        dual = _solve(lambda given: up(down(given)) + penalty * given, target[:, output])
        scores[used, output] = down(dual)
    return WordScores(idf, scores)


def _solve(product, wanted: np.ndarray) -> np.ndarray:
    """Conjugate gradients (Hestenes and Stiefel, 1952)."""
    found, rest = np.zeros_like(wanted), wanted.copy()
    step, size = rest.copy(), float(rest @ rest)
    start = size
    for _ in range(_STEPS):
        if size <= _CLOSE * max(start, 1e-12):
            break
        moved = product(step)
        length = size / max(float(step @ moved), 1e-30)
        found += length * step
        rest -= length * moved
        before, size = size, float(rest @ rest)
        step = rest + size / before * step
    return found
