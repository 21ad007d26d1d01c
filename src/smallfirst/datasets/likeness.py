"""Texts that are nearly the same: MinHash over their words (datasketch), and bands of it to find the pairs.

Broder, On the resemblance and containment of documents (1997); Leskovec, Rajaraman and Ullman, Mining of Massive Datasets, chapter 3.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

PERMUTATIONS = 128
_BANDS, _ROWS = 32, 4  # a pair of likeness .6 is found with probability .988, one of .8 always
_SHINGLE_WORDS = 3
_MANY = 40  # texts that share a band: beyond it each is compared with its neighbours, not with all
_BOILERPLATE_SHARE = 0.1  # of a sample: what so many texts have says nothing of any of them
_LEAST_FOR_BOILERPLATE = 200
_WORD = re.compile(r"\w+")

Pair = tuple[int, int, float]


def shingles(text: str) -> set[bytes]:
    """Every three words in a row; for shorter texts, the text."""
    words = _WORD.findall(text.casefold())
    if len(words) < _SHINGLE_WORDS:
        return {" ".join(words).encode("utf-8", "surrogatepass")} if words else set()
    return {
        " ".join(words[at : at + _SHINGLE_WORDS]).encode("utf-8", "surrogatepass")
        for at in range(len(words) - _SHINGLE_WORDS + 1)
    }


def boilerplate(texts: Iterable[str]) -> frozenset[bytes]:
    """Shingles of a prompt's frame: those that a tenth of the texts have. Without this every filled-in form would be like every other."""
    counts: Counter[bytes] = Counter()
    read = 0
    for text in texts:
        counts.update(shingles(text))
        read += 1
    if read < _LEAST_FOR_BOILERPLATE:
        return frozenset()
    return frozenset(one for one, count in counts.items() if count > _BOILERPLATE_SHARE * read)


def signatures(texts: Sequence[str], frame: frozenset[bytes]) -> np.ndarray:
    """[n, PERMUTATIONS] of 32 bits; a row of zeros for a text that has no words beside the frame."""
    from datasketch import MinHash

    sets = [shingles(text) for text in texts]
    told = [list(one - frame or one) for one in sets]
    hashes = MinHash.bulk(told, num_perm=PERMUTATIONS, hashfunc=zlib.crc32)
    found = np.array([one.hashvalues for one in hashes], np.uint64).reshape(len(told), PERMUTATIONS)
    found[[not one for one in told]] = 0
    return found.astype(np.uint32)


def like_pairs(found: np.ndarray, least: float) -> Iterator[Pair]:
    """Pairs of rows (i < j) whose estimated likeness is at least `least`, each once."""
    rows = np.flatnonzero(found.any(axis=1))
    seen: set[tuple[int, int]] = set()
    for band in range(_BANDS):
        part = np.ascontiguousarray(found[rows, band * _ROWS : (band + 1) * _ROWS])
        keys = part.view(np.dtype((np.void, part.dtype.itemsize * _ROWS))).ravel()
        order = np.argsort(keys, kind="stable")
        starts = np.flatnonzero(np.concatenate(([True], keys[order][1:] != keys[order][:-1])))
        sizes = np.diff(np.append(starts, order.size))
        for start, size in zip(starts[sizes > 1], sizes[sizes > 1], strict=True):
            bucket = np.sort(rows[order[start : start + size]])
            for left, right in _candidates(bucket):
                if (left, right) not in seen:
                    likeness = float(np.mean(found[left] == found[right]))
                    if likeness >= least:
                        seen.add((left, right))
                        yield left, right, likeness


def _candidates(bucket: np.ndarray) -> Iterator[tuple[int, int]]:
    items = bucket.tolist()
    for at, left in enumerate(items):
        reach = items[at + 1 :] if len(items) <= _MANY else items[at + 1 : at + 3]
        for right in reach:
            yield left, right
        if len(items) > _MANY and at > 2:
            yield items[0], left
