"""Which of a teacher's answers become references, and why the others do not. Whoever verified an example has the last word on it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from smallfirst.config.schema import Scorer as ScorerSpec
from smallfirst.contracts import Contract, TextContract
from smallfirst.datasets.example import Example
from smallfirst.evals.runner import Run
from smallfirst.evals.store import Answered
from smallfirst.scoring import open_scorer
from smallfirst.scoring.opening import reference_of
from smallfirst.scoring.scorer import Scorer

UNANSWERED = "not answered yet"
FAILED = "no answer: the model refused the request, or broke off"
REFUSED = "the model refused"
TRUNCATED = "cut short"
TOOLS = "a call of a tool, not an answer"
EMPTY = "no text"
UNMET = "not as the contract says"
WRONG = "not what was verified as right"
DISLIKED = "the judge finds it not good enough"
DISAGREED = "its own samples disagree"
_ENOUGH_OF_TEXT = 0.5
_ENOUGH_FOR_A_JUDGE = 0.75  # "good" on the scale of five


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """`accept`: the least score against a verified reference, by a judge, or between two samples that agree. `agree`: the least share of the
    samples that agree with the one that is kept.
    """

    accept: float
    agree: float = 0.6
    judged: bool = False


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """Of one example: the answer that is kept, or why none is. `right`: of a verified one, whether the first sample was right. `by_rule`: of a
    verified one, the answer that the rule for unverified ones would keep, and whether it is right; None where it keeps none.
    """

    example: str
    text: str = ""
    why: str = ""
    detail: str = ""
    agreed: float | None = None
    right: bool | None = None
    by_rule: bool | None = None


def default_accept(spec: ScorerSpec, contract: Contract) -> float:
    """1 for labels and JSON (right is right), ½ for scorers of texts, ¾ for a judge."""
    if spec.kind == "judge":
        return _ENOUGH_FOR_A_JUDGE
    return _ENOUGH_OF_TEXT if isinstance(contract, TextContract) else 1.0


async def choose(
    run: Run, examples: Sequence[Example], rule: Rule, *, contract: Contract, scorer: Scorer
) -> list[Choice]:
    """One choice an example, in their order. `scorer` compares two samples: the task's own, or for a judge's task the contract's usual one."""
    columns = [run.of(arm.name) for arm in run.manifest.arms]
    return [
        await _choose([column[at] for column in columns], example, rule, contract=contract, scorer=scorer)
        for at, example in enumerate(examples)
    ]


def comparing(spec: ScorerSpec, contract: Contract) -> Scorer:
    """What compares two samples where the task's own scorer is a judge."""
    return open_scorer(msgspec.structs.replace(spec, kind="auto"), contract)


def fault_of(answer: Answered) -> tuple[str, str]:
    """Why an answer is none, whatever it says; and the detail. Empty where nothing is wrong."""
    if answer.error:
        return FAILED, answer.error
    if answer.refused:
        return REFUSED, answer.output[:200]
    if answer.truncated:
        return TRUNCATED, ""
    if answer.tool_calls:
        return TOOLS, ""
    if answer.unmet:
        return UNMET, answer.unmet
    return ("", "") if answer.output.strip() else (EMPTY, "")


async def _choose(
    samples: Sequence[Answered | None], example: Example, rule: Rule, *, contract: Contract, scorer: Scorer
) -> Choice:
    told = [answer for answer in samples if answer is not None and answer.settled]
    if len(told) < len(samples):
        return Choice(example=example.id, why=UNANSWERED)
    verified = example.reference is not None
    faults = [fault_of(answer) for answer in told]
    usable = [answer for answer, (why, _) in zip(told, faults, strict=True) if not why]
    right = None if not verified else not faults[0][0] and _scores(told[0], rule)
    if not usable:
        why, detail = faults[0]
        return Choice(example=example.id, why=why, detail=detail, right=right)
    most, agreed = await _most_agreed(usable, len(told), rule, contract=contract, scorer=scorer)
    agrees = len(told) == 1 or agreed >= rule.agree
    by_rule = _scores(most, rule) if verified and agrees else None
    found = Choice(
        example=example.id,
        agreed=agreed if len(told) > 1 else None,
        right=right,
        by_rule=by_rule,
    )
    if verified:
        good = next((answer for answer in usable if _scores(answer, rule)), None)
        if good is not None:
            return msgspec.structs.replace(found, text=good.output)
        return msgspec.structs.replace(found, why=WRONG, detail=most.note or f"score {most.score:g}")
    if not agrees:
        return msgspec.structs.replace(found, why=DISAGREED, detail=f"{agreed:.0%} agree")
    if rule.judged and not _scores(most, rule):
        return msgspec.structs.replace(found, why=DISLIKED, detail=most.note or f"score {most.score:g}")
    return msgspec.structs.replace(found, text=most.output)


def _scores(answer: Answered, rule: Rule) -> bool:
    return answer.score is not None and answer.score >= rule.accept


async def _most_agreed(
    usable: Sequence[Answered], asked: int, rule: Rule, *, contract: Contract, scorer: Scorer
) -> tuple[Answered, float]:
    """The sample with which most agree, and the share of all that were asked for that do: one that is no answer agrees with none."""
    accept = rule.accept if not rule.judged else default_accept(ScorerSpec(), contract)
    best, most = usable[0], 0
    if asked == 1:
        return best, 1.0
    for one in usable:
        reference = reference_of(one.output, contract)
        scores = [(await scorer.score(other.output, reference)).value for other in usable]
        count = sum(score >= accept for score in scores)
        if count > most:
            best, most = one, count
    return best, most / asked
