"""Whether a call is any of what was learned: a probability, and from which one on it is taken for it. Fitted in `training/intent_fit.py`."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Scope:
    """A logistic function of a few numbers, and the log odds that a call must reach."""

    __slots__ = ("bias", "threshold", "weights")

    def __init__(self, weights: np.ndarray, bias: float, threshold: float) -> None:
        self.weights = np.asarray(weights, np.float64)
        self.bias = float(bias)
        self.threshold = float(threshold)

    def log_odds(self, features: np.ndarray) -> np.ndarray:
        """[n] from [n, features]."""
        return features @ self.weights + self.bias

    @property
    def least(self) -> float:
        """The probability from which on a call is in scope."""
        return float(sigmoid(np.array(self.threshold)))

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """As an artifact keeps it."""
        return {f"{name}.weights": self.weights, f"{name}.cut": np.array([self.bias, self.threshold])}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> Scope | None:
        if f"{name}.cut" not in arrays:
            return None
        bias, threshold = arrays[f"{name}.cut"]
        return cls(arrays[f"{name}.weights"], float(bias), float(threshold))


def sigmoid(log_odds: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.clip(log_odds, -500, 500)))
