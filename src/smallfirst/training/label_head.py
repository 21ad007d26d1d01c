"""Trains a label head: its views, its two stacks, and what it says of its own examples when it has not seen them."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import numpy as np

from smallfirst.classify.artifact import pack
from smallfirst.classify.embedder import Embedder, views_of
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.head_stack import Stack
from smallfirst.classify.label_head import GRAMS, HeadHeader, Progress
from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.classify.tuned_encoder import TUNED
from smallfirst.errors import ConfigError
from smallfirst.statistics import accuracy_at, ece
from smallfirst.training.head_stack import fit_stack
from smallfirst.training.head_views import FittedView, fit_gram_view, fit_kernel_view
from smallfirst.training.labels import LabelRow
from smallfirst.training.tuned import Tunes

__all__ = ["HeadFit", "Progress", "fit_head", "open_embedders"]

_GRAM_PENALTY = 0.3
_GAIN, _PENALTY = 1.5, 0.15
_MIDDLE_GAIN, _MIDDLE_PENALTY = 1.0, 0.1
_MOST_ROWS = 16_000  # the inverse of their kernel is 1 GB
_LEAST_OF_LABEL = 2
_STEP = 64


class HeadFit(msgspec.Struct, frozen=True, kw_only=True):
    """A head's artifact and what was measured on its own examples, each unseen: `label` [n] as a number, `sure` [n]."""

    data: bytes
    report: dict[str, Any]
    rows: tuple[LabelRow, ...]
    labels: tuple[str, ...]
    label: np.ndarray
    sure: np.ndarray

    def outcome_rows(self, name: str) -> Iterator[dict[str, Any]]:
        """What a head of that name is worth on each example that it has not seen, as `router fit` reads it."""
        for row, label, sure in zip(self.rows, self.label, self.sure, strict=True):
            answer = self.labels[label]
            outcome = {
                "score": float(answer == row.label),
                "confidence": round(float(sure), 6),
                "answer": answer,
                "output_chars": len(answer),
            }
            yield {
                "id": row.id,
                "input": row.text,
                "label": row.label,
                "split": "train",
                "outcomes": {name: outcome},
            }


def open_embedders(names: Sequence[str]) -> list[Embedder]:
    """The embedders of these names; by default wordllama, and MiniLM where its weights and its engine are here."""
    if names:
        return [open_embedder(name) for name in names]
    found = [open_embedder("wordllama")]
    try:
        found.append(open_embedder("minilm"))
    except ConfigError:
        return found
    return found


def fit_head(
    rows: Sequence[LabelRow],
    embedders: Sequence[Embedder],
    *,
    task: str,
    seed: int,
    progress: Progress,
    tunes: Tunes | None = None,
) -> HeadFit:
    """A head for the labels of these rows; with an encoder tuned to them, where one `tunes`. Raises `ConfigError` where there are too few rows."""
    began_s = time.perf_counter()
    if not any(not embedder.slow for embedder in embedders):
        raise ConfigError("a head needs a static embedder beside an encoder: add --embedder wordllama")
    rows = _sampled(rows, seed)
    labels = _labels(rows)
    label = _numbers(rows, labels)
    inside = np.flatnonzero(label < len(labels))
    texts = [row.text for row in rows]
    tuned = tunes.tune(texts, label, len(labels), progress=progress) if tunes else None
    views = _fit_views(texts, label, len(labels), embedders, progress)
    if tuned is not None:
        views[TUNED] = tuned.view
        embedders = [*embedders, tuned.encoder]
    slow = {embedder.name for embedder in embedders if embedder.slow}
    fast = tuple(view for view in views if view.partition("/")[0] not in slow)
    stacks = {"fast": _stack(views, fast, label, len(labels))}
    if len(fast) < len(views):
        stacks["full"] = _stack(views, tuple(views), label, len(labels))
    header = HeadHeader(
        task=task,
        labels=labels,
        embedders=tuple((embedder.name, embedder.sha256) for embedder in embedders),
        fast=fast,
        full=tuple(views) if "full" in stacks else (),
        rejects=bool((label == len(labels)).any()),
        examples=len(rows),
    )
    arrays = dict(tuned.arrays) if tuned else {}
    for name, fitted in views.items():
        arrays |= fitted.view.arrays(name)
    for name, stack in stacks.items():
        arrays |= stack.arrays(name)
    stack = stacks.get("full", stacks["fast"])
    found, sure, _ = stack.judge({view: fitted.unseen for view, fitted in views.items()})
    report = _report(header, sure[inside], (found == label)[inside])
    report["fit_s"] = round(time.perf_counter() - began_s, 3)
    return HeadFit(
        data=pack("head", msgspec.to_builtins(header), arrays),
        report=report | (tuned.told if tuned else {}),
        rows=tuple(rows),
        labels=labels,
        label=found,
        sure=sure,
    )


