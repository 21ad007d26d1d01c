"""Fits `classify.Difficulty` from outcomes. Every figure that combines the views comes from rows that the views did not see.

The same recipe for all data: no setting is tuned to a data set. What was tried and what did not help: design/004-router.md.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.difficulty import (
    VIEWS,
    Counts,
    Difficulty,
    Kernel,
    Scales,
    combined,
    rbf,
    squared,
)
from smallfirst.classify.encoding import Encoded
from smallfirst.training.intents import fit_intents, intent_table
from smallfirst.training.logistic import fit_curve, folds
from smallfirst.training.words import fit_words

_FOLDS = 5
_LANDMARKS = 1500
_LANDMARKS_CROSSED = 1000
_PULL = 0.2  # of a standard deviation of a count, beside a vector of length 1
_KERNEL_PENALTY = 5.0
_WORDS_PENALTY = 3.0
_COUNTS_PENALTY = 1000.0
_INTENT_PSEUDO_COUNT = 15.0
_MIX = (1.0, 1.0, 1.0, 0.5)  # by view
_MIX_WITHOUT_INTENTS = (1.0, 1.0, 0.0, 1.0)
_CURVE_POINTS = 64
_NOTHING = 1e-9
_LEAST_EIGENVALUE = 1e-5


class FittedDifficulty(msgspec.Struct, frozen=True):
    """The figures, the names of its intents, and what it would have said of its own rows had it not seen them: [n, rungs] each."""

    difficulty: Difficulty
    intents: tuple[str, ...]
    adequate: np.ndarray
    uplift: np.ndarray


def fit_difficulty(
    encoded: Encoded, score: np.ndarray, intents: Sequence[str | None], *, seed: int
) -> FittedDifficulty:
    """`score` [n, rungs] in [0, 1], the last rung's the frontier's. Intents count where every row has one."""
    labels = [intent for intent in intents if intent is not None]
    known = labels if len(labels) == len(intents) and len(set(labels)) > 1 else None
    crossed = np.zeros((len(score), len(VIEWS), score.shape[1]))
    for inside, outside in folds(len(score), _FOLDS, seed=seed):
        part = [known[at] for at in inside] if known else None
        fitted, _ = _fit_views(
            encoded.rows(inside), score[inside], part, landmarks=_LANDMARKS_CROSSED, seed=seed
        )
        crossed[outside] = fitted.views(encoded.rows(outside))[0]
    scales = _fit_scales(crossed, score)
    views, names = _fit_views(encoded, score, known, landmarks=_LANDMARKS, seed=seed)
    difficulty = Difficulty(views.counts, views.kernel, views.words, views.intents, views.table, scales)
    adequate, uplift = combined(crossed, scales)
    return FittedDifficulty(difficulty, names, adequate, uplift)


def _fit_views(
    encoded: Encoded, score: np.ndarray, intents: Sequence[str] | None, *, landmarks: int, seed: int
) -> tuple[Difficulty, tuple[str, ...]]:
    mean = score.mean(axis=0)
    centred = score - mean
    spread = encoded.features.std(axis=0)
    counts = Counts(encoded.features.mean(axis=0), np.where(spread > _NOTHING, spread, np.inf), np.zeros(0))
    standard = counts.standard(encoded.features)
    weights = np.linalg.solve(
        standard.T @ standard + _COUNTS_PENALTY * np.eye(standard.shape[1]), standard.T @ centred
    )
    counts = Counts(counts.mean, counts.scale, weights)
    kernel = _fit_kernel(encoded.vectors, standard, centred, landmarks=landmarks, seed=seed)
    words = fit_words(encoded.words, centred, penalty=_WORDS_PENALTY)
    scales = Scales(mean, *(np.zeros(0) for _ in range(len(Scales.__struct_fields__) - 1)))
    if intents is None or len(set(intents)) < 2:
        return Difficulty(counts, kernel, words, None, np.zeros((0, len(mean))), scales), ()
    classifier, names, at = fit_intents(encoded.vectors, intents)
    table = intent_table(at, centred, len(names), pseudo_count=_INTENT_PSEUDO_COUNT)
    return Difficulty(counts, kernel, words, classifier, table, scales), names


def _fit_kernel(
    vectors: np.ndarray, standard: np.ndarray, centred: np.ndarray, *, landmarks: int, seed: int
) -> Kernel:
    """Ridge in the span of the landmarks (Nyström: Williams and Seeger, NIPS 2000)."""
    empty = np.zeros((0, 0), np.float32)
    kernel = Kernel(vectors.mean(axis=0), empty, empty, _PULL, np.zeros(0))
    points = kernel.points(vectors, standard).astype(np.float64)
    chosen = np.random.default_rng(seed).permutation(len(points))[:landmarks]
    marks = points[chosen]
    squares = squared(marks)
    values, axes = np.linalg.eigh(rbf(marks, marks, squares))
    kept = values > _LEAST_EIGENVALUE
    whiten = axes[:, kept] / np.sqrt(values[kept])
    seen = rbf(points, marks, squares) @ whiten
    solved = np.linalg.solve(seen.T @ seen + _KERNEL_PENALTY * np.eye(seen.shape[1]), seen.T @ centred)
    kept_marks = marks.astype(np.float32)
    return Kernel(kernel.centre, kept_marks, (whiten @ solved).astype(np.float32), _PULL, squared(kept_marks))


def _fit_scales(crossed: np.ndarray, score: np.ndarray) -> Scales:
    """How the views make one figure, from views [n, views, rungs] of rows that they did not see."""
    rungs = score.shape[1]
    gained = crossed[:, :, -1:] - crossed
    spread = gained.std(axis=0).T  # [rungs, views]
    used = spread > _NOTHING
    by_view = np.array(_MIX if used[:, VIEWS.index("intents")].any() else _MIX_WITHOUT_INTENTS)
    weights = np.where(used, by_view / np.where(used, spread, 1), 0.0)
    offset, slope = np.zeros(rungs), np.zeros(rungs)
    for rung in range(rungs - 1):
        reason = gained[:, :, rung] @ weights[rung]
        uplift = score[:, -1] - score[:, rung]
        variance = reason.var()
        slope[rung] = max(1e-6, float(np.mean((reason - reason.mean()) * uplift)) / (variance + 1e-12))
        offset[rung] = uplift.mean() - slope[rung] * reason.mean()
    mix = by_view * used.any(axis=0)
    mix = mix / mix.sum() if mix.sum() else np.full(len(VIEWS), 1 / len(VIEWS))
    mean = score.mean(axis=0)
    levels = np.einsum("nvr,v->nr", crossed, mix) + mean
    curves = [_padded(*fit_curve(levels[:, rung], score[:, rung])) for rung in range(rungs)]
    return Scales(
        mean, weights, offset, slope, mix, np.stack([c[0] for c in curves]), np.stack([c[1] for c in curves])
    )


def _padded(knots: np.ndarray, levels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Curves of one length: the last knot repeated."""
    missing = _CURVE_POINTS - len(knots)
    return np.pad(knots, (0, missing), mode="edge"), np.pad(levels, (0, missing), mode="edge")
