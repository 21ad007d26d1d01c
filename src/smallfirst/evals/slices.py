"""Where arms differ: the same differences for parts of the examples, corrected for how many parts were looked at."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.classify.language import language
from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.columns import Column, Table
from smallfirst.evals.comparison import p_value
from smallfirst.statistics import holm, paired
from smallfirst.statistics.paired import Estimate

LEAST_ROWS = 20  # of a slice: below it an interval says nothing
_MOST_VALUES = 50  # of a field: one with more is no slice, but a name
_BUCKETS = ("short", "medium", "long")
_MADE = ("label", "length", "language")
ALPHA = 0.05


class SliceReport(msgspec.Struct, frozen=True, kw_only=True):
    """One arm beside the reference arm on the examples with `field` = `value`. `p_holm`: corrected over all slices and arms of the report."""

    field: str
    value: str
    arm: str
    other: str
    examples: int
    score: Estimate
    other_score: Estimate
    difference: Estimate
    p: float
    p_holm: float = 1.0

    @property
    def worse(self) -> bool:
        """Whether it is worse here than chance would make it look anywhere."""
        return self.difference.mean is not None and self.difference.mean < 0 and self.p_holm <= ALPHA


def slice_fields(examples: Sequence[Example]) -> list[str]:
    """What these examples can be sliced by: their own fields, and label, length and language."""
    own = {field for example in examples for field in example.slices}
    return sorted(own) + [name for name in _MADE if name not in own]


def check_fields(fields: Sequence[str], examples: Sequence[Example]) -> None:
    """Raises `EvalError` for a field that no example has."""
    known = slice_fields(examples)
    for field in fields:
        if field not in known:
            raise EvalError(
                f"--slice {field}: the examples have no such field (they have: {', '.join(known)})"
            )


def slices(table: Table, *, reference: str, fields: Sequence[str] = ()) -> list[SliceReport]:
    """Every arm beside the reference arm in each part of the examples that has at least `LEAST_ROWS` rows; worst first.

    `fields`: by which; empty: all. Raises `EvalError` for a field that no example has.
    """
    other = table.column(reference)
    if other is None:
        return []
    check_fields(fields, table.examples)
    found = []
    for field in fields or slice_fields(table.examples):
        for value, rows in _parts(field, table.examples).items():
            found += [
                _slice(field, value, rows, column, other, table.groups)
                for column in table.columns
                if column is not other
            ]
    if not found:
        return []
    corrected = holm.adjusted([one.p for one in found])
    told = [msgspec.structs.replace(one, p_holm=float(p)) for one, p in zip(found, corrected, strict=True)]
    return sorted(told, key=lambda one: (one.p_holm, one.difference.mean or 0.0))


def _slice(
    field: str, value: str, rows: list[int], column: Column, other: Column, groups: list[str]
) -> SliceReport:
    mine, others = column.scores[rows], other.scores[rows]
    keys = [groups[row] for row in rows]
    difference = paired.mean_difference(mine, others, groups=keys)
    return SliceReport(
        field=field,
        value=value,
        arm=column.name,
        other=other.name,
        examples=len(rows),
        score=paired.mean(mine, groups=keys),
        other_score=paired.mean(others, groups=keys),
        difference=difference,
        p=p_value(difference),
    )


def _parts(field: str, examples: Sequence[Example]) -> dict[str, list[int]]:
    """Row numbers by value, for values with enough rows; nothing for a field of too many values."""
    parts: dict[str, list[int]] = defaultdict(list)
    for row, value in enumerate(_values(field, examples)):
        if value:
            parts[value].append(row)
    if len(parts) > _MOST_VALUES:
        return {}
    return {value: rows for value, rows in sorted(parts.items()) if len(rows) >= LEAST_ROWS}


def _values(field: str, examples: Sequence[Example]) -> list[str]:
    own = [example.slices.get(field, "") for example in examples]
    if any(own) or field not in _MADE:
        return own
    if field == "label":
        return [example.label if isinstance(example.label, str) else "" for example in examples]
    texts = [question_of(example) for example in examples]
    if field == "language":
        return [language(text) for text in texts]
    lengths = np.array([len(text) for text in texts])
    edges = np.quantile(lengths, [1 / 3, 2 / 3])
    return [_BUCKETS[int(np.searchsorted(edges, length, side="left"))] for length in lengths]


def question_of(example: Example) -> str:
    """What the user said last, as text."""
    for message in reversed(example.messages):
        if message.get("role") == "user":
            content = message.get("content")
            if isinstance(content, str):
                return content
            parts = content if isinstance(content, list) else []
            return "\n".join(str(part.get("text", "")) for part in parts if isinstance(part, dict))
    return ""
