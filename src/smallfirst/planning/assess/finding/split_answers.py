"""Where the prompt does not tell calls apart, their answers may: labels, JSON and text of the same bare prompt are different features."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from smallfirst.planning.assess.finding.answer_shape import keys_of, kind_of, label_of

_SHARE, _LEAST = 0.12, 12  # of the calls, so that they are a feature
_REPEATED = 3  # times, on average, that a label comes
_LIKE_KEYS = 0.5
_LABELS, _CHOSEN = 3, 0.03


class Split(NamedTuple):
    """The kinds of answers that stand apart: sets of labels and sets of JSON's keys; every other answer is of the rest."""

    labels: frozenset[str]
    keys: tuple[frozenset[str], ...]

    def part(self, answer: str) -> str:
        """Which kind an answer is of; empty for the rest."""
        kind = kind_of(answer)
        if kind == "short" and self.labels and label_of(answer) in self.labels:
            return "labels"
        if kind == "json" and self.keys:
            found = keys_of(answer)
            at = max(range(len(self.keys)), key=lambda at: _likeness(found, self.keys[at]))
            return f"json {at}" if _likeness(found, self.keys[at]) >= _LIKE_KEYS else ""
        return ""


def split_of(answers: Sequence[str]) -> Split | None:
    """How these answers fall apart; None where they do not."""
    answered = [answer for answer in answers if answer]
    least = max(_LEAST, int(_SHARE * len(answered)))
    labels = Counter(label_of(answer) for answer in answered if kind_of(answer) == "short")
    total = sum(labels.values())
    is_set = total >= least and len(labels) * _REPEATED <= total and _is_choice(labels)
    keys = _key_sets([answer for answer in answered if kind_of(answer) == "json"], least)
    rest = len(answered) - (total if is_set else 0) - sum(count for _, count in keys)
    parts = is_set + len(keys) + (rest >= least)
    if parts < 2:
        return None
    sure = frozenset(label for label, count in labels.items() if count > 1) if is_set else frozenset()
    return Split(sure, tuple(found for found, _ in keys))


def _is_choice(labels: Counter[str]) -> bool:
    """Whether several of them are common, and none is an exclamation: "Sure!" to one thing and "Done." to another is talk."""
    common = [label for label, count in labels.items() if count >= _CHOSEN * sum(labels.values())]
    return len(common) >= _LABELS and not any(label.endswith(("!", "?")) for label in common)


def _key_sets(answers: Sequence[str], least: int) -> list[tuple[frozenset[str], int]]:
    """Sets of keys that are unlike one another, and how many answers are nearest to each."""
    found: list[tuple[frozenset[str], int]] = []
    for keys, count in Counter(map(keys_of, answers)).most_common():
        near = next((at for at, (known, _) in enumerate(found) if _likeness(keys, known) >= _LIKE_KEYS), None)
        if near is None:
            found.append((keys, count))
        else:
            found[near] = (found[near][0], found[near][1] + count)
    return [(keys, count) for keys, count in found if count >= least]


def _likeness(one: frozenset[str], other: frozenset[str]) -> float:
    return len(one & other) / max(1, len(one | other)) if one or other else 1.0
