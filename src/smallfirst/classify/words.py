"""A text's words and pairs of words as hashed counts: sparse, of a fixed width, without a vocabulary to keep."""

from __future__ import annotations

import re
from collections.abc import Mapping
from zlib import crc32

import msgspec
import numpy as np

from smallfirst.classify.embedder import bounded

BUCKETS = 1 << 17
_TOKEN = re.compile(r"[^\W\d_]+|\d|[^\w\s]")


class Words(msgspec.Struct, frozen=True):
    """Buckets that occur, ascending, and 1 + the logarithm of how often."""

    buckets: np.ndarray  # int64
    weights: np.ndarray  # float64


def words_of(text: str) -> Words:
    """Lower-cased words, single digits and signs, and each with its neighbour."""
    tokens = [token.encode() for token in _TOKEN.findall(bounded(text).lower())]
    hashed = [crc32(token) for token in tokens]
    hashed += [crc32(after, before) for before, after in zip(hashed, tokens[1:], strict=False)]
    buckets, counts = np.unique(np.array(hashed, np.int64) % BUCKETS, return_counts=True)
    return Words(buckets, 1 + np.log(counts))


class WordScores:
    """Scores of hashed words by TF-IDF: one product of sparse and dense. Fitted in `training/words.py`."""

    def __init__(self, idf: np.ndarray, scores: np.ndarray) -> None:
        """`idf` [BUCKETS], 0 where a bucket is not used; `scores` [BUCKETS, outputs]."""
        self.idf = idf.astype(np.float32)
        self.scores = scores.astype(np.float32)

    def __call__(self, words: Words) -> np.ndarray:
        """[outputs]."""
        weights = words.weights * self.idf[words.buckets]
        length = np.sqrt(weights @ weights)
        if length == 0:
            return np.zeros(self.scores.shape[1])
        return (weights / length) @ self.scores[words.buckets]

    def arrays(self) -> dict[str, np.ndarray]:
        """As an artifact keeps it: the buckets that are used."""
        used = np.flatnonzero(self.idf)
        return {
            "words.buckets": used.astype(np.int32),
            "words.idf": self.idf[used],
            "words.scores": self.scores[used],
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> WordScores:
        used, scores = arrays["words.buckets"], arrays["words.scores"]
        idf, spread = np.zeros(BUCKETS, np.float32), np.zeros((BUCKETS, scores.shape[1]), np.float32)
        idf[used], spread[used] = arrays["words.idf"], scores
        return cls(idf, spread)
