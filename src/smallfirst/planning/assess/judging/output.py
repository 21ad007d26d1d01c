"""What a feature's answers look like: labels of a set, JSON of one shape, or text; and how far they keep to it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import msgspec
import numpy as np

from smallfirst.contracts import read_labels
from smallfirst.planning.assess.judging.json_shape import Shape, leaves, read_value
from smallfirst.planning.assess.judging.share import Share, covering, share, unseen
from smallfirst.planning.assess.judging.width import entropy_bits
from smallfirst.planning.assess.observed import Observed

MOST_LABELS = 200
LEAST_ANSWERS = 20  # below it, nothing is said of their form
_LABEL_CHARS, _LABEL_WORDS = 60, 6
_JSON_SHARE = 0.9
_COVERED = 0.95  # of the answers fit the set, or it is none
_NEW_LABELS = 0.05
_RARE = 0.002  # of the answers: what is rarer is left out of the set
_RANKED = 0.95  # of the answers have every label
_LEAST_EACH = 4  # answers for each label in the mean, or more labels are to come
_SCALES = (
    ("very low", "low", "medium", "high", "very high"),
    ("low", "normal", "high", "urgent"),
    ("low", "medium", "high", "critical"),
    ("none", "minor", "moderate", "major", "critical"),
    ("very negative", "negative", "neutral", "positive", "very positive"),
    ("p0", "p1", "p2", "p3", "p4"),
)
_NUMBER = re.compile(r"-?\d{1,4}(\.\d+)?")
_PROSE_WORDS = 30
_MOST_PROSE = 0.5  # of the JSON answers hold a written text, or they are one in braces
_STEPS = re.compile(
    r"(?im)^\s*(?:#+ )?(?:\*\*)?(?:step \d+|\d+[.)]|first,|second,|finally,|therefore,?)(?=\s)"
)

Form = Literal["label", "json", "text", "none", "unknown"]
Pick = Literal["one", "several", "ranked", "ordinal"]


class Output(msgspec.Struct, frozen=True, kw_only=True):
    """`form`: "none" where no call has an answer, "unknown" where too few have. `labels` most frequent first, in their order where `pick` is ordinal;
    `fits` is the share of answers within the set, or valid against the schema that was inferred from the other half; `new` estimates how many answers
    bring a label that the sample lacks.
    """

    answers: int
    form: Form
    distinct: int = 0
    entropy_bits: float = 0.0
    pick: Pick = "one"
    labels: tuple[tuple[str, int], ...] = ()
    labels_90: int = 0
    fits: Share | None = None
    new: Share | None = None
    schema: dict[str, Any] | None = None  # JSON Schema, inferred from all
    fields: int = 0
    fenced: int = 0  # JSON answers within a Markdown fence
    prose: Share | None = None  # JSON answers in which a value is a text of 30 words or more
    chars_p50: int = 0
    chars_p95: int = 0
    steps: Share | None = None  # answers that go through steps
    tool_calls: int = 0  # of the sample, that ask for tools

    @property
    def closed(self) -> bool:
        """Whether the answers are of a form that bounds what there is to learn; JSON around written text is none."""
        wordy = self.prose is not None and self.prose.value > _MOST_PROSE
        return self.form == "label" or (self.form == "json" and not wordy)


def output_of(calls: Sequence[Observed]) -> Output:
    answers = [
        call.answer.strip()
        for call in calls
        if call.answer.strip() and not call.failed and not call.calls_tools
    ]
    tools = sum(call.calls_tools for call in calls)
    if not answers:
        return Output(answers=0, form="none", tool_calls=tools)
    told: dict[str, Any] = {
        "answers": len(answers),
        "tool_calls": tools,
        "distinct": len(set(answers)),
        "entropy_bits": entropy_bits(list(Counter(answers).values())),
        "chars_p50": int(np.quantile([len(answer) for answer in answers], 0.5)),
        "chars_p95": int(np.quantile([len(answer) for answer in answers], 0.95)),
        "steps": share(sum(len(_STEPS.findall(answer[:20_000])) >= 3 for answer in answers), len(answers)),
    }
    if len(answers) < LEAST_ANSWERS:
        return Output(form="unknown", **told)
    found = _labels(answers) or _json(answers)
    return Output(**(told | (found or {"form": "text"})))


def _labels(answers: Sequence[str]) -> dict[str, Any] | None:
    """A set of labels, where the answers keep to one."""
    whole = _set(Counter(answers), [[answer] for answer in answers])
    parts = [read_labels(answer) for answer in answers]
    several = None
    if np.mean([len(part) for part in parts]) > 1 and not any("{" in answer for answer in answers[:50]):
        several = _set(Counter(label for part in parts for label in set(part)), parts)
    if several is not None and (whole is None or len(several[0]) < len(whole[0])):
        every = sum(len(part) == len(several[0]) == len(set(part)) for part in parts)
        return _told(*several, "ranked" if every >= _RANKED * len(parts) else "several")
    if whole is None:
        return None
    labels, fits, new = whole
    ordered = in_order([label for label, _ in labels])
    if ordered is None:
        return _told(labels, fits, new, "one")
    counts = dict(labels)
    return _told(tuple((label, counts[label]) for label in ordered), fits, new, "ordinal")


def _told(
    labels: tuple[tuple[str, int], ...], fits: Share | None, new: Share | None, pick: Pick
) -> dict[str, Any]:
    return {
        "form": "label",
        "pick": pick,
        "labels": labels,
        "labels_90": covering([count for _, count in labels], 0.9),
        "fits": fits,
        "new": new,
    }


def _set(
    counts: Counter[str], parts: Sequence[Sequence[str]]
) -> tuple[tuple[tuple[str, int], ...], Share | None, Share | None] | None:
    """The labels that are no rarities, the share of answers that they make up, and that of answers with a label seen once."""
    least = max(2, _RARE * len(parts))
    kept = {label for label, count in counts.items() if count >= least and _like_label(label)}
    if not 2 <= len(kept) <= min(MOST_LABELS, len(parts) // _LEAST_EACH):
        return None
    fits = share(sum(all(label in kept for label in part) for part in parts), len(parts))
    new = unseen(counts.values(), len(parts))
    assert fits is not None
    assert new is not None
    if fits.value < _COVERED or new.value > _NEW_LABELS:
        return None
    ordered = sorted(kept, key=lambda label: (-counts[label], label))
    return tuple((label, counts[label]) for label in ordered), fits, new


def _like_label(text: str) -> bool:
    return 0 < len(text) <= _LABEL_CHARS and len(text.split()) <= _LABEL_WORDS and "\n" not in text


def in_order(labels: Sequence[str]) -> list[str] | None:
    """The labels from low to high, where they are numbers or words of a usual scale."""
    if len(labels) > 2 and all(_NUMBER.fullmatch(label) for label in labels):
        return sorted(labels, key=float)
    for scale in _SCALES:
        place = {word: at for at, word in enumerate(scale)}
        if len(labels) > 2 and all(label.casefold() in place for label in labels):
            return sorted(labels, key=lambda label: place[label.casefold()])
    return None


def _json(answers: Sequence[str]) -> dict[str, Any] | None:
    read = [read_value(answer) for answer in answers]
    values = [value for value, _ in read if value is not None]
    if len(values) < _JSON_SHARE * len(answers):
        return None
    whole, even, odd = Shape.of(values), values[::2], values[1::2]
    valid = Shape.of(even).valid(odd) + Shape.of(odd).valid(even)
    return {
        "form": "json",
        "schema": whole.schema(),
        "fields": len(whole.fields),
        "fits": share(valid, len(answers)),
        "fenced": sum(fenced for value, fenced in read if value is not None),
        "prose": share(sum(map(_is_prose, values)), len(values)),
    }


def _is_prose(value: Any) -> bool:
    return any(isinstance(leaf, str) and len(leaf.split()) >= _PROSE_WORDS for _, leaf in leaves(value))
