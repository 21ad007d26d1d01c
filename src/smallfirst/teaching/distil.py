"""Distillation: a teacher's answers, those of them that stand, become the references of train examples."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from smallfirst.contracts import Contract
from smallfirst.datasets.addition import Change
from smallfirst.datasets.build import Result
from smallfirst.datasets.row import Row
from smallfirst.errors import DatasetError
from smallfirst.evals.runner import Run
from smallfirst.scoring.scorer import Scorer
from smallfirst.statistics import binomial
from smallfirst.teaching.lesson import Lesson
from smallfirst.teaching.questions import Question, Questions
from smallfirst.teaching.selection import UNANSWERED, Choice, Rule, choose
from smallfirst.teaching.teacher import Teacher


class Share(msgspec.Struct, frozen=True, kw_only=True):
    """So many of so many, with a 95 % interval (Wilson's)."""

    right: int
    of: int
    low: float
    high: float

    @property
    def share(self) -> float:
        return self.right / self.of if self.of else 0.0


class Distilled(msgspec.Struct, frozen=True, kw_only=True):
    """What came of the teacher's answers. `accuracy`: of verified examples, how often it was right when asked once; `kept_accuracy`: of those
    whose answer the rule for unverified ones would keep, how many are right, which is what to expect of the answers that were kept.
    """

    asked: int
    kept: int
    rejected: dict[str, int]
    unanswered: int
    removed: int  # train examples that had no person's word, and now have no reference that stands
    accuracy: Share
    kept_accuracy: Share


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """The answers that stand, as a change of the dataset; what is to be told of it; and every rejected answer with its reason."""

    change: Change
    told: Distilled
    rejected: Sequence[Mapping[str, Any]]


def select(questions: Questions, run: Run, rule: Rule, *, contract: Contract, scorer: Scorer) -> Selected:
    """What the answers of a run make of the questions."""
    examples = [one.example for one in questions.asked]
    choices = asyncio.run(choose(run, examples, rule, contract=contract, scorer=scorer))
    pairs = list(zip(questions.asked, choices, strict=True))
    learned = [(one, choice) for one, choice in pairs if one.row is not None]
    kept = [(one, choice) for one, choice in learned if choice.text]
    lost = [(one, choice) for one, choice in learned if not choice.text]
    # What a person gave stays as it was; what only a model had given goes, where the teacher does not stand by an answer.
    gone = {
        one.example.id
        for one, choice in lost
        if questions.instead and not one.verified and choice.why != UNANSWERED
    }
    reasons = Counter(choice.why for _, choice in lost if choice.why != UNANSWERED)
    change = Change(
        rows=[] if questions.instead else [(_row(one, choice), one.group) for one, choice in kept],
        instead={one.example.id: _row(one, choice) for one, choice in kept} if questions.instead else {},
        without=frozenset(gone),
        skipped=dict(reasons) | dict(questions.left_out),
    )
    told = Distilled(
        asked=len(learned),
        kept=len(kept),
        rejected=dict(reasons.most_common()),
        unanswered=sum(choice.why == UNANSWERED for _, choice in lost),
        removed=len(gone),
        accuracy=_share([choice.right for one, choice in pairs if one.verified]),
        kept_accuracy=_share([choice.by_rule for one, choice in pairs if one.verified]),
    )
    return Selected(change=change, told=told, rejected=[_rejected(one, c, run) for one, c in lost])


def keep(selected: Selected, lesson: Lesson) -> Result:
    """The dataset's next version. Raises `DatasetError` where no answer stands: then nothing is made."""
    told = selected.told
    if not told.kept:
        reasons = [f"{count:,} {why}" for why, count in told.rejected.items()]
        reasons += [f"{told.unanswered:,} {UNANSWERED}"] if told.unanswered else []
        raise DatasetError(f"no answer was kept, so no dataset is made: {'; '.join(reasons)}")
    return lesson.make(selected.change)


def check_any(questions: Questions, teacher: Teacher) -> None:
    """Raises `DatasetError` where there is nothing to ask, and says what would bring something."""
    if questions.to_learn:
        return
    reasons = (
        "; ".join(f"{count:,} {why}" for why, count in questions.left_out.items()) or "there are no rows"
    )
    raise DatasetError(
        f"there is nothing for {teacher.name} to answer: {reasons}. --inputs FILE and --calls bring questions without an answer; --replace lets "
        "its accepted answers stand in for what people said"
    )


def _row(one: Question, choice: Choice) -> Row:
    assert one.row is not None
    return msgspec.structs.replace(one.row, answer=choice.text)


def _share(told: Sequence[bool | None]) -> Share:
    known = [one for one in told if one is not None]
    low, high = binomial.wilson(sum(known), len(known))
    return Share(right=sum(known), of=len(known), low=low, high=high)


def _rejected(one: Question, choice: Choice, run: Run) -> dict[str, Any]:
    said = [run.answers.get((arm.name, one.example.id)) for arm in run.manifest.arms]
    found: dict[str, Any] = {
        "id": one.row.id if one.row is not None and one.row.id else one.example.id,
        "why": choice.why,
        "detail": choice.detail,
        "messages": one.example.messages,
        "answers": [None if answer is None else answer.output for answer in said],
    }
    return found | ({"verified": one.example.reference} if one.verified else {})
