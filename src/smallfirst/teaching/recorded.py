"""Distillation from the ledger: what the frontier has answered already, but for what a check, an outcome or its own end speaks against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from smallfirst.answering.check import compile_check
from smallfirst.datasets.addition import Change
from smallfirst.datasets.duplicates import Progress
from smallfirst.datasets.row import Row
from smallfirst.datasets.screen import Screen
from smallfirst.ledger.queries import Queries
from smallfirst.teaching.lesson import Lesson
from smallfirst.teaching.selection import REFUSED, TRUNCATED, UNMET

PEOPLE = "corrected by people: `smallfirst dataset build` takes those, and splits them"
OTHER = "answered by another model than was asked for"
FORBIDDEN = "by a provider that learning.never_train_on names"
UNWILLING = "not to be trained on, by their client's word"
BAD_OUTCOME = "an outcome speaks against it"
_CUT = ("length", "max_tokens")
_REFUSALS = ("refusal", "content_filter")
_BAD = 0.5


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """`rows` with the group that each joins; `left_out`: why others are not used; `rejected`: answers that something speaks against."""

    rows: Sequence[tuple[Row, str]]
    left_out: Counter[str]
    rejected: Sequence[Mapping[str, Any]]

    @property
    def change(self) -> Change:
        reasons = Counter(str(one["why"]) for one in self.rejected)
        return Change(rows=self.rows, skipped=dict(self.left_out + reasons))


def select_recorded(
    rows: Iterable[Row], queries: Queries, lesson: Lesson, *, model: str, progress: Progress
) -> Recorded:
    """Rows of `datasets.from_ledger.read_calls`. `model`: only this one's answers; empty: every frontier's."""
    left_out: Counter[str] = Counter()
    rejected: list[dict[str, Any]] = []
    usable: list[Row] = []
    check = compile_check(lesson.contract)
    for row in rows:
        why = _not_for_us(row, model, lesson.order.forbidden)
        if why:
            left_out[why] += 1
            continue
        row = lesson.redactor.redact(row)  # noqa: PLW2901 (from here on nobody sees what was redacted)
        wrong = _against(row, queries)
        unmet = "" if wrong else check(row.answer)
        if wrong or unmet:
            told = {"id": row.call, "why": wrong or UNMET, "detail": unmet}
            rejected.append(told | {"messages": row.messages, "answers": [row.answer]})
            continue
        usable.append(row)
    found = Screen(lesson.parent, lesson.marks, progress).look(usable)
    left_out.update(looked.why for looked in found if looked.why)
    kept = [(row, looked.group) for row, looked in zip(usable, found, strict=True) if not looked.why]
    return Recorded(rows=kept, left_out=left_out, rejected=rejected)


def _not_for_us(row: Row, model: str, forbidden: frozenset[str]) -> str:
    if row.reference is not UNSET:
        return PEOPLE
    if model and row.reference_by != f"model:{model}":
        return OTHER
    if row.provider in forbidden:
        return FORBIDDEN
    return "" if row.trainable else UNWILLING


def _against(row: Row, queries: Queries) -> str:
    """What speaks against the answer of a row, by what is on record of it; empty where nothing does."""
    said = row.said or row.call
    stop = next((one.stop for one in reversed(queries.call(said).attempts) if one.kind != "route"), "")
    if stop in _CUT:
        return TRUNCATED
    if stop in _REFUSALS:
        return REFUSED
    model = row.reference_by.removeprefix("model:")
    outcomes = queries.latest_outcomes(said)
    return BAD_OUTCOME if any(_bad(one.kind, one.value, model) for one in outcomes) else ""


def _bad(kind: str, value: Any, model: str) -> bool:
    """Whether a person, a judge or a system that knows the end has called the model's answer wrong. What is said of others' is none of it."""
    if isinstance(value, dict):
        if value.get("model", model) != model:
            return False
        value = value.get("score")
    if kind == "thumbs":
        return value in (False, 0, -1, "down")
    return kind in ("score", "judge") and isinstance(value, int | float) and value < _BAD
