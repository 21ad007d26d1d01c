"""Which of some named kinds a text is: the softmax of linear scores of its vector.

Learned from a handful of examples a kind. Fitted in `training/intents.py` (intents inside a task) and `training/intent_fit.py` (tasks).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Intents:
    """Posterior probabilities of kinds from vectors."""

    def __init__(self, centre: np.ndarray, weights: np.ndarray, biases: np.ndarray) -> None:
        """`centre` [dimensions], `weights` [dimensions, kinds], `biases` [kinds]."""
        self._centre = centre.astype(np.float32)
        self._weights = weights.astype(np.float32)
        self._biases = biases.astype(np.float32)

    def scores(self, vectors: np.ndarray) -> np.ndarray:
        """[n, kinds] from [n, dimensions]: log odds, but for what is the same for all kinds."""
        return (vectors - self._centre) @ self._weights + self._biases

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """[n, kinds] from [n, dimensions]."""
        scores = self.scores(vectors)
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        return scores / scores.sum(axis=1, keepdims=True)

    def arrays(self) -> dict[str, np.ndarray]:
        return {
            "intents.centre": self._centre,
            "intents.weights": self._weights,
            "intents.biases": self._biases,
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Intents | None:
        if "intents.centre" not in arrays:
            return None
        return cls(arrays["intents.centre"], arrays["intents.weights"], arrays["intents.biases"])
