"""Fits `classify.head_stack.Stack` on the scores of rows that the views did not see."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from smallfirst.classify.head_stack import Stack, evidence, log_probabilities, logistic, softmax

_FUSED_ROWS = 5000  # at most so many are looked at to weigh the views
_FIRST_TEMPERATURE = 15.0
_LOST_THOUGH_RIGHT = 0.004  # of the rows in scope: what rejecting may cost
_REAL_OUTSIDE = 0.7  # the weight of real out-of-scope rows beside rows whose class was left out
_RIDGE = 1e-3
_LEAST_SPREAD = 1e-3  # of evidence: what hardly varies tells nothing, and is not blown up
_STEPS = 30

Scores = Mapping[str, np.ndarray]


def fit_stack(unseen: Scores, classless: Scores, label: np.ndarray, *, labels: int) -> Stack:
    """`unseen` and `classless` [n, labels] by view; `label` [n] as a number, `labels` for rows that are out of scope."""
    views = tuple(unseen)
    inside = np.flatnonzero(label < labels)
    outside = np.flatnonzero(label == labels)
    temperatures, weights = _fusion(views, unseen, inside, label)
    nothing = np.zeros(0)
    stack = Stack(
        views=views,
        temperatures=temperatures,
        weights=weights,
        mean=nothing,
        scale=nothing,
        correct=nothing,
        outside=nothing,
        reject_above=1.0,
    )
    probabilities = stack.probabilities(unseen)
    features = evidence(views, unseen, probabilities)
    spread = np.maximum(features[inside].std(axis=0), _LEAST_SPREAD)
    mean, scale = features[inside].mean(axis=0), spread + 1e-9
    features = (features - mean) / scale
    right = probabilities[inside].argmax(axis=1) == label[inside]
    correct = _logistic(features[inside], right.astype(float), np.ones(len(inside)))
    left_out = (evidence(views, classless, stack.probabilities(classless)) - mean) / scale
    outside_weights = _outside(features[inside], left_out[inside], features[outside])
    kept = np.sort(logistic(features[inside], outside_weights)[right])
    at = int(np.ceil(len(kept) - _LOST_THOUGH_RIGHT * len(inside)))
    return Stack(
        views=views,
        temperatures=temperatures,
        weights=weights,
        mean=mean,
        scale=scale,
        correct=correct,
        outside=outside_weights,
        reject_above=float(kept[min(at, len(kept) - 1)]) if len(kept) else 1.0,
    )


def _fusion(
    views: Sequence[str], unseen: Scores, inside: np.ndarray, label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Each view's temperature, then the views' weights, by the likelihood of the labels."""
    some = inside[:: max(1, len(inside) // _FUSED_ROWS)]
    truth, rows = label[some], np.arange(len(some))

    def surprise(probabilities: np.ndarray) -> float:
        return float(-np.log(probabilities[rows, truth] + 1e-12).mean())

    temperatures = np.array(
        [
            _least(lambda at, view=view: surprise(softmax(at[0] * unseen[view][some])), [_FIRST_TEMPERATURE])[
                0
            ]
            for view in views
        ]
    )
    logs = [
        log_probabilities(unseen[view][some], temperature)
        for view, temperature in zip(views, temperatures, strict=True)
    ]
    weights = _least(
        lambda at: surprise(softmax(np.asarray(sum(w * log for w, log in zip(at, logs, strict=True))))),
        [1 / len(views)] * len(views),
    )
    return temperatures, weights


def _least(cost: Callable[[np.ndarray], float], start: Sequence[float]) -> np.ndarray:
    """A minimum of a smooth cost of a few nonnegative numbers: pattern search by coordinate (Hooke and Jeeves, 1961)."""
    at = np.array(start, float)
    best, step = cost(at), 0.5
    for _ in range(60):
        moved = False
        for column in range(len(at)):
            for direction in (step, -step):
                tried = at.copy()
                tried[column] = max(0.0, tried[column] + direction * max(abs(tried[column]), 0.05))
                if (value := cost(tried)) < best - 1e-6:
                    at, best, moved = tried, value, True
                    break
        if not moved:
            step /= 2
        if step < 0.01:
            break
    return at


def _outside(inside: np.ndarray, left_out: np.ndarray, real: np.ndarray) -> np.ndarray:
    """What tells out of scope from in scope: real rows where there are any, and rows whose class was left out."""
    features = np.concatenate([inside, left_out, real])
    target = np.r_[np.zeros(len(inside)), np.ones(len(left_out)), np.ones(len(real))]
    made = 1 - _REAL_OUTSIDE if len(real) else 1.0
    weights = np.r_[
        np.full(len(inside), 1 / len(inside)),
        np.full(len(left_out), made / len(left_out)),
        np.full(len(real), _REAL_OUTSIDE / max(1, len(real))),
    ]
    return _logistic(features, target, weights)


def _logistic(features: np.ndarray, target: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Ridge-penalised logistic weights, the bias last, by Newton's method."""
    rows = np.column_stack([features, np.ones(len(features))])
    share = weights / weights.sum()
    ridge = _RIDGE * np.eye(rows.shape[1])
    ridge[-1, -1] = 0
    found = np.zeros(rows.shape[1])
    for _ in range(_STEPS):
        given = logistic(features, found)
        curvature = (rows * (share * given * (1 - given) + 1e-9)[:, None]).T @ rows + ridge
        step = np.linalg.solve(curvature, rows.T @ (share * (given - target)) + ridge @ found)
        found = found - step
        if np.abs(step).max() < 1e-8:
            break
    return found
