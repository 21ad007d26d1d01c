"""How alike two texts are: the Jaccard index of their sets of three-word shingles (Broder 1997), exactly."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

_WORD = re.compile(r"\w+")
SHINGLE_WORDS = 3

Shingle = tuple[str, ...]


def words(text: str) -> tuple[str, ...]:
    """The words of `text`, case and punctuation gone: texts with equal words are exact duplicates."""
    return tuple(_WORD.findall(text.casefold()))


def shingles(text: str) -> frozenset[Shingle]:
    """Every run of three words; the whole text where it has fewer."""
    found = words(text)
    if len(found) < SHINGLE_WORDS:
        return frozenset({found})
    return frozenset(found[at : at + SHINGLE_WORDS] for at in range(len(found) - SHINGLE_WORDS + 1))


def similar_pairs(texts: Sequence[str], threshold: float) -> Iterator[tuple[int, int, float]]:
    """Every pair of positions, the earlier first, with a Jaccard index of at least `threshold`, and it.

    `threshold` lies in (0, 1]. Exact: an inverted index finds all pairs that share a shingle.
    """
    if not 0 < threshold <= 1:
        raise ValueError(f"threshold {threshold}: expected a number in (0, 1]")
    sets = [shingles(text) for text in texts]
    holders: dict[Shingle, list[int]] = defaultdict(list)
    for at, one in enumerate(sets):
        shared = Counter(earlier for shingle in one for earlier in holders[shingle])
        for earlier, common in sorted(shared.items()):
            index = common / (len(one) + len(sets[earlier]) - common)
            if index >= threshold:
                yield earlier, at, index
        for shingle in one:
            holders[shingle].append(at)
