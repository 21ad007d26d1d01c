"""What a teacher is asked: train examples without a person's word, questions of a file, recorded calls without an answer to learn from; and some
verified examples beside them, by which it is told how often the teacher is right.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence

import msgspec

from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.datasets.duplicates import Progress
from smallfirst.datasets.example import Example, Lineage
from smallfirst.datasets.members import key_of, safe_id
from smallfirst.datasets.row import Row
from smallfirst.datasets.screen import Screen
from smallfirst.evals.claim import is_verified
from smallfirst.releases.policy import canonical
from smallfirst.teaching.lesson import Lesson
from smallfirst.teaching.teacher import Teacher

VERIFIED_ASKED = 200
"""At most so many verified examples are asked beside the others, where nobody says how many: a share of .9 is then known to within .04 or so.
No more than there are others: they cost as much.
"""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """`example` is what is asked; it has a reference only where a person gave it. `row` is what an answer makes of it, None where the example
    only tells how good the teacher is; `group`: the group of train that it joins.
    """

    example: Example
    row: Row | None = None
    group: str = ""

    @property
    def verified(self) -> bool:
        return self.example.reference is not None


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """`instead`: whether their answers take the place of train examples, by id; else they are added. `left_out`: why others are not asked."""

    asked: Sequence[Question]
    instead: bool
    left_out: Counter[str]

    @property
    def to_learn(self) -> int:
        return sum(one.row is not None for one in self.asked)


def from_train(
    examples: Sequence[Example],
    teacher: Teacher,
    *,
    samples: int,
    replace: bool,
    verify: int | None,
    limit: int | None,
) -> Questions:
    """The train examples whose reference is a model's; with `replace`, those whose reference is a person's as well."""
    left_out: Counter[str] = Counter()
    asked: list[Question] = []
    checks: list[Question] = []
    for example in examples:
        if example.synthetic:
            left_out["synthetic examples"] += 1
        elif example.label == OUT_OF_SCOPE:
            left_out["texts without a label"] += 1
        elif is_verified(example):
            checks.append(Question(example=example, row=row_of(example, teacher) if replace else None))
        elif samples == 1 and example.lineage.reference_by == f"model:{teacher.name}":
            left_out[
                "answered by this model already: --samples asks it again, and keeps what it agrees on"
            ] += 1
        else:
            asked.append(Question(example=_bare(example), row=row_of(example, teacher)))
    if replace:
        asked, checks = asked + checks, []
    else:
        left_out["verified by people already"] += len(checks)
    chosen = _drawn(asked, limit)
    left_out["beyond --limit"] += len(asked) - len(chosen)
    return Questions(
        asked=chosen + _drawn(checks, _beside(len(chosen), verify)), instead=True, left_out=+left_out
    )


def from_rows(
    rows: Iterable[Row], lesson: Lesson, *, verify: int | None, limit: int | None, progress: Progress
) -> Questions:
    """Rows without a reference, freed of what the dataset has already or holds out."""
    left_out: Counter[str] = Counter()
    usable = []
    for row in rows:
        if row.trainable:
            usable.append(lesson.redactor.redact(row))
        else:
            left_out["not to be trained on, by their client's word"] += 1
    found = Screen(lesson.parent, lesson.marks, progress).look(usable)
    left_out.update(looked.why for looked in found if looked.why)
    asked = [
        Question(
            example=Example(
                id=_name_of(row),
                messages=row.messages,
                tools=row.tools,
                tenant=row.tenant,
                at_ms=row.at_ms,
                lineage=Lineage(source=row.source, call=row.call),
            ),
            row=row,
            group=looked.group,
        )
        for row, looked in zip(usable, found, strict=True)
        if not looked.why
    ]
    chosen = _drawn(asked, limit)
    left_out["beyond --limit"] += len(asked) - len(chosen)
    checks = [Question(example=one) for one in lesson.parent.examples("train") if is_verified(one)]
    checks = [one for one in checks if one.example.label != OUT_OF_SCOPE]
    return Questions(
        asked=chosen + _drawn(checks, _beside(len(chosen), verify)), instead=False, left_out=+left_out
    )


def row_of(example: Example, teacher: Teacher) -> Row:
    """A train example as a row whose reference the teacher is to give."""
    return Row(
        messages=example.messages,
        tools=example.tools,
        where=f"example {example.id}",
        source=example.lineage.source,
        id=example.id,
        line=example.lineage.line,
        call=example.lineage.call,
        tenant=example.tenant,
        at_ms=example.at_ms,
        slices=example.slices,
        reference_by=f"model:{teacher.name}",
        provider=teacher.provider,
        taught=True,
    )


def _bare(example: Example) -> Example:
    return msgspec.structs.replace(example, label=None, fields=None, references=None)


def _name_of(row: Row) -> str:
    """A name for what is asked that is the same for the same text, and no train example's."""
    return "new-" + key_of(canonical([safe_id(row.id), row.tenant, row.messages]).decode())[:16]


def _beside(questions: int, verify: int | None) -> int:
    """How many verified examples are asked beside so many questions."""
    if verify is None:
        return min(VERIFIED_ASKED, questions)
    return verify if questions else 0


def _drawn(questions: Sequence[Question], count: int | None) -> list[Question]:
    """At most so many, drawn by their ids: of two limits the smaller's are among the larger's. In order of id."""
    ordered = sorted(questions, key=lambda one: hashlib.sha256(one.example.id.encode()).digest())
    return sorted(ordered if count is None else ordered[:count], key=lambda one: one.example.id)
