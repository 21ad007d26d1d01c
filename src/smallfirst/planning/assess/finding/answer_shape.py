"""What answers look like: labels, JSON with some keys, or text of some length; and whether two lots of answers could be of one feature."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec
import numpy as np

Kind = Literal["none", "label", "short", "json", "tools", "text", "mixed"]

_LEAST = 4  # answers; fewer say nothing
_SHORT_CHARS, _SHORT_WORDS = 48, 5
_MOST = 0.8  # of the answers make it their kind
_LABELS = 200  # that are kept of a shape
_KEY_SHARE = 0.3
_EMBEDDED, _EMBEDDED_CHARS = 160, 600
_TEXT_RATIO = 1.5
_TEXT_COSINE = (
    0.8  # of the means of two lots of 160 answers to the same question: 0.9; to different ones: below 0.5
)
_BARE = frozenset(("yes", "no", "true", "false", "0", "1", "y", "n", "none", "null", "ok"))


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """Of some answers; `labels` and `keys` with their shares."""

    kind: Kind
    answers: int
    labels: dict[str, float] = {}
    keys: dict[str, float] = {}
    median_chars: float = 0.0
    texts: tuple[str, ...] = ()  # a few

    @property
    def is_bare(self) -> bool:
        """Whether its labels are those that anything may have: yes and no, 0 and 1."""
        return self.kind == "label" and set(self.labels) <= _BARE


def kind_of(answer: str, calls_tools: bool = False) -> Kind:
    """Of one answer; a label is told from other short texts only among many."""
    if not answer:
        return "tools" if calls_tools else "none"
    text = answer.strip()
    if text[:1] in ("{", "[") or text.startswith("```json"):
        return "json"
    if len(text) <= _SHORT_CHARS and "\n" not in text and len(text.split()) <= _SHORT_WORDS:
        return "short"
    return "text"


def keys_of(answer: str) -> frozenset[str]:
    """The keys of an answer's JSON object (of an array's first), none where it is none."""
    text = answer.strip()
    if text.startswith("```"):
        text = text.partition("\n")[2].rpartition("```")[0]
    try:
        found = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return frozenset()
    if isinstance(found, list) and found:
        found = found[0]
    return frozenset(found) if isinstance(found, dict) else frozenset()


def label_of(answer: str) -> str:
    """A short answer as a label: without case, quotes and full stop."""
    return answer.strip().strip(".\"'`*").strip().lower()


def shape_of(answers: Sequence[tuple[str, bool]]) -> Shape:
    """Of answers, each with whether it asks for tools."""
    kinds: Counter[Kind] = Counter(kind_of(answer, tools) for answer, tools in answers)
    del kinds["none"]
    total = sum(kinds.values())
    if total < _LEAST:
        return Shape(kind="none", answers=total)
    commonest, count = kinds.most_common(1)[0]
    kind: Kind = commonest if count >= _MOST * total else "mixed"
    texts = [answer for answer, _ in answers if answer]
    labels = Counter(label_of(text) for text in texts if kind_of(text) == "short")
    if kind == "short" and repeat(labels):
        kind = "label"
    parsed = [keys_of(text) for text in texts if kind == "json"]
    keys = Counter(key for found in parsed for key in found)
    step = max(1, len(texts) // _EMBEDDED)
    return Shape(
        kind=kind,
        answers=total,
        labels={label: n / total for label, n in labels.most_common(_LABELS)},
        keys={key: n / len(parsed) for key, n in keys.items() if n >= _KEY_SHARE * len(parsed)},
        median_chars=statistics.median(map(len, texts)) if texts else 0.0,
        texts=tuple(text[:_EMBEDDED_CHARS] for text in texts[::step][:_EMBEDDED]),
    )


def repeat(labels: Counter[str]) -> bool:
    """Whether short answers are of a set: there are several, and most come more than once."""
    return 1 < len(labels) <= max(2, sum(labels.values()) / 2)


def agree(left: Shape, right: Shape) -> bool | None:
    """Whether both could be answers to the same question; None where that cannot be seen. Narrower answers agree with wider ones."""
    if "none" in (left.kind, right.kind) or "mixed" in (left.kind, right.kind):
        return None
    short = ("label", "short")
    if left.kind in short and right.kind in short:
        return _labels_agree(left, right)
    if left.kind != right.kind:
        return None if "tools" in (left.kind, right.kind) else False
    if left.kind == "json":
        return _keys_agree(left, right)
    if left.kind == "tools":
        return None
    return True if _texts_agree(left, right) else None


def _labels_agree(left: Shape, right: Shape) -> bool | None:
    if left.is_bare and right.is_bare:
        return None
    inside = max(
        sum(share for label, share in one.labels.items() if label in other.labels)
        / max(sum(one.labels.values()), 1e-9)
        for one, other in ((left, right), (right, left))
    )
    if inside >= 0.6:
        return True
    return False if inside < 0.2 and "short" not in (left.kind, right.kind) else None


def _keys_agree(left: Shape, right: Shape) -> bool | None:
    one, other = set(left.keys), set(right.keys)
    if not one or not other:
        return None
    likeness = len(one & other) / min(len(one), len(other))
    return True if likeness >= 0.6 else False if likeness < 0.3 else None


def _texts_agree(left: Shape, right: Shape) -> bool:
    ratio = max(left.median_chars, 1) / max(right.median_chars, 1)
    if not 1 / _TEXT_RATIO <= ratio <= _TEXT_RATIO:
        return False
    return float(_middle(left.texts) @ _middle(right.texts)) >= _TEXT_COSINE


@lru_cache(maxsize=512)
def _middle(texts: tuple[str, ...]) -> np.ndarray:
    from smallfirst.classify.embedders import open_embedder

    middle = open_embedder("wordllama").embed(texts).mean(axis=0)
    length = float(np.linalg.norm(middle))
    return middle / length if length else middle
