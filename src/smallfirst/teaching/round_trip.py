"""What a head that was trained on the real examples says of written ones: it must not be sure that one has another label."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import msgspec

from smallfirst.classify import artifact
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.label_head import LabelHead, Progress, head_from
from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.errors import ConfigError
from smallfirst.training.label_head import fit_head
from smallfirst.training.labels import LabelRow

_LEAST_OF_LABEL = 2


class Said(msgspec.Struct, frozen=True):
    """Of one text: the head's label, and how sure it is."""

    label: str
    sure: float


class RoundTrip:
    """A head over the real examples of a train part. `why_not` says why there is none; then nothing is rejected."""

    def __init__(self, texts: Sequence[tuple[str, str]], *, task: str, progress: Progress) -> None:
        """`texts`: each with its label."""
        self.why_not = ""
        self._head: LabelHead | None = None
        counts = Counter(label for _, label in texts)
        rows = [
            LabelRow(text=text, label=label, id=str(at), line=at)
            for at, (text, label) in enumerate(texts, start=1)
            if label != OUT_OF_SCOPE and counts[label] >= _LEAST_OF_LABEL
        ]
        try:
            embedder = open_embedder("wordllama")
            fitted = fit_head(rows, [embedder], task=task, seed=0, progress=progress)
        except ConfigError as error:
            self.why_not = str(error)
            return
        self._head = head_from(artifact.unpack(fitted.data), [embedder])

    def knows(self, label: str) -> bool:
        """Whether the head has seen real examples of a label: of others it cannot say anything."""
        return self._head is not None and label in self._head.labels

    def said(self, texts: Sequence[str]) -> list[Said]:
        """What the head says of each text."""
        assert self._head is not None
        return [Said(one.label, one.confidence) for one in self._head.answer_all(texts, lambda *_: None)]
