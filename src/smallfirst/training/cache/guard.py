"""Fits `cache.semantic.guard.Guard` from what a task's look-ups came to, and from the entries whose answers were compared.

The metric whitens what differs within an answer (within-class covariance normalisation, Hatch et al., 2006, shrunk) and keeps the directions in
which answers differ. Features are taken as they were recorded, when their request was in neither cache nor metric: nothing is judged by what has
seen it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from zlib import crc32

import msgspec
import numpy as np

from smallfirst.cache.semantic.differences import kinds
from smallfirst.cache.semantic.guard import PRIOR, Guard, guard_of
from smallfirst.cache.semantic.guard_features import NAMES
from smallfirst.cache.semantic.seen import Observation
from smallfirst.cache.semantic.wording import wording, words_of
from smallfirst.classify import artifact

LATEST = 20_000  # observations, and entries, that are learned from
_LEAST = 30  # observations
_LEAST_PAIRED = 20  # entries that share their answer
_RANK = 128
_SHRINKAGE = 0.3  # of the dimensions, as that many more observations of the prior covariance
_LOUDEST = 20  # members count in the covariance between answers
_PENALTY = 40.0
_BY_DECISION = 0.7
_COMPARED = 4000  # entries, and neighbours of each, that say which words decide
_NEIGHBOURS = 8
_BLOCK = 1000
_CAUTION = 3.0  # pairs as if seen before
_STEPS = 50
_CLOSE = 1e-8


class Known(msgspec.Struct, frozen=True, kw_only=True):
    """Entries whose answers were compared, oldest first: `vectors` [n, dimensions], equal `answers` [n] are equal answers."""

    vectors: np.ndarray
    answers: np.ndarray
    texts: Sequence[str]

    def latest(self, most: int) -> Known:
        return Known(vectors=self.vectors[-most:], answers=self.answers[-most:], texts=self.texts[-most:])


def fit_guard(observations: Sequence[Observation], known: Known, *, prior: Guard = PRIOR) -> Guard:
    """Deterministic. Each observation counts as 1 / the probability of its being known; those of which nothing is known do not."""
    known = known.latest(LATEST)
    metric = fit_metric(known.vectors, known.answers)
    words = fit_words(known, metric)
    weights, bias = fit_weights(observations[-LATEST:], prior)
    guard = Guard(weights=weights, bias=bias, metric=metric, words=words)
    return guard_of(artifact.unpack(guard.packed()))


def fit_metric(vectors: np.ndarray, answers: np.ndarray) -> np.ndarray | None:
    """[dimensions, at most 128]; None where too few entries share an answer."""
    _, of, members = np.unique(answers, return_inverse=True, return_counts=True)
    paired = members[of] >= 2
    if paired.sum() < _LEAST_PAIRED:
        return None
    rows = vectors.astype(np.float64)
    dimensions = rows.shape[1]
    centres = np.zeros((len(members), dimensions))
    np.add.at(centres, of, rows)
    centres /= members[:, None]
    middle = rows.mean(axis=0)
    spread = (rows - middle).T @ (rows - middle) / len(rows)
    inside = (rows - centres[of])[paired]
    freedom = int(paired.sum() - (members >= 2).sum())
    before = _SHRINKAGE * dimensions
    even = np.eye(dimensions) * np.trace(spread) / dimensions
    within = (inside.T @ inside + before * 0.5 * (spread + even)) / (freedom + before)
    values, axes = np.linalg.eigh(within)
    whitening = axes / np.sqrt(np.maximum(values, values[-1] * 1e-6))
    loud = (centres - middle) @ whitening * np.sqrt(np.minimum(members, _LOUDEST))[:, None]
    _, directions = np.linalg.eigh(loud.T @ loud)
    return (whitening @ directions[:, ::-1][:, :_RANK]).astype(np.float32)


def fit_words(known: Known, metric: np.ndarray | None) -> dict[int, tuple[float, float]]:
    """Of each word, by hash: its weight (inverse document frequency, more where it decides), and how far it decides between answers: the log
    of how much more often it is what differs between neighbours of different answers than between those of the same. Of kinds of differences the
    latter alone.
    """
    texts = [words_of(text) for text in known.texts]
    counted = Counter(word for one in texts for word in one)
    decided = _decisions(known, metric, texts)
    rows = len(texts)
    found = {kind: (0.0, far) for kind, far in decided.items() if kind not in counted}
    for word, count in counted.items():
        far = decided.get(word, 0.0)
        idf = np.log((1 + rows) / (1 + count)) + 0.3
        found[word] = (float(idf * np.exp(_BY_DECISION * np.clip(far, -2, 2))), far)
    return {crc32(word.encode()): each for word, each in found.items()}


def _decisions(known: Known, metric: np.ndarray | None, texts: Sequence[frozenset[str]]) -> dict[str, float]:
    same, other = _Tally(), _Tally()
    wordings = [wording(text) for text in known.texts[-_COMPARED:]]
    first = len(texts) - len(wordings)
    for at, peer in _neighbours(known, metric):
        tally = same if known.answers[at] == known.answers[peer] else other
        tally.add(texts[at] ^ texts[peer], kinds(wordings[at - first], wordings[peer - first]))
    return _log_ratio(
        other.words, same.words, sum(other.words.values()), sum(same.words.values())
    ) | _log_ratio(other.kinds, same.kinds, other.pairs, same.pairs)


class _Tally:
    """What differs in pairs of texts. The words that differ in a pair count 1 together."""

    def __init__(self) -> None:
        self.pairs = 0
        self.words: dict[str, float] = {}
        self.kinds: dict[str, float] = {}

    def add(self, differs: frozenset[str], in_kind: Iterable[str]) -> None:
        self.pairs += 1
        for word in differs:
            self.words[word] = self.words.get(word, 0.0) + 1 / len(differs)
        for kind in in_kind:
            self.kinds[kind] = self.kinds.get(kind, 0.0) + 1


def _log_ratio(
    over: Mapping[str, float], under: Mapping[str, float], whole: float, of: float
) -> dict[str, float]:
    odds = (whole + 1) / (of + 1)
    return {
        name: float(
            np.log((over.get(name, 0.0) + _CAUTION * odds) / (under.get(name, 0.0) + _CAUTION) / odds)
        )
        for name in over.keys() | under.keys()
    }


def _neighbours(known: Known, metric: np.ndarray | None) -> Iterator[tuple[int, int]]:
    """Pairs of entries that are near each other, of the latest."""
    rows = known.vectors[-_COMPARED:]
    first = len(known.vectors) - len(rows)
    rows = rows if metric is None else rows @ metric
    rows = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-6)
    most = min(_NEIGHBOURS, len(rows) - 1)
    if most < 1:
        return
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK] @ rows.T
        block[np.arange(len(block)), np.arange(start, start + len(block))] = -2
        for at, peers in enumerate(np.argpartition(-block, most - 1, axis=1)[:, :most].tolist()):
            for peer in peers:
                yield first + start + at, first + peer


def fit_weights(observations: Sequence[Observation], prior: Guard) -> tuple[np.ndarray, float]:
    """A logistic regression held to the prior's weights. What was recorded before there was a metric counts only while there is little else."""
    usable = [
        one
        for one in observations
        if one.right is not None and len(one.features) == len(NAMES) and one.seen > 0
    ]
    learned = NAMES.index("learned")
    later = [one for one in usable if one.features[learned] > 0]
    if len(later) >= 4 * _LEAST:
        usable = later
    if len(usable) < _LEAST:
        return prior.weights, prior.bias
    rows = np.array([one.features for one in usable])
    right = np.array([float(bool(one.right)) for one in usable])
    counts = np.array([1 / one.seen for one in usable])
    mean, scale = rows.mean(axis=0), rows.std(axis=0)
    scale = np.where(scale > 1e-6, scale, 1.0)
    start = np.append(prior.weights * scale, prior.bias + prior.weights @ mean)
    found = _logistic((rows - mean) / scale, right, counts, start)
    weights = found[:-1] / scale
    return weights, float(found[-1] - weights @ mean)


def _logistic(rows: np.ndarray, right: np.ndarray, counts: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Newton's method with halving; the penalty is on the distance from `start`, but for the bias, which is last."""
    rows = np.column_stack([rows, np.ones(len(rows))])
    penalty = np.append(np.full(rows.shape[1] - 1, _PENALTY), 0.5)

    def loss(at: np.ndarray) -> float:
        odds = rows @ at
        return float(counts @ (np.logaddexp(0, odds) - right * odds) + 0.5 * penalty @ (at - start) ** 2)

    found, now = start.copy(), loss(start)
    for _ in range(_STEPS):
        chance = 1 / (1 + np.exp(-np.clip(rows @ found, -500, 500)))
        slope = rows.T @ (counts * (chance - right)) + penalty * (found - start)
        bend = (rows * (counts * chance * (1 - chance))[:, None]).T @ rows + np.diag(penalty)
        step = np.linalg.solve(bend, slope)
        while loss(found - step) > now and np.abs(step).max() > _CLOSE:
            step = step / 2
        found = found - step
        after = loss(found)
        if now - after < _CLOSE * (1 + abs(now)):
            break
        now = after
    return found
