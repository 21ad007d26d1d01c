"""How a label head's views become one answer: probabilities by view, fused in log space; then how likely the answer is right, and in scope at all."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

EPSILON = 1e-4


class Stack(msgspec.Struct, frozen=True, kw_only=True):
    """Fusion of `views`. `temperatures`, `weights` [views]; `mean`, `scale` [features] standardise what `correct` and `outside` judge by
    ([features + 1], logistic weights, the last one the bias); above `reject_above` a text is called out of scope.
    """

    views: tuple[str, ...]
    temperatures: np.ndarray
    weights: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    correct: np.ndarray
    outside: np.ndarray
    reject_above: float

    def probabilities(self, scores: Mapping[str, np.ndarray]) -> np.ndarray:
        """[n, labels] from each view's scores [n, labels]."""
        total = sum(
            weight * log_probabilities(scores[view], temperature)
            for view, weight, temperature in zip(self.views, self.weights, self.temperatures, strict=True)
        )
        return softmax(np.asarray(total))

    def judge(self, scores: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """[n] each: the likeliest label, the probability that it is right, and that the text is out of scope."""
        probabilities = self.probabilities(scores)
        standard = (evidence(self.views, scores, probabilities) - self.mean) / self.scale
        return (
            probabilities.argmax(axis=1),
            logistic(standard, self.correct),
            logistic(standard, self.outside),
        )

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        told = ("temperatures", "weights", "mean", "scale", "correct", "outside")
        return {f"{name}.{part}": np.asarray(getattr(self, part), np.float64) for part in told} | {
            f"{name}.reject_above": np.array([self.reject_above])
        }

    @classmethod
    def from_arrays(cls, name: str, views: Sequence[str], arrays: Mapping[str, np.ndarray]) -> Stack:
        told = ("temperatures", "weights", "mean", "scale", "correct", "outside")
        parts = {part: arrays[f"{name}.{part}"] for part in told}
        return cls(views=tuple(views), reject_above=float(arrays[f"{name}.reject_above"][0]), **parts)


def evidence(views: Sequence[str], scores: Mapping[str, np.ndarray], probabilities: np.ndarray) -> np.ndarray:
    """[n, 2 + 3 · views]: how sure the fusion is, by how far, and of each view its best score, whether it agrees, and its score of the answer."""
    ranked = np.partition(probabilities, -2, axis=1)[:, -2:]
    second, first = ranked.min(axis=1), ranked.max(axis=1)
    answer, rows = probabilities.argmax(axis=1), np.arange(len(probabilities))
    columns = [
        np.log(first + EPSILON) - np.log(1 - first + EPSILON),
        np.log(first + EPSILON) - np.log(second + EPSILON),
    ]
    for view in views:
        score = scores[view]
        columns += [score.max(axis=1), (score.argmax(axis=1) == answer).astype(float), score[rows, answer]]
    return np.stack(columns, axis=1).astype(np.float64)


def log_probabilities(scores: np.ndarray, temperature: float) -> np.ndarray:
    """A view's probabilities in log space, kept off −∞ so that one view alone cannot rule a label out."""
    return np.log(softmax(temperature * scores) + EPSILON)


def softmax(scores: np.ndarray) -> np.ndarray:
    """Over the last axis."""
    raised = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return raised / raised.sum(axis=-1, keepdims=True)


def logistic(features: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """[n] from features [n, d] and weights [d + 1], the bias last."""
    return 1 / (1 + np.exp(-np.clip(features @ weights[:-1] + weights[-1], -40, 40)))
