"""How far two labellers agree beyond chance: Cohen's kappa (1960), and weighted for ordered labels (1968)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from tickets import FIELDS, PRIORITIES, Row

Weight = Callable[[str, str], float]


def raw_agreement(first: Sequence[Any], second: Sequence[Any]) -> float:
    """The share of pairs that are equal, in [0, 1]; `ValueError` where there are none or lengths differ."""
    if not first or len(first) != len(second):
        raise ValueError("two labellings of the same rows, at least one, are needed")
    return sum(a == b for a, b in zip(first, second, strict=True)) / len(first)


def kappa(first: Sequence[str], second: Sequence[str], weight: Weight = lambda a, b: float(a != b)) -> float:
    """One less the mean disagreement over that by chance alone; 1 where both always say the same one label.

    `weight` is the cost of a pair of labels, 0 for equal ones; by default every difference costs the same.
    """
    if not first or len(first) != len(second):
        raise ValueError("two labellings of the same rows, at least one, are needed")
    seen = sum(weight(a, b) for a, b in zip(first, second, strict=True)) / len(first)
    ours, theirs = Counter(first), Counter(second)
    chance = sum(n * m * weight(a, b) for a, n in ours.items() for b, m in theirs.items()) / len(first) ** 2
    return 1 - seen / chance if chance else 1.0


def quadratic(a: str, b: str) -> float:
    """The squared distance of two priorities on their scale."""
    return float((PRIORITIES.index(a) - PRIORITIES.index(b)) ** 2)


def linear(a: str, b: str) -> float:
    """The distance of two priorities on their scale."""
    return float(abs(PRIORITIES.index(a) - PRIORITIES.index(b)))


def agreement(firsts: Sequence[Row], seconds: Sequence[Row]) -> dict[str, Any]:
    """The figures of the data card, for rows in the same order.

    Fields of the record are compared exactly as written. Most of them are null, on which it is easy to agree;
    `where_named` is therefore the agreement over the rows in which at least one labeller gave a value, and
    `named` how many those are.
    """

    def both(name: str) -> tuple[list[Any], list[Any]]:
        return [row[name] for row in firsts], [row[name] for row in seconds]

    category, priority = both("category"), both("priority")
    return {
        "rows": len(firsts),
        "category": {"raw": raw_agreement(*category), "kappa": kappa(*category)},
        "priority": {
            "raw": raw_agreement(*priority),
            "kappa_linear": kappa(*priority, linear),
            "kappa_quadratic": kappa(*priority, quadratic),
        },
        "record": {
            "whole": raw_agreement(*both("record")),
            **{
                name: _field(
                    [(a["record"][name], b["record"][name]) for a, b in zip(firsts, seconds, strict=True)]
                )
                for name in FIELDS
            },
        },
    }


def _field(pairs: list[tuple[str | None, str | None]]) -> dict[str, float | int | None]:
    named = [pair for pair in pairs if pair != (None, None)]
    return {
        "raw": sum(a == b for a, b in pairs) / len(pairs),
        "where_named": sum(a == b for a, b in named) / len(named) if named else None,
        "named": len(named),
    }
