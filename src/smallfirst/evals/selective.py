"""How well a classifier answers when it may leave what it is unsure of, or what is none of its labels, to another."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import numpy as np
from numpy.typing import ArrayLike, NDArray

from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.scoring.label_figures import macro_f1
from smallfirst.statistics import RiskCoverage, accuracy_at, aurc, auroc, ece, risk_coverage

_KEPT = 0.95  # of the in-scope rows, where the recall of the others is read


class Selective(msgspec.Struct, frozen=True, kw_only=True):
    """A label head's figures on rows that it was not fitted on.

    All but the `oos_…` ones are of the in-scope rows; a row that the head calls out of scope is wrong there. `accuracy_at_80`:
    on the surest 80 %. `ece`: of the confidence in the label given, fifteen bins of equal width. `oos_recall`: share of the
    out-of-scope rows that the head calls so; `oos_recall_at_95`: that its score would, were the threshold the lowest that keeps
    95 % of these in-scope rows. None where there are no such rows, or no score.
    """

    rows: int
    oos_rows: int
    accuracy: float | None
    macro_f1: float | None
    accuracy_at_80: float | None
    accuracy_at_90: float | None
    ece: float | None
    aurc: float | None
    oos_auroc: float | None
    oos_recall: float | None
    oos_recall_at_95: float | None
    curve: RiskCoverage


def selective(
    gold: Sequence[str],
    predicted: Sequence[str],
    *,
    confidences: ArrayLike,
    oos_scores: ArrayLike | None = None,
    oos_label: str = OUT_OF_SCOPE,
) -> Selective:
    """The figures of one head: n rows each; a higher `oos_scores` is a stronger reason to call a row out of scope.

    Raises ValueError where the lengths differ or a number is NaN.
    """
    truth, given = np.asarray(gold, dtype=object), np.asarray(predicted, dtype=object)
    sure = np.asarray(confidences, dtype=np.float64)
    if not truth.shape == given.shape == sure.shape:
        raise ValueError(f"expected as many predictions and confidences as labels, {truth.size}")
    outside = truth == oos_label
    inside = ~outside
    right = (truth == given)[inside]
    surest = sure[inside]
    scores = None if oos_scores is None else np.asarray(oos_scores, dtype=np.float64)
    return Selective(
        rows=int(inside.sum()),
        oos_rows=int(outside.sum()),
        accuracy=float(right.mean()) if right.size else None,
        macro_f1=macro_f1(truth[inside].tolist(), given[inside].tolist()),
        accuracy_at_80=accuracy_at(0.8, confidences=surest, correct=right),
        accuracy_at_90=accuracy_at(0.9, confidences=surest, correct=right),
        ece=ece(surest, right),
        aurc=aurc(surest, right),
        oos_auroc=None if scores is None else auroc(scores, outside),
        oos_recall=float((given[outside] == oos_label).mean()) if outside.any() else None,
        oos_recall_at_95=None if scores is None else _recall_at(_KEPT, scores, outside),
        curve=risk_coverage(surest, right),
    )


def _recall_at(kept: float, scores: NDArray[np.float64], outside: NDArray[np.bool_]) -> float | None:
    """The share of `outside` rows above the lowest threshold that leaves at least `kept` of the others in scope."""
    inside = np.sort(scores[~outside])
    if not inside.size or not outside.any():
        return None
    threshold = inside[math.ceil(kept * inside.size - 1e-9) - 1]
    return float((scores[outside] > threshold).mean())
