"""A label head: a text to one of a task's labels, with the probability that it is right and that the text is none of them. Pure numpy.

Two stacks come from one fit. `fast` needs static embeddings and n-grams only; where it is not sure, and an encoder is there, `full` is asked.
Fitted in `training/label_head.py`; why it is built so, in design/005-label-head.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec
import numpy as np

from smallfirst.classify import artifact
from smallfirst.classify.embedder import Embedder, views_of
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.head_answer import HeadAnswer
from smallfirst.classify.head_stack import Stack
from smallfirst.classify.head_views import GramView, KernelView, LinearView
from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.classify.tuned_encoder import TUNED, tuned_encoder
from smallfirst.errors import ReleaseError

GRAMS = "grams"
SURE = 0.99  # of the fast stack: no encoder is asked
_BATCH = 256
FORMAT = 1

Progress = Callable[[str, int, int], None]
"""Told the step, what is done of it, and how much there is."""


class HeadHeader(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a head says of itself. `embedders` are names and hashes, `tuned` being the one that it carries; `fast` and `full` the views of each
    stack.
    """

    task: str
    labels: tuple[str, ...]
    embedders: tuple[tuple[str, str], ...]
    fast: tuple[str, ...]
    full: tuple[str, ...] = ()
    rejects: bool = False
    examples: int = 0
    format: int = FORMAT


class LabelHead:
    """Implements `models.label_head.Head`."""

    def __init__(self, found: artifact.Artifact, header: HeadHeader, embedders: Sequence[Embedder]) -> None:
        self.sha256 = found.sha256
        self.task = header.task
        self.labels = header.labels
        self.header = header
        self._embedders = {embedder.name: embedder for embedder in embedders}
        self.slow = any(embedder.slow for embedder in embedders)
        self._views = {
            view: (LinearView if view == TUNED else KernelView).from_arrays(view, found.arrays)
            for view in (header.full or header.fast)
            if view != GRAMS
        }
        self._grams = GramView.from_arrays(GRAMS, found.arrays)
        self._fast = Stack.from_arrays("fast", header.fast, found.arrays)
        self._full = Stack.from_arrays("full", header.full, found.arrays) if header.full else None

    def answer(self, text: str) -> HeadAnswer:
        """The label of one text. Where no example is near, its confidence says so."""
        return self._answers([text])[0]

    def answer_all(self, texts: Sequence[str], progress: Progress) -> list[HeadAnswer]:
        """The labels of many, each as it would be alone."""
        found: list[HeadAnswer] = []
        for at in range(0, len(texts), _BATCH):
            found += self._answers(texts[at : at + _BATCH])
            progress("labelling", len(found), len(texts))
        return found

    def _answers(self, texts: Sequence[str]) -> list[HeadAnswer]:
        scores: dict[str, np.ndarray] = {GRAMS: np.stack([self._grams(text) for text in texts])}
        self._score(scores, self._fast.views, texts)
        label, sure, outside = self._fast.judge(scores)
        rejected = self._rejects(self._fast, outside)
        if self._full is not None and (unsure := np.flatnonzero(sure < SURE)).size:
            some = {view: score[unsure] for view, score in scores.items()}
            self._score(some, self._full.views, [texts[int(at)] for at in unsure])
            label[unsure], sure[unsure], outside[unsure] = self._full.judge(some)
            rejected[unsure] = self._rejects(self._full, outside[unsure])
        return [
            HeadAnswer(
                label=OUT_OF_SCOPE if rejected[at] else self.labels[label[at]],
                confidence=float(sure[at]),
                out_of_scope=float(outside[at]),
            )
            for at in range(len(texts))
        ]

    def _rejects(self, stack: Stack, outside: np.ndarray) -> np.ndarray:
        return (outside > stack.reject_above) & self.header.rejects

    def _score(self, scores: dict[str, np.ndarray], views: Sequence[str], texts: Sequence[str]) -> None:
        """Adds the views that are still missing; each embedder is asked once."""
        missing = [view for view in views if view not in scores]
        for name in dict.fromkeys(view.partition("/")[0] for view in missing):
            vectors: Mapping[str, np.ndarray] = views_of(self._embedders[name], texts)
            for view in missing:
                if view in vectors:
                    scores[view] = self._views[view](vectors[view])


def load_head(path: Path) -> LabelHead:
    """The head of an artifact. Raises `ReleaseError` where it is another thing or its embedder has changed, `ConfigError` where one is missing."""
    found = artifact.read(path)
    header = read_header(found)
    return head_from(found, [open_embedder(name) for name, _ in header.embedders if name != TUNED])


def head_from(found: artifact.Artifact, embedders: Sequence[Embedder]) -> LabelHead:
    """The head of an artifact that was read, by embedders that are open. One that was tuned for it is in the artifact."""
    header = read_header(found)
    here = {embedder.name: embedder for embedder in embedders}
    if any(name == TUNED for name, _ in header.embedders):
        here[TUNED] = tuned_encoder(found.arrays)
    for name, sha256 in header.embedders:
        if here[name].sha256 != sha256:
            raise ReleaseError(
                f"head {found.sha256[:12]} was trained with embedder {name} {sha256[:12]}, and here it is {here[name].sha256[:12]}: train it again, "
                "or install the version of the embedder that it knew"
            )
    return LabelHead(found, header, [here[name] for name, _ in header.embedders])


def read_header(found: artifact.Artifact) -> HeadHeader:
    """Raises `ReleaseError` where the artifact is another thing."""
    if found.kind != "head":
        raise ReleaseError(f"{found.sha256[:12]} is a {found.kind}, not a head")
    try:
        return msgspec.convert(found.header, HeadHeader)
    except msgspec.ValidationError as error:
        raise ReleaseError(
            f"head {found.sha256[:12]} was trained by another version of smallfirst: {error}"
        ) from error
