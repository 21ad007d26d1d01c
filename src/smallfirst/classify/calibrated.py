"""A logistic head whose output is a probability that can be believed: standardise, weigh, map through a calibration curve. Served as numpy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np


class Calibrated:
    """`probability(x)` for a feature vector or a matrix of them. Fitted in `training/logistic.py`."""

    __slots__ = ("_bias", "_knots", "_levels", "_weights")

    def __init__(self, weights: np.ndarray, bias: float, knots: np.ndarray, levels: np.ndarray) -> None:
        """`weights` and `bias` take raw features (standardisation is folded in); the curve maps logits `knots` to probabilities `levels`."""
        self._weights = np.asarray(weights, np.float64)
        self._bias = float(bias)
        self._knots = np.asarray(knots, np.float64)
        self._levels = np.asarray(levels, np.float64)

    def logit(self, features: np.ndarray) -> np.ndarray | float:
        return features @ self._weights + self._bias

    def probability(self, features: np.ndarray) -> np.ndarray | float:
        return np.interp(self.logit(features), self._knots, self._levels)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """As an artifact keeps it."""
        bias = np.array([self._bias])
        parts = {"weights": self._weights, "bias": bias, "knots": self._knots, "levels": self._levels}
        return {f"{name}.{part}": array for part, array in parts.items()}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> Calibrated:
        found = {part: arrays[f"{name}.{part}"] for part in ("weights", "bias", "knots", "levels")}
        return cls(found["weights"], float(found["bias"][0]), found["knots"], found["levels"])


def logit(probability: float) -> float:
    """Log odds, of a probability kept away from 0 and 1."""
    kept = min(max(probability, 1e-4), 1 - 1e-4)
    return float(np.log(kept / (1 - kept)))
