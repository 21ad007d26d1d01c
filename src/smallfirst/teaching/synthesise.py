"""Synthetic examples for thin classes: which are thin, what is asked for, and which of the written messages are kept.

They stand in train alone, are marked, and are counted apart everywhere.
"""

from __future__ import annotations

import math
import random
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from smallfirst.answering.check import compile_check
from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.contracts import Contract, JsonContract, LabelContract
from smallfirst.datasets.addition import Change
from smallfirst.datasets.duplicates import Progress
from smallfirst.datasets.example import Example
from smallfirst.datasets.held import Marks, asked_of
from smallfirst.datasets.row import Row
from smallfirst.datasets.screen import Looked, Screen
from smallfirst.errors import ConfigError, DatasetError
from smallfirst.evals.store import Answered
from smallfirst.teaching.lesson import Lesson
from smallfirst.teaching.round_trip import RoundTrip
from smallfirst.teaching.selection import fault_of
from smallfirst.teaching.teacher import Teacher
from smallfirst.teaching.writing import SOURCE, Batch, Pair, instead_of, is_plain, read_written

NO_ARRAY = "answers that are not the JSON array that was asked for"
TOO_LONG = "empty, or far longer than real messages"
UNMET = "values that are not as the contract says"
OTHER_LABEL = "the head, trained on the real examples, is sure of another label"
ENOUGH = "beyond what was asked for"
_MORE = 1.3  # is asked for than is needed: some will not do
_LONGER = 4  # times the longest real message


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """`per_label`: examples that each label is to have; of a JSON contract, how many new ones. `labels`: only these. `sure`: from where on the
    head's word for another label counts.
    """

    per_label: int
    labels: tuple[str, ...] = ()
    at_once: int = 10
    seeds: int = 8
    sure: float = 0.8
    seed: int = 0


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is to be written: so many for each label ("": the whole task), in these batches. `cannot`: labels that are thin and have no real
    example to write after, and why.
    """

    wanted: dict[str, int]
    batches: tuple[Batch, ...]
    cannot: dict[str, str]


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """What came of it. `kept` by label; `rejected`: messages with the reason of each, but for those that are like what is there, which are only
    counted; `disagreed`: of `judged` messages, how many the head gives another label; `no_head`: why it was not asked.
    """

    change: Change
    kept: dict[str, int]
    rejected: Sequence[Mapping[str, Any]]
    judged: int
    disagreed: int
    no_head: str = ""

    @property
    def reasons(self) -> dict[str, int]:
        return dict(Counter(self.change.skipped).most_common())


def asked_for(examples: Sequence[Example], contract: Contract, wish: Wish, marks: Marks) -> Asked:
    """What a train part lacks. Raises `ConfigError` for contracts that nothing is written for, and labels that are not the contract's."""
    needs = _needs(examples, contract, wish)
    # Who asks for the rest asks something else: the draw depends on how many were written already.
    written = sum(example.synthetic for example in examples)
    chance = random.Random(f"{wish.seed}:{written}")  # noqa: S311 (which examples are shown is no secret)
    real: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        if not example.synthetic and is_plain(example):
            real[example.label if isinstance(example.label, str) else ""].append(example)
    batches: list[Batch] = []
    cannot: dict[str, str] = {}
    for label, need in needs.items():
        if real[label]:
            batches += _batches(label, need, real[label], wish, marks=marks, chance=chance)
        else:
            cannot[label] = "no real example of a single question to write after"
    wanted = {label: need for label, need in needs.items() if label not in cannot}
    return Asked(wanted=wanted, batches=tuple(batches), cannot=cannot)


def check_any(asked: Asked, wish: Wish) -> None:
    """Raises `DatasetError` where nothing is to be written."""
    if asked.batches:
        return
    why = "; ".join(f"{label or 'the task'}: {why}" for label, why in asked.cannot.items())
    raise DatasetError(
        why or f"no label has fewer than {wish.per_label:,} train examples: there is nothing to write"
    )


def select_written(
    answers: Mapping[str, Answered],
    asked: Asked,
    wish: Wish,
    lesson: Lesson,
    *,
    teacher: Teacher,
    progress: Progress,
) -> Written:
    """Which of the written messages become examples. `answers` by the batch's id."""
    marks = lesson.marks
    rejected: list[dict[str, Any]] = []
    drafts = _drafts(answers, asked, lesson, teacher=teacher, rejected=rejected)
    looked = Screen(lesson.parent, marks, progress).look([row for _, row in drafts])
    open_ = [(batch, row, one) for (batch, row), one in zip(drafts, looked, strict=True) if not one.why]
    there = Counter(
        one.why for one in looked if one.why
    )  # not listed: nobody is shown what a held-out text is like
    examples = list(lesson.parent.examples("train"))
    trip = None
    if isinstance(lesson.contract, LabelContract):
        real = [(asked_of(one, marks), one.label) for one in examples if not one.synthetic]
        trip = RoundTrip(
            [(text, label) for text, label in real if isinstance(label, str)],
            task=lesson.task,
            progress=progress,
        )
    open_, judged, disagreed = _round_trip(open_, trip, wish, marks, rejected)
    kept = _enough(open_, asked, rejected)
    change = Change(
        rows=[(row, one.group) for _, row, one in kept],
        skipped=dict(there + Counter(str(one["why"]) for one in rejected)),
    )
    return Written(
        change=change,
        kept=dict(Counter(batch.label for batch, _, _ in kept)),
        rejected=rejected,
        judged=judged,
        disagreed=disagreed,
        no_head="" if trip is None else trip.why_not,
    )


