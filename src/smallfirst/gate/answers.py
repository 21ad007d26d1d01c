"""From a run's answers to what is judged: scores, costs and times by arm, and what the models said of themselves."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from smallfirst.contracts import Contract
from smallfirst.datasets.example import Example
from smallfirst.errors import ScorerError
from smallfirst.evals.runner import Run
from smallfirst.evals.store import Answered
from smallfirst.gate.judging import Answers, Rows
from smallfirst.gate.subject import CANDIDATE, Subject
from smallfirst.gate.watch_expected import measured
from smallfirst.releases.verdict import Against, Disagreement, Fingerprint
from smallfirst.scoring import reference_of
from smallfirst.scoring.scorer import Scorer

LABEL = "label"  # a slice that every example with a label has


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """The arms' answers to the same examples, in one order."""

    candidate: Answers
    others: dict[Against, Answers]

    def losses(self, against: Against) -> list[float]:
        """score(other) − score(candidate), an example each."""
        other = self.others[against]
        return [theirs - mine for theirs, mine in zip(other.scores, self.candidate.scores, strict=True)]


def rows_of(examples: Sequence[Example]) -> Rows:
    """The examples' groups and slices. One without a group is a group of its own."""
    return Rows(
        groups=[one.group or f"example:{one.id}" for one in examples],
        slices=[_slices(one) for one in examples],
    )


def evidence_of(subject: Subject, run: Run) -> Evidence:
    """What a whole run says."""
    others: dict[Against, Answers] = {
        against: _answers(answered(run, arm.name)) for against, arm in subject.others.items()
    }
    return Evidence(candidate=_answers(answered(run, CANDIDATE)), others=others)


def answered(run: Run, arm: str) -> list[Answered]:
    """An arm's answers, of which none is missing."""
    found = [answer for answer in run.of(arm) if answer is not None]
    assert len(found) == len(run.examples), "a run that is judged is whole"
    return found


def fingerprints_of(answers: Iterable[Answered]) -> dict[str, Fingerprint]:
    """Under what names, and with what fingerprints, each model answered."""
    names: dict[str, set[str]] = {}
    marks: dict[str, set[str]] = {}
    for attempt in (attempt for answer in answers for attempt in answer.attempts):
        if attempt.status in ("ok", "unmet", "doubted"):
            names.setdefault(attempt.model, set()).add(attempt.upstream_model)
            marks.setdefault(attempt.model, set()).add(getattr(attempt, "system_fingerprint", ""))
    return {
        model: Fingerprint(
            upstream_models=tuple(sorted(names[model] - {""})),
            system_fingerprints=tuple(sorted(marks[model] - {""})),
        )
        for model in sorted(names)
    }


async def disagreement(
    pairs: Iterable[tuple[Answered, Answered]],
    groups: Sequence[str],
    *,
    scorer: Scorer,
    contract: Contract,
) -> Disagreement | None:
    """How far small models' answers are from the frontier's, each pair the candidate's answer and the frontier's to one example.

    None where too few were a small model's. A frontier's answer that is no reference (it broke the contract) is left out, as a canary leaves it out.
    """
    found, mine = [], []
    for (small, frontier), group in zip(pairs, groups, strict=True):
        if small.error or frontier.error or small.rung == small.rungs - 1:
            continue
        try:
            score = await scorer.score(small.output, reference_of(frontier.output, contract))
        except ScorerError:  # the frontier's answer is none
            continue
        found.append(score.value)
        mine.append(group)
    return measured(found, groups=mine)


def _answers(found: Sequence[Answered]) -> Answers:
    return Answers(
        scores=[0.0 if one.score is None else one.score for one in found],
        costs=[one.cost_nusd for one in found],
        latencies=[one.latency_ms for one in found],
    )


def _slices(example: Example) -> dict[str, str]:
    label = {LABEL: example.label} if isinstance(example.label, str) else {}
    return {**label, **example.slices}
