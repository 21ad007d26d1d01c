"""Fits `classify.Scope`: a logistic regression, and the cut that keeps what is in scope."""

from __future__ import annotations

import numpy as np

from smallfirst.classify.scope import Scope
from smallfirst.training.logistic import sklearn

KEPT = 0.95  # of the rows in scope, at least


def fit_scope(inside: np.ndarray, outside: np.ndarray, *, judged: np.ndarray | None = None) -> Scope:
    """`inside` [n, features] of calls in scope, `outside` of others; both as rows that the features' makers had not seen.

    Either side counts as much as the other. The cut keeps 95 % of `inside`, or more where that lets no more of `judged` in (default: nothing is
    judged) than it keeps out of `inside`.
    """
    both = np.concatenate([inside, outside])
    target = np.concatenate([np.ones(len(inside)), np.zeros(len(outside))])
    mean, scale = both.mean(axis=0), both.std(axis=0)
    scale = np.where(scale > 1e-9, scale, np.inf)
    model = sklearn("linear_model").LogisticRegression(class_weight="balanced", max_iter=1000)
    model.fit((both - mean) / scale, target)
    weights = model.coef_[0] / scale
    bias = float(model.intercept_[0] - weights @ mean)
    scope = Scope(weights, bias, 0.0)
    against = np.zeros(0) if judged is None or not len(judged) else scope.log_odds(judged)
    scope.threshold = cut(scope.log_odds(inside), against)
    return scope


def cut(inside: np.ndarray, outside: np.ndarray) -> float:
    """The log odds from which on at least 95 % of `inside` lie; lower, where fewer of `inside` are lost by it than are gained of `outside`."""
    inside, outside = np.sort(inside), np.sort(outside)
    highest = float(inside[int((1 - KEPT) * len(inside))])
    if not len(outside):
        return highest
    values = np.unique(np.concatenate([inside, outside]))
    between = (values[1:] + values[:-1]) / 2
    candidates = np.append(between[between < highest], highest)
    lost = np.searchsorted(inside, candidates, side="left") / len(inside)
    let_in = 1 - np.searchsorted(outside, candidates, side="left") / len(outside)
    cost = lost + let_in
    return float(candidates[np.flatnonzero(cost <= cost.min() + 1e-12)[-1]])
