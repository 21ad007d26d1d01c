"""Words, pairs of words and pieces of words as TF-IDF: what an embedding averages away (names, codes, endings) is still there.

A vocabulary is kept as hashes: what was learned from holds words of somebody's, and weights need none of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from zlib import crc32

import numpy as np

from smallfirst.classify.embedder import bounded

_TOKEN = re.compile(r"\w+|[^\w\s]")
_WORD_SEED = 1  # words and pieces of words hash apart
_SHORTEST, _LONGEST = 2, 5

Counts = dict[int, int]


def grams(text: str) -> tuple[Counts, Counts]:
    """Hashed counts of words and pairs of words, and of pieces of two to five characters of each word with a blank around it."""
    text = bounded(text).lower()
    words: Counts = {}
    tokens = [token.encode() for token in _TOKEN.findall(text)]
    for at, token in enumerate(tokens):
        one = crc32(token, _WORD_SEED)
        words[one] = words.get(one, 0) + 1
        if at + 1 < len(tokens):
            pair = crc32(tokens[at + 1], one)
            words[pair] = words.get(pair, 0) + 1
    pieces: Counts = {}
    for word in text.split():
        padded = f" {word} ".encode()
        size = len(padded)
        for length in range(_SHORTEST, min(_LONGEST, size) + 1):
            for at in range(size - length + 1):
                piece = crc32(padded[at : at + length])
                pieces[piece] = pieces.get(piece, 0) + 1
    return words, pieces


class Ngrams:
    """A vocabulary: hashes by column, words first, with their inverse document frequencies."""

    def __init__(self, hashes: np.ndarray, idf: np.ndarray, words: int) -> None:
        """`hashes` uint32 and `idf` [columns]; the first `words` of them are of words, the others of pieces."""
        self.hashes = hashes.astype(np.uint32)
        self.idf = idf.astype(np.float32)
        self.words = words
        known = self.hashes.tolist()
        self._words = {one: at for at, one in enumerate(known[:words])}
        self._pieces = {one: at + words for at, one in enumerate(known[words:])}

    def row(self, counted: tuple[Counts, Counts]) -> tuple[np.ndarray, np.ndarray]:
        """Columns and values of a text: (1 + log count) · idf, words and pieces each half of its length."""
        columns, values = [], []
        for counts, known in zip(counted, (self._words, self._pieces), strict=True):
            found = [(known[one], count) for one, count in counts.items() if one in known]
            if not found:
                continue
            at = np.array([column for column, _ in found])
            value = (1 + np.log(np.array([count for _, count in found], np.float32))) * self.idf[at]
            columns.append(at)
            values.append(value / np.sqrt(2 * (value @ value)))
        if not columns:
            return np.zeros(0, np.int64), np.zeros(0, np.float32)
        return np.concatenate(columns), np.concatenate(values)

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "ngrams.hashes": self.hashes,
            "ngrams.idf": self.idf,
            "ngrams.words": np.array([self.words]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Ngrams:
        return cls(arrays["ngrams.hashes"], arrays["ngrams.idf"], int(arrays["ngrams.words"][0]))
