"""The views of a label head: each scores every label for a text, by its nearness to the examples (kernel ridge), by its n-grams, or by an encoder
that was tuned to the labels themselves.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from smallfirst.classify.embedder import unit
from smallfirst.classify.ngrams import Ngrams, grams


class KernelView(msgspec.Struct, frozen=True):
    """exp(gain · (cosine − 1)) − exp(−gain) to each example [examples, dimensions], times `coefficients` [examples, labels].

    An unrelated text scores 0 for every label. `centre` is taken off the vectors first.
    """

    centre: np.ndarray
    examples: np.ndarray
    coefficients: np.ndarray
    gain: float

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """[n, labels] from unit vectors [n, dimensions]."""
        return kernel(unit(vectors - self.centre) @ self.examples.T, self.gain) @ self.coefficients

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        return {
            f"{name}.centre": self.centre,
            f"{name}.examples": self.examples.astype(np.float16),
            f"{name}.coefficients": self.coefficients,
            f"{name}.gain": np.array([self.gain]),
        }

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> KernelView:
        return cls(
            arrays[f"{name}.centre"],
            arrays[f"{name}.examples"].astype(np.float32),
            arrays[f"{name}.coefficients"],
            float(arrays[f"{name}.gain"][0]),
        )


def kernel(cosines: np.ndarray, gain: float) -> np.ndarray:
    """exp(gain · (cosine − 1)) − exp(−gain)."""
    return np.exp(gain * (cosines - 1)) - np.float32(np.exp(-gain))


class GramView(msgspec.Struct, frozen=True):
    """TF-IDF of n-grams times `weights` [columns, labels]."""

    ngrams: Ngrams
    weights: np.ndarray

    def __call__(self, text: str) -> np.ndarray:
        """[labels]."""
        columns, values = self.ngrams.row(grams(text))
        return values @ self.weights[columns]

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        return self.ngrams.arrays() | {f"{name}.weights": self.weights.astype(np.float16)}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> GramView:
        return cls(Ngrams.from_arrays(arrays), arrays[f"{name}.weights"].astype(np.float32))


class LinearView(msgspec.Struct, frozen=True):
    """`weights` [labels, dimensions] and `bias` [labels] over the vectors of a tuned encoder, as they were learned with it."""

    weights: np.ndarray
    bias: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """[n, labels] from unit vectors [n, dimensions]."""
        return vectors @ self.weights.T + self.bias

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        return {f"{name}.weights": self.weights, f"{name}.bias": self.bias}

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, np.ndarray]) -> LinearView:
        return cls(arrays[f"{name}.weights"], arrays[f"{name}.bias"])
