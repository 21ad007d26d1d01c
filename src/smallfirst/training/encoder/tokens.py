"""Texts as token ids, and batches of them: in an order that is drawn, of texts that are about equally long."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer

from smallfirst.classify.embedder import bounded

Ids = Sequence[Sequence[int]]
_POOL_BATCHES = 16  # so many are drawn at once, and sorted by length


def tokens_of(tokenizer: Path, texts: Sequence[str], *, most: int) -> list[list[int]]:
    """The ids of each text, the encoder's own marks with them; at most `most`."""
    made = Tokenizer.from_file(str(tokenizer))
    made.enable_truncation(most)
    made.no_padding()
    return [found.ids for found in made.encode_batch([bounded(text) for text in texts])]


def drawn(ids: Ids, size: int, draw: np.random.Generator) -> list[np.ndarray]:
    """The numbers of the texts of each batch, every text once. A last batch of one text goes with the one before it."""
    order = draw.permutation(len(ids))
    lengths = np.array([len(one) for one in ids])
    batches: list[np.ndarray] = []
    for at in range(0, len(order), size * _POOL_BATCHES):
        pool = order[at : at + size * _POOL_BATCHES]
        pool = pool[np.argsort(lengths[pool], kind="stable")]
        batches += [pool[start : start + size] for start in range(0, len(pool), size)]
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [np.concatenate(batches[-2:])]
    return [batches[at] for at in draw.permutation(len(batches))]


def by_length(ids: Ids, size: int) -> Iterator[np.ndarray]:
    """The numbers of the texts of each batch, shortest first: the least padding."""
    order = np.argsort([len(one) for one in ids], kind="stable")
    for at in range(0, len(order), size):
        yield order[at : at + size]


def padded(ids: Ids, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """int64 [texts, tokens]: ids, and 1 where there is one."""
    longest = max(len(ids[at]) for at in kept)
    tokens = np.zeros((len(kept), longest), np.int64)
    mask = np.zeros_like(tokens)
    for row, at in enumerate(kept):
        tokens[row, : len(ids[at])] = ids[at]
        mask[row, : len(ids[at])] = 1
    return tokens, mask
