"""What each rung of a ladder is expected to be worth on a call: four views of the call, averaged.

    kernel    nearness to examples, in meaning and in counts together (RBF kernel ridge on landmarks)
    words     words and pairs of words (ridge on hashed TF-IDF)
    intents   the shrunken mean of each intent, weighed by how probable it is
    counts    a ridge on the counts alone

Each view says by how much each rung's score is expected to differ from its mean. The uplift of the frontier over a rung is the average of the views'
differences, scaled to the outcomes; the probability that a rung is adequate is the average of the views through a curve. Fitted in
`training/difficulty.py`; why these four, in design/004-router.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
import numpy as np

from smallfirst.classify.encoding import Encoded
from smallfirst.classify.intents import Intents
from smallfirst.classify.words import WordScores

VIEWS = ("kernel", "words", "intents", "counts")
_CLIP = 3.0  # standard deviations of a count


class Expected(msgspec.Struct, frozen=True):
    """[n, rungs]: `adequate` probabilities, `uplift` of the frontier in score, and `prior`, the uplift by intent alone. [n]: the likeliest intent."""

    adequate: np.ndarray
    uplift: np.ndarray
    prior: np.ndarray
    intent: np.ndarray
    intent_probability: np.ndarray


class Counts(msgspec.Struct, frozen=True):
    """How counts are standardised, and their ridge [columns, rungs]."""

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    def standard(self, features: np.ndarray) -> np.ndarray:
        return np.clip((features - self.mean) / self.scale, -_CLIP, _CLIP)


class Kernel(msgspec.Struct, frozen=True):
    """Landmarks [m, dimensions + columns] and their coefficients [m, rungs]. `centre` is taken off the vectors; `pull` weighs the counts."""

    centre: np.ndarray
    landmarks: np.ndarray
    coefficients: np.ndarray
    pull: float
    squares: np.ndarray  # of the landmarks' lengths

    def points(self, vectors: np.ndarray, standard: np.ndarray) -> np.ndarray:
        """What is compared: the centred vector, of length 1, beside the weighed counts."""
        moved = vectors - self.centre
        lengths = np.sqrt(np.einsum("ij,ij->i", moved, moved))[:, None]
        return np.concatenate(
            [moved / np.where(lengths > 0, lengths, 1), self.pull * standard], axis=1
        ).astype(np.float32)

    def __call__(self, points: np.ndarray) -> np.ndarray:
        return rbf(points, self.landmarks, self.squares) @ self.coefficients


def rbf(points: np.ndarray, landmarks: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """exp(−squared distance), [points, landmarks]; `squares` are the landmarks' squared lengths."""
    distances = np.einsum("ij,ij->i", points, points)[:, None] + squares - 2 * (points @ landmarks.T)
    return np.exp(-np.maximum(distances, 0))


def squared(points: np.ndarray) -> np.ndarray:
    """The squared length of each row."""
    return np.einsum("ij,ij->i", points, points)


class Scales(msgspec.Struct, frozen=True):
    """How the views make one figure. `mean` [rungs]: the mean score; `weights` [rungs, views] and `offset`, `slope` [rungs] make uplift of the
    views' differences; `mix` [views] averages them for the curves; `knots`, `levels` [rungs, points] are the curves.
    """

    mean: np.ndarray
    weights: np.ndarray
    offset: np.ndarray
    slope: np.ndarray
    mix: np.ndarray
    knots: np.ndarray
    levels: np.ndarray


class Difficulty:
    """Implements the figures of a learned router; pure numpy."""

    def __init__(
        self,
        counts: Counts,
        kernel: Kernel,
        words: WordScores,
        intents: Intents | None,
        table: np.ndarray,
        scales: Scales,
    ) -> None:
        """`table` [intents, rungs]: each intent's shrunken difference from the mean score; empty without intents."""
        self.counts = counts
        self.kernel = kernel
        self.words = words
        self.intents = intents
        self.table = table.astype(np.float64)
        self.scales = scales

    def expected(self, encoded: Encoded) -> Expected:
        """What is expected of each rung."""
        views, posterior = self.views(encoded)
        adequate, uplift = combined(views, self.scales)
        if posterior is None:
            nothing = np.zeros(len(views))
            return Expected(adequate, uplift, uplift, nothing.astype(int), nothing)
        by_intent = posterior @ self.table + self.scales.mean
        return Expected(
            adequate,
            uplift,
            by_intent[:, -1:] - by_intent,
            posterior.argmax(axis=1),
            posterior.max(axis=1),
        )

    def views(self, encoded: Encoded) -> tuple[np.ndarray, np.ndarray | None]:
        """[n, views, rungs], differences from the mean score; and the posterior of the intents."""
        standard = self.counts.standard(encoded.features)
        views = np.zeros((len(standard), len(VIEWS), len(self.scales.mean)))
        views[:, 0] = self.kernel(self.kernel.points(encoded.vectors, standard))
        for at, words in enumerate(encoded.words):
            views[at, 1] = self.words(words)
        posterior = self.intents.probabilities(encoded.vectors) if self.intents else None
        if posterior is not None:
            views[:, 2] = posterior @ self.table
        views[:, 3] = standard @ self.counts.weights
        return views, posterior

    def arrays(self) -> dict[str, np.ndarray]:
        """As an artifact keeps it."""
        found = {
            "counts.mean": self.counts.mean,
            "counts.scale": self.counts.scale,
            "counts.weights": self.counts.weights,
            "kernel.centre": self.kernel.centre.astype(np.float32),
            "kernel.landmarks": self.kernel.landmarks.astype(np.float32),
            "kernel.coefficients": self.kernel.coefficients.astype(np.float32),
            "kernel.pull": np.array([self.kernel.pull]),
            "table": self.table,
        }
        found |= {f"scales.{name}": getattr(self.scales, name) for name in Scales.__struct_fields__}
        return found | self.words.arrays() | (self.intents.arrays() if self.intents else {})

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, np.ndarray]) -> Difficulty:
        counts = Counts(*(arrays[f"counts.{name}"] for name in Counts.__struct_fields__))
        kernel = Kernel(
            arrays["kernel.centre"],
            arrays["kernel.landmarks"],
            arrays["kernel.coefficients"],
            float(arrays["kernel.pull"][0]),
            squared(arrays["kernel.landmarks"]),
        )
        scales = Scales(*(arrays[f"scales.{name}"] for name in Scales.__struct_fields__))
        return cls(
            counts,
            kernel,
            WordScores.from_arrays(arrays),
            Intents.from_arrays(arrays),
            arrays["table"],
            scales,
        )


def combined(views: np.ndarray, scales: Scales) -> tuple[np.ndarray, np.ndarray]:
    """`adequate` and `uplift`, [n, rungs] each, of views [n, views, rungs]."""
    gained = views[:, :, -1:] - views
    uplift = scales.offset + scales.slope * np.einsum("nvr,rv->nr", gained, scales.weights)
    uplift[:, -1] = 0.0
    levels = np.einsum("nvr,v->nr", views, scales.mix) + scales.mean
    adequate = np.stack(
        [
            np.interp(levels[:, rung], scales.knots[rung], scales.levels[rung])
            for rung in range(levels.shape[1])
        ],
        axis=1,
    )
    return adequate, uplift