def _report(header: HeadHeader, sure: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """Of the rows in scope, each unseen."""
    return {
        "task": header.task,
        "labels": len(header.labels),
        "examples": header.examples,
        "embedders": [name for name, _ in header.embedders],
        "accuracy": float(right.mean()),
        "accuracy_at_80": accuracy_at(0.8, confidences=sure, correct=right),
        "ece": ece(sure, right),
    }


def _sampled(rows: Sequence[LabelRow], seed: int) -> Sequence[LabelRow]:
    """The rows, or a seeded sample where they are more than can be inverted."""
    if len(rows) <= _MOST_ROWS:
        return rows
    kept = np.sort(np.random.default_rng(seed).permutation(len(rows))[:_MOST_ROWS])
    return [rows[at] for at in kept]


def _labels(rows: Sequence[LabelRow]) -> tuple[str, ...]:
    counts = Counter(row.label for row in rows if row.label and row.label != OUT_OF_SCOPE)
    if len(counts) < 2:
        raise ConfigError(
            f"the examples have {len(counts)} different labels; a head tells at least two apart"
        )
    rare = sorted(name for name, count in counts.items() if count < _LEAST_OF_LABEL)
    if rare:
        raise ConfigError(
            f"label {rare[0]!r} has one example, and {_LEAST_OF_LABEL} are needed (such labels: {len(rare)} of {len(counts)})"
        )
    return tuple(sorted(counts))


def _numbers(rows: Sequence[LabelRow], labels: tuple[str, ...]) -> np.ndarray:
    """[n]: each row's label as a number; of one that has none of them, how many there are."""
    number = {name: at for at, name in enumerate(labels)}
    return np.array([number.get(row.label or "", len(labels)) for row in rows])


def _fit_views(
    texts: Sequence[str],
    label: np.ndarray,
    labels: int,
    embedders: Sequence[Embedder],
    progress: Progress,
) -> dict[str, FittedView]:
    """By name, static ones and n-grams first."""
    groups = [np.flatnonzero(label == at) for at in range(labels)]
    targets = (label[:, None] == np.arange(labels)).astype(np.float32)
    vectors: dict[str, list[np.ndarray]] = {}
    for embedder in sorted(embedders, key=lambda embedder: embedder.slow):
        for at in range(0, len(texts), _STEP):
            for name, part in views_of(embedder, texts[at : at + _STEP]).items():
                vectors.setdefault(name, []).append(part)
            progress(f"embedding by {embedder.name}", min(at + _STEP, len(texts)), len(texts))
    progress("fitting n-grams", 0, len(vectors) + 1)
    views = {GRAMS: fit_gram_view(texts, targets, groups, penalty=_GRAM_PENALTY)}
    for done, (name, parts) in enumerate(vectors.items(), start=1):
        progress(f"fitting {name}", done, len(vectors) + 1)
        middle = name.endswith("/middle")
        views[name] = fit_kernel_view(
            np.concatenate(parts),
            targets,
            groups,
            gain=_MIDDLE_GAIN if middle else _GAIN,
            penalty=_MIDDLE_PENALTY if middle else _PENALTY,
        )
    return views


def _stack(views: dict[str, FittedView], names: tuple[str, ...], label: np.ndarray, labels: int) -> Stack:
    return fit_stack(
        {name: views[name].unseen for name in names},
        {name: views[name].classless for name in names},
        label,
        labels=labels,
    )