_Open = tuple[Batch, Row, Looked]


def _needs(examples: Sequence[Example], contract: Contract, wish: Wish) -> dict[str, int]:
    if isinstance(contract, JsonContract):
        if wish.labels:
            raise ConfigError("a JSON contract has no labels: leave it away", path="--labels")
        return {"": wish.per_label}
    if not isinstance(contract, LabelContract) or contract.pick not in ("one", "ordinal"):
        raise ConfigError(
            "contract: examples are written for one label of a set, or for JSON; what is right of free text or of several labels nobody would have "
            "said. `smallfirst dataset distil --inputs` lets a model answer questions that you have"
        )
    for label in wish.labels:
        if label not in contract.labels:
            raise ConfigError(
                f"{label!r} is not one of the task's labels ({', '.join(contract.labels[:20])})",
                path="--labels",
            )
    counts = Counter(one.label for one in examples if isinstance(one.label, str))
    wanted = wish.labels or contract.labels
    return {label: wish.per_label - counts[label] for label in wanted if counts[label] < wish.per_label}


def _batches(
    label: str, need: int, real: Sequence[Example], wish: Wish, *, marks: Marks, chance: random.Random
) -> list[Batch]:
    by_tenant: dict[str, list[Example]] = defaultdict(list)
    for example in real:
        by_tenant[example.tenant].append(example)
    tenants = sorted(by_tenant)
    weights = [len(by_tenant[tenant]) for tenant in tenants]
    found = []
    total = math.ceil(need * _MORE)
    for number in range(math.ceil(total / wish.at_once)):
        (tenant,) = chance.choices(tenants, weights)
        own = by_tenant[tenant]
        seeds = tuple(chance.sample(own, min(wish.seeds, len(own))))
        found.append(
            Batch(
                id=f"{label or 'pairs'}-{number + 1}",
                label=label,
                tenant=tenant,
                count=min(wish.at_once, total - number * wish.at_once),
                seeds=seeds,
                asked=tuple(asked_of(seed, marks) for seed in seeds),
            )
        )
    return found


def _drafts(
    answers: Mapping[str, Answered],
    asked: Asked,
    lesson: Lesson,
    *,
    teacher: Teacher,
    rejected: list[dict[str, Any]],
) -> list[tuple[Batch, Row]]:
    """The written messages as rows, redacted; those that are none are told to `rejected`."""
    check = compile_check(lesson.contract)
    found = []
    for batch in asked.batches:
        answer = answers.get(batch.id)
        if answer is None or not answer.settled:
            continue
        why = fault_of(answer)[0] if answer.error or answer.refused or answer.truncated else ""
        pairs = None if why else read_written(answer.output, lesson.contract)
        if pairs is None:
            rejected.append({"label": batch.label, "why": why or NO_ARRAY, "message": answer.output[:2000]})
            continue
        longest = _LONGER * max(map(len, batch.asked))
        for at, pair in enumerate(pairs):
            row = lesson.redactor.redact(_row(pair, batch, at, teacher, after=lesson.marks.after))
            text = pair.message.strip()
            if not text or len(text) > longest:
                rejected.append(_rejected(batch, row, TOO_LONG))
            elif not batch.label and check(msgspec.json.encode(pair.value).decode()):
                rejected.append(_rejected(batch, row, UNMET))
            else:
                found.append((batch, row))
    return found


def _row(pair: Pair, batch: Batch, at: int, teacher: Teacher, *, after: str) -> Row:
    place = at % len(batch.seeds)
    return Row(
        messages=instead_of(batch.seeds[place], batch.asked[place], pair.message.strip(), after=after),
        where=f"batch {batch.id}, message {at + 1}",
        source=SOURCE,
        reference=batch.label or pair.value,
        tenant=batch.tenant,
        synthetic=True,
        split="train",
        after=batch.calls,
        taught=True,
        reference_by=f"synthetic:{teacher.name}",
        provider=teacher.provider,
    )


def _round_trip(
    open_: Sequence[_Open],
    trip: RoundTrip | None,
    wish: Wish,
    marks: Marks,
    rejected: list[dict[str, Any]],
) -> tuple[list[_Open], int, int]:
    """What the head does not contradict; how many it was asked, and of how many it says another label."""
    known = [one for one in open_ if trip is not None and trip.knows(one[0].label)]
    if trip is None or not known:
        return list(open_), 0, 0
    texts = [asked_of(Example(id="", messages=row.messages), marks) for _, row, _ in known]
    wrong: set[int] = set()
    disagreed = 0
    for one, said in zip(known, trip.said(texts), strict=True):
        other = said.label not in (one[0].label, OUT_OF_SCOPE)
        disagreed += other
        if other and said.sure >= wish.sure:
            wrong.add(id(one))
            rejected.append(_rejected(one[0], one[1], OTHER_LABEL) | {"head": said.label, "sure": said.sure})
    return [one for one in open_ if id(one) not in wrong], len(known), disagreed


def _enough(open_: Sequence[_Open], asked: Asked, rejected: list[dict[str, Any]]) -> list[_Open]:
    """No more of a label than were wanted."""
    counts: Counter[str] = Counter()
    kept = []
    for batch, row, looked in open_:
        if counts[batch.label] >= asked.wanted[batch.label]:
            rejected.append(_rejected(batch, row, ENOUGH))
            continue
        counts[batch.label] += 1
        kept.append((batch, row, looked))
    return kept


def _rejected(batch: Batch, row: Row, why: str) -> dict[str, Any]:
    return {"label": batch.label, "why": why, "messages": row.messages} | (
        {} if batch.label else {"value": row.reference}
    )
