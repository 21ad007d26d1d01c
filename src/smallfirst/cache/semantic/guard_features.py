"""What is looked at to say whether a candidate's answer is right: nearness in two metrics, who else is near, and which words are covered."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from smallfirst.cache.semantic.differences import kinds
from smallfirst.cache.semantic.seen import Candidate
from smallfirst.cache.semantic.wording import wording, words_of

NEAR = (
    # in the embedder's own metric
    "similarity", "margin", "vote",
    # in the learned one; 0 while there is none
    "learned_similarity", "learned_margin", "learned_vote", "centre", "centre_margin", "density", "learned",
    # who else is near
    "agreement", "members",
)  # fmt: skip
WORDS = ("covered", "covered_margin", "covered_by_one", "covers", "freedom", "kinds")
NAMES = NEAR + WORDS

_SHARP = 16.0  # of the votes
_TOP = 10
_COMPARED = 3  # answers whose words are looked at
_MEMBERS = 6  # of each
_SUPPOSED = 0.75
_UNKNOWN = 1e-4  # the vote for an answer that is not there
_EDGE = 1e-6
Weigh = Callable[[str], tuple[float, float]]
"""A word's weight, and how far it is known to decide between answers (above 0) or to vary freely within one (below)."""


class Answers(msgspec.Struct, frozen=True, kw_only=True):
    """Candidates by answer. Rows of `features` are answers, columns `NEAR`."""

    features: np.ndarray
    of: np.ndarray  # of each candidate, its answer's row
    order: np.ndarray  # candidates, nearest first

    def members(self, answer: int) -> list[int]:
        """The candidates of an answer, nearest first."""
        return self.order[self.of[self.order] == answer].tolist()


def near(vector: np.ndarray, candidates: Sequence[Candidate], metric: np.ndarray | None) -> Answers:
    """`metric` [dimensions, r]: what it makes of vectors is compared by its cosine."""
    own = np.array([one.similarity for one in candidates])
    _, of = np.unique([one.answer for one in candidates], return_inverse=True)
    answers = int(of.max()) + 1
    belongs = np.zeros((answers, len(of)), np.float32)
    belongs[of, np.arange(len(of))] = 1
    members = belongs.sum(axis=1)
    if metric is None:
        ranked, learned = own, np.zeros((6, answers))
    else:
        ranked, learned = _learned(
            vector @ metric, np.array([one.vector for one in candidates]) @ metric, belongs
        )
    order = np.argsort(-ranked, kind="stable")
    top = order[:_TOP]
    best = _best(belongs, own)
    columns = [
        best,
        best - _rival(best),
        _vote(belongs, own),
        *learned,
        np.full(answers, float(metric is not None)),
        belongs[:, top].sum(axis=1) / _TOP,
        np.log1p(members),
    ]
    return Answers(features=np.array(columns).T, of=of, order=order)


def _learned(asked: np.ndarray, others: np.ndarray, belongs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The candidates' similarities, and the answers' features, in the learned metric."""
    asked = asked / max(math.sqrt(asked @ asked), _EDGE)
    others = others / _lengths(others)[:, None]
    similarity = others @ asked
    centres = belongs @ others
    centre = (centres @ asked) / _lengths(centres)
    best = _best(belongs, similarity)
    density = np.sort(similarity)[-_TOP:].mean()
    columns = (best, best - _rival(best), _vote(belongs, similarity), centre, centre - _rival(centre))
    return similarity, np.array([*columns, np.full(len(best), density)])


def _lengths(rows: np.ndarray) -> np.ndarray:
    return np.maximum(np.sqrt(np.einsum("ij,ij->i", rows, rows)), _EDGE)


def _best(belongs: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    return np.where(belongs > 0, similarity, -1.0).max(axis=1)


def _rival(values: np.ndarray) -> np.ndarray:
    """For each answer the best of the others. Where there is none, one is supposed: few entries prove little."""
    if len(values) == 1:
        return _SUPPOSED * values
    first = int(values.argmax())
    rival = np.full(len(values), values[first])
    rival[first] = np.partition(values, -2)[-2]
    return rival


def _vote(belongs: np.ndarray, similarity: np.ndarray) -> np.ndarray:
    """Log odds of an answer where all candidates vote, the nearer the louder."""
    votes = belongs @ np.exp(_SHARP * (similarity - 1))
    return np.log(votes + _UNKNOWN) - np.log(np.maximum(votes.sum() - votes, 0) + _UNKNOWN)


def worded(
    text: str, candidates: Sequence[Candidate], answers: Answers, ranked: np.ndarray, weigh: Weigh
) -> np.ndarray:
    """[at most 3, `WORDS`]: of the answers of these rows, best first."""
    asked, words = wording(text), words_of(text)
    weights = {word: weigh(word) for word in words}
    total = sum(weight for weight, _ in weights.values()) or 1.0
    rows = []
    for answer in ranked[:_COMPARED].tolist():
        members = [candidates[at].text for at in answers.members(answer)[:_MEMBERS]]
        theirs = [words_of(member) for member in members]
        nearest = theirs[0]
        covered = sum(weights[word][0] for word in words.intersection(frozenset().union(*theirs))) / total
        common = sum(weights[word][0] for word in words & nearest)
        missed = [weigh(word) for word in nearest - words]
        size = common + sum(weight for weight, _ in missed)
        freedom = sum(weights[word][1] for word in words - nearest) + sum(decides for _, decides in missed)
        differ = sum(weigh(kind)[1] for kind in kinds(asked, wording(members[0])))
        rows.append([covered, 0.0, common / total, common / size if size else 0.0, freedom, differ])
    found = np.array(rows)
    found[:, 1] = found[:, 0] - _rival(found[:, 0])
    return found
