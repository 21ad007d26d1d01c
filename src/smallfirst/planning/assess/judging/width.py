"""How narrow a feature's input is: how many kinds of it there are, and how often it comes again.

A kind is a cluster of the sample: average linkage over wordllama's vectors, joined while the mean cosine within is at least `ALIKE`. It is set so
that of short questions it finds about as many as people do (docs/assess.md has the figures). The vector is the mean of a text's words, and long texts
are all alike by it: there, kinds are not counted. What share of calls is of a kind that the sample lacks is estimated by what stands alone in it
(`share.unseen`).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.embedder import bounded
from smallfirst.datasets.union import Union
from smallfirst.planning.assess.judging.share import Share, covering, share, unseen

ALIKE = 0.35
LONG_CHARS = 500  # of half of the inputs: kinds are not counted
NEAR = 0.8  # MinHash's likeness of three words in a row
_AT_ONCE = 500


class Width(msgspec.Struct, frozen=True, kw_only=True):
    """`kinds` 0: not counted, since there is no input or it is long. `kinds_80`, `kinds_90`, `kinds_95`: how many kinds cover so many percent of the
    sample. `entropy_bits` is that of the kinds, with Miller and Madow's correction. `repeat_share` is of all calls; what is near is of the sample
    alone, so that in the whole stream there is more of it.
    """

    sample: int
    kinds: int = 0
    kinds_80: int = 0
    kinds_90: int = 0
    kinds_95: int = 0
    entropy_bits: float = 0.0
    unseen: Share | None = None
    repeat_share: float = 0.0
    near_repeats: Share | None = None
    chars_p50: int = 0
    chars_p95: int = 0


def width_of(inputs: Sequence[str], vectors: np.ndarray, *, repeat_share: float) -> Width:
    """`vectors` [n, d] of the inputs, rows of length 1."""
    if not inputs:
        return Width(sample=0, repeat_share=repeat_share)
    lengths = np.sort([len(text) for text in inputs])
    width = Width(
        sample=len(inputs),
        repeat_share=repeat_share,
        near_repeats=share(near_repeats(inputs), len(inputs)),
        chars_p50=int(lengths[len(lengths) // 2]),
        chars_p95=int(lengths[min(len(lengths) - 1, int(0.95 * len(lengths)))]),
    )
    if width.chars_p50 > LONG_CHARS:
        return width
    counts = list(Counter(kinds_of(vectors).tolist()).values())
    return msgspec.structs.replace(
        width,
        kinds=len(counts),
        kinds_80=covering(counts, 0.8),
        kinds_90=covering(counts, 0.9),
        kinds_95=covering(counts, 0.95),
        entropy_bits=entropy_bits(counts),
        unseen=unseen(counts, len(inputs)),
    )


def kinds_of(vectors: np.ndarray) -> np.ndarray:
    """[n]: the number of each row's cluster. Rows that are equal, or zero, are joined first."""
    rows, back = np.unique(vectors, axis=0, return_inverse=True)
    back = back.ravel()
    if len(rows) < 2:
        return back
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    distance = np.clip(1 - rows @ rows.T, 0, 2).astype(np.float64)
    np.fill_diagonal(distance, 0)
    tree = linkage(squareform(distance, checks=False), "average")
    return fcluster(tree, 1 - ALIKE, "distance")[back]


def entropy_bits(counts: Sequence[int]) -> float:
    """Of a sample's counts, with Miller and Madow's correction for what it has not seen."""
    total = sum(counts)
    if not total:
        return 0.0
    plain = -sum(count / total * math.log2(count / total) for count in counts if count)
    return plain + (len(counts) - 1) / (2 * total * math.log(2))


def near_repeats(inputs: Sequence[str]) -> int:
    """How many of the texts have come before in this order, the same or nearly so; of long ones the beginning and the end are compared."""
    first, pairs = _alike(inputs, NEAR)
    repeats = {at for at, text in enumerate(inputs) if first[text] != at}
    return len(repeats | {right for _, right in pairs})


def different(inputs: Sequence[str], *, least: float) -> list[int]:
    """The places of texts of which none is like another, to at least so much: one stands for all that are like it."""
    first, pairs = _alike(inputs, least)
    groups = Union(len(inputs))
    for left, right in pairs:
        groups.join(left, right)
    kept: dict[int, int] = {}
    for at in sorted(first.values()):
        kept.setdefault(groups.find(at), at)
    return sorted(kept.values())


def _alike(inputs: Sequence[str], least: float) -> tuple[dict[str, int], list[tuple[int, int]]]:
    """Where each text comes first, and pairs of those places, in order, whose texts are alike, what a tenth of them have left aside."""
    from smallfirst.datasets.likeness import PERMUTATIONS, boilerplate, like_pairs, signatures

    first: dict[str, int] = {}
    for at, text in enumerate(inputs):
        first.setdefault(text, at)
    places = sorted(first.values())
    texts = [bounded(inputs[at]) for at in places]
    frame = boilerplate(texts)
    rows = np.empty((len(places), PERMUTATIONS), np.uint32)
    for start in range(0, len(places), _AT_ONCE):
        rows[start : start + _AT_ONCE] = signatures(texts[start : start + _AT_ONCE], frame)
    return first, [(places[left], places[right]) for left, right, _ in like_pairs(rows, least)]
