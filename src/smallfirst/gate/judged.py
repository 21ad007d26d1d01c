"""A judge's word at the gate: counted only as corrected by what people said of the same answers.

People's and the judge's scores of both sides' answers to the same examples (`smallfirst judge measure`) tell by how much the judge's differences
are off; prediction-powered inference corrects the mean loss and widens its bound by what is not known of that. The guarantee is that of a
normal approximation with a skewness correction, not the exact one of scores that need no judge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec
import numpy as np

from smallfirst.errors import ScorerError
from smallfirst.evals.arm import FRONTIER, Arm
from smallfirst.evals.runner import Run
from smallfirst.gate.judging import Answers, Judgement, Rows, Rule, judge, worst
from smallfirst.releases.verdict import Against, Comparison, Finding
from smallfirst.scoring.correction import MIN_LABELS, corrected_difference
from smallfirst.scoring.measurement import Measurement
from smallfirst.statistics.paired import group_sums

Labels = tuple[Sequence[float], Sequence[float]]
"""score(other) − score(candidate) of the same examples: by people, and by the judge."""


def labels_of(
    measurement: Measurement, run: Run, candidate: Arm, others: Mapping[Against, Arm]
) -> dict[Against, Labels]:
    """What people said of both sides of each comparison.

    A side's answers are known by the name that `smallfirst eval` gives them (`release:ID`, `frontier`), or by that of the model that gave all of
    them: of a ladder whose models share the calls, labels of one model's answers to all would be labels of something else.
    """
    found: dict[Against, Labels] = {}
    for against, other in others.items():
        sides = [
            measurement.differences(one, mine)
            for one in _names(other, run)
            for mine in _names(candidate, run)
        ]
        found[against] = max(sides, key=lambda side: len(side[0]), default=([], []))
    return found


def why_not(measurement: Measurement | None, labels: Mapping[Against, Labels], judge_id: str) -> str:
    """Why the judge's word does not count; empty where it does."""
    if measurement is None:
        return f"a judge's word alone proves nothing, and the agreement of {judge_id} with people was never measured: `smallfirst judge measure`"
    for against, (human, _) in labels.items():
        if len(human) < MIN_LABELS:
            return (
                f"people scored both the candidate's and the {against}'s answers to {len(human)} examples, and {MIN_LABELS} are needed: "
                "`smallfirst judge measure`"
            )
    return ""


def judge_corrected(
    rows: Rows,
    candidate: Answers,
    others: Mapping[Against, Answers],
    rule: Rule,
    *,
    labels: Mapping[Against, Labels],
) -> Judgement:
    """As `judging.judge`, with each whole comparison corrected. Slices have too few labels of their own: a declared one is not shown."""
    raw = judge(rows, candidate, others, rule)
    comparisons, notes = [], list(raw.notes)
    for one in raw.comparisons:
        if one.slice:
            comparisons.append(msgspec.structs.replace(one, finding="not-enough-evidence", bound=1.0))
            notes.append(f"slice {one.slice}: a judge's word on it cannot be corrected")
            continue
        losses = np.asarray(others[one.against].scores) - np.asarray(candidate.scores)
        comparisons.append(_corrected(one, losses.tolist(), rows.groups, labels[one.against]))
        notes.append(
            f"against {one.against}: a judge's scores, corrected by {len(labels[one.against][0])} of people's"
        )
    return msgspec.structs.replace(
        raw,
        finding=worst(item.finding for item in (*comparisons, *raw.budgets)),
        comparisons=tuple(comparisons),
        alerts=(),
        notes=tuple(dict.fromkeys(notes)),
    )


def _corrected(one: Comparison, losses: list[float], groups: Sequence[str], labels: Labels) -> Comparison:
    sums, sizes = group_sums(losses, groups)
    try:
        found = corrected_difference(*labels, sums / sizes)  # a group is one observation
    except ScorerError:  # too few labels: `why_not` says so to people
        return msgspec.structs.replace(one, finding="not-enough-evidence", bound=1.0, examples_needed=None)
    bound = min(1.0, found.upper(one.alpha))
    finding: Finding = "not-enough-evidence"
    if bound < one.margin:
        finding = "pass"
    elif found.lower(one.alpha) > 0 and found.value > one.margin:
        finding = "fail"
    return msgspec.structs.replace(
        one,
        finding=finding,
        loss=found.value,
        low=found.low,
        high=found.high,
        bound=bound,
        examples_needed=None,
    )


def _names(arm: Arm, run: Run) -> list[str]:
    names = [f"release:{arm.release[:12]}"] if arm.release else [FRONTIER]
    models = {answer.model for answer in run.of(arm.name) if answer is not None}
    return [*names, *models] if len(models) == 1 else names
