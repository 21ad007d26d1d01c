"""Fits `classify.Intents`: a multinomial logistic regression on standardised vectors, strongly penalised."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np

from smallfirst.classify.intents import Intents
from smallfirst.training.logistic import sklearn

_STRENGTH = 0.03  # scikit-learn's C
_STEPS = 60
_CLOSE = 1e-3


def fit_intents(vectors: np.ndarray, labels: Sequence[str]) -> tuple[Intents, tuple[str, ...], np.ndarray]:
    """The classifier, the kinds in its order, and each row's kind as a number. There are at least two kinds."""
    kinds, at = np.unique(np.asarray(labels, dtype=object).astype(str), return_inverse=True)
    centre, scale = vectors.mean(axis=0), vectors.std(axis=0)
    scale = np.where(scale > 1e-9, scale, np.inf)
    model = sklearn("linear_model").LogisticRegression(C=_STRENGTH, max_iter=_STEPS, tol=_CLOSE)
    with warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # sixty steps are enough, converged or not: the penalty has done its work
        model.fit((vectors - centre) / scale, at)
    weights, biases = model.coef_.T / scale[:, None], model.intercept_
    if len(kinds) == 2:  # one set of weights for two kinds
        weights, biases = (
            np.concatenate([-weights, weights], axis=1) / 2,
            np.concatenate([-biases, biases]) / 2,
        )
    return Intents(centre, weights, biases), tuple(str(kind) for kind in kinds), at


def intent_table(at: np.ndarray, centred: np.ndarray, kinds: int, *, pseudo_count: float) -> np.ndarray:
    """[kinds, outputs]: the mean of each kind's centred outcomes, shrunken towards 0 by so many examples."""
    table, counts = np.zeros((kinds, centred.shape[1])), np.bincount(at, minlength=kinds)
    np.add.at(table, at, centred)
    return table / (counts + pseudo_count)[:, None]
