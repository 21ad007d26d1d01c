"""Figures of many labels together: what a mean of right and wrong does not say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

import msgspec


class LabelFigures(msgspec.Struct, frozen=True):
    """Precision, recall and F1 of one label; `rows` have it as their reference. What divides by nothing is 0."""

    rows: int
    precision: float
    recall: float
    f1: float


def macro_f1(gold: Sequence[str], predicted: Sequence[str]) -> float | None:
    """The mean F1 over the labels that occur in `gold`, each counting the same. None without rows."""
    figures = per_label([{label} for label in gold], [{label} for label in predicted])
    return mean_f1(figures)


def mean_f1(figures: Mapping[str, LabelFigures]) -> float | None:
    """The mean F1 over the labels that have rows. None where none has."""
    found = [label.f1 for label in figures.values() if label.rows]
    return sum(found) / len(found) if found else None


def per_label(
    gold: Sequence[Collection[str]], predicted: Sequence[Collection[str]]
) -> dict[str, LabelFigures]:
    """By label, in alphabetical order: n rows of distinct labels each. Raises ValueError where the lengths differ."""
    hits: Counter[str] = Counter()
    truths: Counter[str] = Counter()
    givens: Counter[str] = Counter()
    for truth, given in zip(gold, predicted, strict=True):
        truths.update(truth)
        givens.update(given)
        hits.update(set(truth) & set(given))
    return {
        label: LabelFigures(
            rows=truths[label],
            precision=hits[label] / givens[label] if givens[label] else 0.0,
            recall=hits[label] / truths[label] if truths[label] else 0.0,
            f1=2 * hits[label] / (truths[label] + givens[label]),
        )
        for label in sorted(truths | givens)
    }


def confusion(gold: Sequence[str], predicted: Sequence[str]) -> dict[str, dict[str, int]]:
    """How often each label was answered for each reference: reference → answer → rows; pairs that never occur are absent."""
    table: dict[str, dict[str, int]] = {}
    for (truth, given), rows in sorted(Counter(zip(gold, predicted, strict=True)).items()):
        table.setdefault(truth, {})[given] = rows
    return table


def cohens_kappa(gold: Sequence[str], predicted: Sequence[str], *, order: Sequence[str] = ()) -> float | None:
    """Agreement beyond chance, 1 at most (Cohen, 1960); quadratically weighted where `order` gives a scale (Cohen, 1968).

    None without rows, and where both always say the same one thing, so that chance explains all. Labels that `order` lacks stand as far
    away as can be.
    """
    if not gold:
        return None
    pairs = Counter(zip(gold, predicted, strict=True))
    truths, givens = Counter(gold), Counter(predicted)
    place = {label: at for at, label in enumerate(order)}
    farthest = max(len(order) - 1, 1)

    def apart(truth: str, given: str) -> float:
        if truth == given:
            return 0.0
        if truth not in place or given not in place:
            return 1.0
        return ((place[truth] - place[given]) / farthest) ** 2

    seen = sum(rows * apart(*pair) for pair, rows in pairs.items()) / len(gold)
    chance = sum(truths[a] * givens[b] * apart(a, b) for a in truths for b in givens) / len(gold) ** 2
    return 1 - seen / chance if chance else None
