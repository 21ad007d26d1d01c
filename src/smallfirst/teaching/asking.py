"""Questions put to a teacher: by the runner that evaluations use, so that each is paid for once, capped, kept as it comes, and in the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.config.schema import Scorer as ScorerSpec
from smallfirst.contracts import Contract
from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.arm import Arm, model_arm
from smallfirst.evals.judging import JudgeAsk
from smallfirst.evals.plan import Plan
from smallfirst.evals.runner import Work
from smallfirst.evals.session import Home, scorer_of
from smallfirst.evals.store import Answered, Manifest, Runs, RunStore
from smallfirst.releases import LearnedHere
from smallfirst.scoring.scorer import Score, Scorer
from smallfirst.teaching.teacher import Teacher

_WRITTEN_TOKENS = 4096
_SAMPLED = 0.7  # the temperature of several samples, where none is given


class Askings(Runs):
    """What teachers were asked, and answered, in a state directory: `STATE/teaching/TASK-1` and so on, as evaluations keep theirs."""

    def __init__(self, state: Path) -> None:
        self.folder = state / "teaching"

    def list(self) -> list[RunStore]:
        """All that were begun, newest first; without those that an erasure has half removed."""
        return [store for store in super().list() if store.keeps_examples]

    def half_gone(self) -> list[RunStore]:
        """Those that an erasure was killed in: their texts are gone, and so should the rest be."""
        return [store for store in super().list() if not store.keeps_examples]

    def of(self, manifest: Manifest) -> RunStore | None:
        """The newest that asked just this, whole or not."""
        return next((store for store in self.list() if store.manifest().key == manifest.key), None)

    def known(self, plan: Plan, manifest: Manifest) -> dict[tuple[str, str], Answered]:
        """What is answered already, by arm and example: in the run that asked just this; where there is none, in others that put some of these
        questions to the same model in the same way. What those paid is not paid again.
        """
        same = self.of(manifest)
        if same is not None:
            return same.read()
        examples = {example.id: example for example in plan.work.examples}
        found: dict[tuple[str, str], Answered] = {}
        for store in reversed(self.list()):
            told = store.manifest()
            shared = {(arm.name, arm.policy) for arm in told.arms}
            arms = {arm.name for arm in manifest.arms if (arm.name, arm.policy) in shared}
            asked = {one.id: one for one in store.examples() if one.id in examples} if arms else {}
            for (arm, name), answer in store.read().items():
                if arm in arms and name in asked and _same(asked[name], examples[name]):
                    scored = (
                        told.scorer == manifest.scorer and asked[name].reference == examples[name].reference
                    )
                    found[arm, name] = _free(answer, scored=scored)
        return found


class WhereKnown:
    """Implements `Scorer`: scores what has a reference by the task's scorer, and takes the rest for scored. A judge needs no reference."""

    def __init__(self, scorer: Scorer, *, judged: bool) -> None:
        self.id = f"where-known:{scorer.id}"
        self._scorer, self._judged = scorer, judged

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        if reference is None and not self._judged:
            return Score(1.0, note="nothing to compare with")
        return await self._scorer.score(output, reference, messages=messages)

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        return {}


class Taken:
    """Implements `Scorer` for answers that are judged later: each is worth 1."""

    id = "taken"

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        return Score(1.0)

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        return {}


def sample_arms(
    teacher: Teacher, task: str, home: Home, *, samples: int, temperature: float | None
) -> list[Arm]:
    """The teacher as the task asks it, so many times over: each sample is an arm with a seed of its own."""
    alone = model_arm(teacher.name, task, home.config, LearnedHere(home.state))
    if samples > 1 and temperature is None:
        temperature = _SAMPLED
    if temperature is not None:
        (rung,) = alone.policy.ladder
        rung = msgspec.structs.replace(rung, temperature=temperature)
        alone = msgspec.structs.replace(alone, policy=msgspec.structs.replace(alone.policy, ladder=(rung,)))
    if samples == 1:
        return [alone]
    return [
        msgspec.structs.replace(alone, name=f"{teacher.name}:{number}", seed=number)
        for number in range(1, samples + 1)
    ]


def writing_arm(
    teacher: Teacher, task: str, home: Home, contract: Contract, *, temperature: float | None
) -> Arm:
    """The teacher by itself, asked for something else than the task's answers: nobody's instructions but the request's own."""
    alone = model_arm(teacher.name, task, home.config, LearnedHere(home.state))
    (rung,) = alone.policy.ladder
    rung = msgspec.structs.replace(
        rung, instructions=None, max_tokens=_WRITTEN_TOKENS, temperature=temperature
    )
    policy = msgspec.structs.replace(alone.policy, contract=contract, ladder=(rung,), instructions=None)
    return msgspec.structs.replace(alone, policy=policy)


def scorer_for(spec: ScorerSpec, contract: Contract, home: Home) -> tuple[Scorer, JudgeAsk | None, bool]:
    """The task's scorer, whom it asks, and whether it is a judge. Raises `EvalError` for a judge that only compares."""
    if spec.kind == "judge" and spec.mode == "pairwise":
        raise EvalError(
            'scorer.mode: a "pairwise" judge says which of two answers is better, not whether one is good: distilling needs "absolute"'
        )
    scorer, judge = scorer_of(spec, contract, home)
    return scorer, judge, spec.kind == "judge"


def plan_of(
    task: str,
    contract: Contract,
    arms: Sequence[Arm],
    examples: Sequence[Example],
    *,
    scorer: Scorer,
    judge: JudgeAsk | None = None,
) -> Plan:
    """What is put to whom, as `evals` runs it."""
    work = Work(task=task, contract=contract, scorer=scorer, arms=arms, examples=examples)
    return Plan(work=work, reference=arms[0].name, judge=judge)


def store_of(plan: Plan, home: Home, *, by: str, note: str) -> RunStore:
    """Where the answers are kept, begun, with those that are known. Raises `EvalError` where another process works on it."""
    told = plan.manifest(home, by=by, note=note)
    askings = Askings(home.state)
    store = askings.of(told)
    if store is None:
        known = askings.known(plan, told)
        store = askings.new(told.task)
        with store.appending() as file:
            for answer in known.values():
                file.add(answer)
    store.begin(told, plan.work.examples)
    return store


def _same(one: Example, other: Example) -> bool:
    return (one.messages, one.tools, one.tenant) == (other.messages, other.tools, other.tenant)


def _free(answer: Answered, *, scored: bool) -> Answered:
    """An answer that another run has paid for; to be scored anew where that run had another scorer, or reference."""
    score = answer.score if scored or answer.error else None
    return msgspec.structs.replace(answer, score=score, cost_nusd=0, judge_nusd=0, attempts=())
