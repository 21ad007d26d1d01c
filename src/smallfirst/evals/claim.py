"""What a run allows to be said of a model beside the frontier. Two numbers that are no substitutes for one another:

- *accuracy on verified gold*: on the examples whose reference a person gave. Only from it may "better" or "as good" be said.
- *agreement with the teacher*: how often a model says what the reference arm says. Where references are the frontier's own answers the frontier is
  always right, and a model that is better than it looks worse.

A simulated model proves nothing of a real one: beside it, or by its judgement, nothing is claimed. Nor is it of the train part; on the calibration
part, which may have chosen a model's settings, a claim says so: proof is the gate's.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from smallfirst.datasets.example import BY_PEOPLE, Example
from smallfirst.evals.columns import Column, Table
from smallfirst.evals.store import Manifest
from smallfirst.routing.second_look import same_answer
from smallfirst.statistics import paired
from smallfirst.statistics.paired import Estimate

LEAST_VERIFIED = 100  # examples, below which nothing is claimed
_MILLION = 1_000_000

Word = Literal["better", "as good", "worse", "open", "none"]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """One arm beside the reference arm. `word`: "as good" is "worse by less than the margin, with confidence"; "open": too little to tell;
    "none": nothing may be claimed, and `why` says why.
    """

    arm: str
    other: str
    verified: int  # examples whose reference a person gave
    gold: Estimate  # the arm's score on them
    other_gold: Estimate
    difference: Estimate  # of the scores on them, paired
    agreement: Estimate  # the share of all examples on which both say the same
    word: Word
    why: str
    split: str  # the dataset's part; empty: a file's rows
    usd_per_million: float | None  # calls; None where a price is unknown
    other_usd_per_million: float | None

    @property
    def sentence(self) -> str:
        """For people."""
        if self.word == "none":
            return f"{self.arm}: nothing is claimed beside {self.other}: {self.why}"
        words = {
            "better": f"is better than {self.other}",
            "as good": f"is as good as {self.other}",
            "worse": f"is worse than {self.other}",
            "open": f"may be better or worse than {self.other}",
        }
        told = f"{self.arm} {words[self.word]} on {self.verified:,} verified examples ({self.why})"
        chose = "; calibration examples may have chosen its settings: `smallfirst gate` proves it on held-out ones"
        return told + (chose if self.split == "calibration" else "")


def claims(table: Table, run: Manifest, *, reference: str) -> list[Claim]:
    """A claim for each arm but the reference arm; none where there is nothing to compare with."""
    other = table.column(reference)
    if other is None or not table.examples:
        return []
    return [_claim(column, other, table, run) for column in table.columns if column.name != reference]


def is_verified(example: Example) -> bool:
    """Whether a person, or a file that a person answers for, said what is right."""
    return example.lineage.reference_by in BY_PEOPLE and not example.synthetic


def _claim(one: Column, other: Column, table: Table, run: Manifest) -> Claim:
    groups = np.array(table.groups)
    rows = np.array([is_verified(example) for example in table.examples])
    difference = paired.mean_difference(one.scores[rows], other.scores[rows], groups=groups[rows])
    same = [
        float(not mine.error and not yours.error and same_answer(_value(mine.output), _value(yours.output)))
        for mine, yours in zip(one.answers, other.answers, strict=True)
    ]
    forbids = _forbids(one, other, run, verified=int(rows.sum()))
    word, why = ("none", forbids) if forbids else _word(difference, run.margin)
    return Claim(
        arm=one.name,
        other=other.name,
        verified=int(rows.sum()),
        gold=paired.mean(one.scores[rows], groups=groups[rows]),
        other_gold=paired.mean(other.scores[rows], groups=groups[rows]),
        difference=difference,
        agreement=paired.mean(same, groups=groups),
        word=word,
        why=why,
        split=run.split,
        usd_per_million=_usd_per_million(one),
        other_usd_per_million=_usd_per_million(other),
    )


def _usd_per_million(arm: Column) -> float | None:
    costs = arm.costs_usd
    return None if costs is None else float(costs.mean()) * _MILLION


def _forbids(one: Column, other: Column, run: Manifest, *, verified: int) -> str:
    """Why nothing may be claimed; empty where something may."""
    simulated = dict.fromkeys((*other.arm.simulated, *one.arm.simulated))
    if simulated:
        return f"{', '.join(simulated)} {'is' if len(simulated) == 1 else 'are'} simulated"
    if run.simulated_judge:
        return f"the judge, {run.simulated_judge}, is simulated"
    if run.split == "train":
        return "models are trained on train examples"
    if verified < LEAST_VERIFIED:
        return (
            f"{verified:,} examples have a reference that a person gave, and {LEAST_VERIFIED} are needed; "
            "`smallfirst outcomes review` collects them"
        )
    return ""


def _word(difference: Estimate, margin: float) -> tuple[Word, str]:
    low, high = difference.low, difference.high
    if low is None or high is None:
        return "open", "too few groups"
    told = f"difference {low:+.3f} to {high:+.3f}, margin {margin:g}"
    if low > 0:
        return "better", told
    if low > -margin:
        return "as good", told
    return ("worse" if high < 0 else "open"), told


def _value(output: str) -> Any:
    """An answer as what it says: JSON as its value, text as it is."""
    if output.lstrip()[:1] in ("{", "["):
        try:
            return msgspec.json.decode(output.encode())
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            return output
    return output
