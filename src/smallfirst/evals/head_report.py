"""A label head, trained on some rows and measured on others."""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.artifact import unpack
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.head_answer import HeadAnswer
from smallfirst.classify.label_head import LabelHead, head_from
from smallfirst.evals.selective import Selective, selective
from smallfirst.training.label_head import Progress, fit_head
from smallfirst.training.labels import LabelRow
from smallfirst.training.tuned import Tunes

_TIMED = 400


class HeadReport(msgspec.Struct, frozen=True, kw_only=True):
    """`predict_us`: CPU time of one prediction, text to label, median and 99th percentile. `fit_s`: of the whole fit, embedding included."""

    selective: Selective
    predict_us: tuple[float, float]
    fit_s: float

    def figures(self) -> dict[str, float | None]:
        """The flat figures, by the names that scripts read."""
        told = self.selective
        names = (
            "accuracy",
            "macro_f1",
            "accuracy_at_80",
            "accuracy_at_90",
            "ece",
            "oos_auroc",
            "oos_recall_at_95",
            "oos_recall",
            "aurc",
        )
        return {name: getattr(told, name) for name in names} | {
            "predict_us_p50": self.predict_us[0],
            "predict_us_p99": self.predict_us[1],
            "fit_s": self.fit_s,
        }


def evaluate(
    train: Sequence[LabelRow],
    test: Sequence[LabelRow],
    embedders: Sequence[Embedder],
    *,
    seed: int,
    progress: Progress,
    tunes: Tunes | None = None,
) -> HeadReport:
    """Trains on `train`, predicts the texts of `test`, and only then looks at its labels. `tunes`: with an encoder that is tuned too."""
    texts = [row.text for row in test]
    head, fit_s = _fitted(train, embedders, seed=seed, progress=progress, tunes=tunes)
    answers = head.answer_all(texts, progress)
    return HeadReport(
        selective=selective(
            [row.label or "" for row in test],
            [answer.label for answer in answers],
            confidences=[answer.confidence for answer in answers],
            oos_scores=[answer.out_of_scope for answer in answers],
        ),
        predict_us=_timed(head, texts),
        fit_s=fit_s,
    )


def predict(
    train: Sequence[LabelRow],
    texts: Sequence[str],
    embedders: Sequence[Embedder],
    *,
    seed: int,
    progress: Progress,
    tunes: Tunes | None = None,
) -> list[HeadAnswer]:
    """Trains on `train` and answers the texts."""
    head, _ = _fitted(train, embedders, seed=seed, progress=progress, tunes=tunes)
    return head.answer_all(texts, progress)


def _fitted(
    train: Sequence[LabelRow],
    embedders: Sequence[Embedder],
    *,
    seed: int,
    progress: Progress,
    tunes: Tunes | None,
) -> tuple[LabelHead, float]:
    began_s = time.perf_counter()
    fitted = fit_head(train, embedders, task="eval", seed=seed, progress=progress, tunes=tunes)
    return head_from(unpack(fitted.data), embedders), time.perf_counter() - began_s


def _timed(head: LabelHead, texts: Sequence[str]) -> tuple[float, float]:
    head.answer(texts[0])
    spent = []
    for text in texts[:_TIMED]:
        began_ns = time.thread_time_ns()
        head.answer(text)
        spent.append((time.thread_time_ns() - began_ns) / 1000)
    return float(np.median(spent)), float(np.quantile(spent, 0.99))
