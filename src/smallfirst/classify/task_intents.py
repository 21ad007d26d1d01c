"""Which of the configured tasks a call is, or none of them: from the vector of its question and, where it has one, of its system prompt.

A system prompt is a task's fingerprint, but callers may send none, so there are two ways to see a call. *Alone*: by its question. *Told*: by its
question and by how near its system prompt comes to those of each task's examples. Each way has its own `Scope`, which says how probable it is
that the call is none of the tasks. A task whose examples never had a system prompt is seen alone, whatever the caller sends.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from smallfirst.classify.intents import Intents
from smallfirst.classify.scope import Scope, sigmoid

_NEAREST = 5  # examples whose cosines say how known a question is
_MAJORITY = 0.5  # a task is taken where it is likelier than all others together


class Found(msgspec.Struct, frozen=True):
    """For each call: `tasks` [n, tasks] probabilities, `in_scope` [n] that it is any of them, `taken` [n] the task's number, or -1."""

    tasks: np.ndarray
    in_scope: np.ndarray
    taken: np.ndarray
    least: float  # of `in_scope`, so that a task is taken


class TaskIntents:
    """Numbers in, numbers out. Vectors are of length 1."""

    def __init__(
        self,
        *,
        head: Intents,
        kept: np.ndarray,
        fingerprints: np.ndarray,
        owners: np.ndarray,
        fingerprint_weight: float,
        alone: Scope,
        told: Scope | None,
    ) -> None:
        """`kept` [examples, dimensions], `fingerprints` [prompts, dimensions], `owners` [prompts] the number of the task each is of."""
        self.head = head
        self.kept = kept.astype(np.float32)
        self.fingerprints = fingerprints.astype(np.float32)
        self.owners = owners.astype(np.int64)
        self.fingerprint_weight = fingerprint_weight
        self.alone_scope = alone
        self.told_scope = told

    def find(self, question: np.ndarray, system: np.ndarray | None) -> Found:
        """For one call, [1, dimensions] each."""
        if system is None or self.told_scope is None:
            return self.alone(question)
        found = self.told(question, system)
        if found.taken[0] >= 0:
            return found
        by_question = self.alone(question)  # of a task that was never seen with a system prompt?
        taken = int(by_question.taken[0])
        return found if taken < 0 or taken in self.owners else by_question

    def alone(self, questions: np.ndarray) -> Found:
        """By the questions, [n, dimensions]."""
        scores = self.head.scores(questions)
        features = alone_features(scores, nearness(self.kept, questions))
        return found_by(self.alone_scope, features, scores)

    def told(self, questions: np.ndarray, systems: np.ndarray) -> Found:
        """By questions and system prompts, [n, dimensions] each. Only where there is a `told` scope."""
        assert self.told_scope is not None
        scores = self.head.scores(questions)
        fits = fit_to(self.fingerprints, self.owners, systems, scores.shape[1])
        told = told_scores(scores, fits, self.fingerprint_weight)
        features = told_features(scores, nearness(self.kept, questions), fits, told)
        return found_by(self.told_scope, features, told)

    def arrays(self) -> dict[str, np.ndarray]:
        """As an artifact keeps it."""
        arrays = {
            "examples": self.kept.astype(np.float16),
            "fingerprints": self.fingerprints.astype(np.float16),
            "owners": self.owners,
            "fingerprint_weight": np.array([self.fingerprint_weight]),
        }
        arrays |= self.head.arrays() | self.alone_scope.arrays("alone")
        return arrays | (self.told_scope.arrays("told") if self.told_scope else {})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> TaskIntents:
        head, alone = Intents.from_arrays(arrays), Scope.from_arrays("alone", arrays)
        assert head is not None
        assert alone is not None
        return cls(
            head=head,
            kept=arrays["examples"],
            fingerprints=arrays["fingerprints"],
            owners=arrays["owners"],
            fingerprint_weight=float(arrays["fingerprint_weight"][0]),
            alone=alone,
            told=Scope.from_arrays("told", arrays),
        )


def found_by(scope: Scope, features: np.ndarray, scores: np.ndarray) -> Found:
    """What scores and a scope say together."""
    relative = np.exp(scores - scores.max(axis=1, keepdims=True))
    relative /= relative.sum(axis=1, keepdims=True)
    log_odds = scope.log_odds(features)
    best = scores.argmax(axis=1)
    takes = (log_odds >= scope.threshold) & (relative.max(axis=1) >= _MAJORITY)
    in_scope = sigmoid(log_odds)
    return Found(relative * in_scope[:, None], in_scope, np.where(takes, best, -1), scope.least)


def nearness(kept: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """[n]: the mean cosine to the nearest examples."""
    cosines = vectors @ kept.T
    most = min(_NEAREST, cosines.shape[1])
    return np.partition(cosines, -most, axis=1)[:, -most:].mean(axis=1)


def fit_to(fingerprints: np.ndarray, owners: np.ndarray, systems: np.ndarray, tasks: int) -> np.ndarray:
    """[n, tasks]: the cosine of each system prompt to the nearest of each task's; NaN for a task that has none."""
    fits = np.full((len(systems), tasks), np.nan)
    cosines = systems @ fingerprints.T
    for task in np.unique(owners):
        fits[:, task] = cosines[:, owners == task].max(axis=1)
    return fits


def told_scores(scores: np.ndarray, fits: np.ndarray, weight: float) -> np.ndarray:
    """The scores of the tasks with a system prompt in sight; of those that have no fingerprint, nothing."""
    return np.where(np.isnan(fits), -np.inf, scores + weight * np.nan_to_num(fits))


def alone_features(scores: np.ndarray, near: np.ndarray) -> np.ndarray:
    """[n, 2]."""
    return np.stack([scores.max(axis=1), near], axis=1)


def told_features(scores: np.ndarray, near: np.ndarray, fits: np.ndarray, told: np.ndarray) -> np.ndarray:
    """[n, 3]: of the task that the question and the system prompt choose together."""
    rows, best = np.arange(len(scores)), told.argmax(axis=1)
    return np.stack([scores[rows, best], near, np.nan_to_num(fits[rows, best])], axis=1)
