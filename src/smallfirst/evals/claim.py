"""What a run allows to be said of a model beside the frontier. Two numbers that are no substitutes for one another:

- *accuracy on verified gold*: on the examples whose reference a person gave. Only from it may "better" or "as good" be said.
- *agreement with the teacher*: how often a model says what the reference arm says. Where references are the frontier's own answers the frontier is
  always right, and a model that is better than it looks worse.

A simulated model proves nothing of a real one: beside it, nothing is claimed.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec
import numpy as np

from smallfirst.datasets.example import Example
from smallfirst.evals.columns import Column, Table
from smallfirst.routing.second_look import same_answer
from smallfirst.statistics import paired
from smallfirst.statistics.paired import Estimate

PEOPLE = ("gold", "correction")
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
    usd_per_million: float | None  # calls; None where a price is unknown

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
        return f"{self.arm} {words[self.word]} on {self.verified:,} verified examples ({self.why})"


def claims(table: Table, *, reference: str, margin: float) -> list[Claim]:
    """A claim for each arm but the reference arm; none where there is nothing to compare with. `margin`: the loss that the task accepts."""
    other = table.column(reference)
    if other is None or not table.examples:
        return []
    return [_claim(column, other, table, margin) for column in table.columns if column.name != reference]


def is_verified(example: Example) -> bool:
    """Whether a person, or a file that a person answers for, said what is right."""
    return example.lineage.reference_by in PEOPLE and not example.synthetic


def _claim(one: Column, other: Column, table: Table, margin: float) -> Claim:
    groups = np.array(table.groups)
    rows = np.array([is_verified(example) for example in table.examples])
    difference = paired.mean_difference(one.scores[rows], other.scores[rows], groups=groups[rows])
    same = [
        float(not mine.error and not yours.error and same_answer(_value(mine.output), _value(yours.output)))
        for mine, yours in zip(one.answers, other.answers, strict=True)
    ]
    costs = one.costs_usd
    word, why = _word(one, other, difference, verified=int(rows.sum()), margin=margin)
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
        usd_per_million=None if costs is None else float(costs.mean()) * _MILLION,
    )


def _word(
    one: Column, other: Column, difference: Estimate, *, verified: int, margin: float
) -> tuple[Word, str]:
    simulated = [*other.arm.simulated, *one.arm.simulated]
    if simulated:
        return "none", f"{', '.join(dict.fromkeys(simulated))} is simulated"
    if verified < LEAST_VERIFIED:
        return "none", (
            f"{verified:,} examples have a reference that a person gave, and {LEAST_VERIFIED} are needed; "
            "`smallfirst outcomes review` collects them"
        )
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
