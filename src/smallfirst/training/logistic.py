"""Fits `classify.Calibrated`: a ridge-penalised logistic regression, and an isotonic curve over logits that the regression did not see."""

from __future__ import annotations

import numpy as np

from smallfirst.classify.calibrated import Calibrated
from smallfirst.errors import ConfigError

_FOLDS = 5
_POINTS = 64


def fit_calibrated(
    features: np.ndarray, target: np.ndarray, *, penalty: float = 1.0, seed: int = 0
) -> Calibrated:
    """`features` [n, d], `target` [n] in [0, 1] (graded targets count as both classes, weighted).

    The curve is fitted on cross-fitted logits, so that it is not flattered by what the regression has memorised.
    """
    logits = np.zeros(len(target))
    for inside, outside in folds(len(target), _FOLDS, seed=seed):
        weights, bias = _ridge(features[inside], target[inside], penalty)
        logits[outside] = features[outside] @ weights + bias
    weights, bias = _ridge(features, target, penalty)
    knots, levels = fit_curve(logits, target)
    return Calibrated(weights, bias, knots, levels)


def fit_curve(logits: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """An isotonic curve, thinned to at most 64 knots and kept off 0 and 1 by half an example."""
    isotonic = sklearn("isotonic").IsotonicRegression(out_of_bounds="clip")
    isotonic.fit(logits, target)
    knots, levels = isotonic.X_thresholds_, isotonic.y_thresholds_
    if len(knots) > _POINTS:
        kept = np.unique(np.linspace(0, len(knots) - 1, _POINTS).round().astype(int))
        knots, levels = knots[kept], levels[kept]
    edge = 0.5 / (len(target) + 1)
    return knots, np.clip(levels, edge, 1 - edge)


def folds(rows: int, count: int, *, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Inside and outside of `count` folds of a seeded shuffle; fewer where there are not rows enough."""
    count = max(2, min(count, rows))
    order = np.random.default_rng(seed).permutation(rows)
    outside = [np.sort(order[at::count]) for at in range(count)]
    everything = np.arange(rows)
    return [(np.setdiff1d(everything, part), part) for part in outside]


def _ridge(features: np.ndarray, target: np.ndarray, penalty: float) -> tuple[np.ndarray, float]:
    """Weights for raw features: standardisation is folded in. A target of one class alone is a constant."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 1e-9, scale, np.inf)
    weighted = np.concatenate([target, 1 - target])
    classes = np.concatenate([np.ones(len(target)), np.zeros(len(target))])
    kept = weighted > 0
    if len(np.unique(classes[kept])) < 2:
        share = (target.sum() + 0.5) / (len(target) + 1)
        return np.zeros(features.shape[1]), float(np.log(share / (1 - share)))
    model = sklearn("linear_model").LogisticRegression(C=1 / penalty, max_iter=1000)
    standard = (features - mean) / scale
    model.fit(np.concatenate([standard, standard])[kept], classes[kept], sample_weight=weighted[kept])
    weights = model.coef_[0] / scale
    return weights, float(model.intercept_[0] - weights @ mean)


def sklearn(module: str):
    """A module of scikit-learn. Raises `ConfigError` that names the extra where it is not installed."""
    import importlib

    try:
        return importlib.import_module(f"sklearn.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError("fitting needs an extra: pip install 'smallfirst[learn]'") from error
