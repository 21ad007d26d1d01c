"""One task whose policy is the live one, and whose calls another classifier takes: judged as a bout is, without asking any model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smallfirst.datasets import Dataset
from smallfirst.datasets.example import Example
from smallfirst.datasets.heldout import open_heldout
from smallfirst.evals.session import Home
from smallfirst.gate.bout import some_of
from smallfirst.gate.judging import Rule, worst
from smallfirst.gate.plan import Plan, restated
from smallfirst.gate.reads import Read, Reads
from smallfirst.gate.subject import Taken
from smallfirst.gate.taken import Taking
from smallfirst.releases.verdict import Comparison, Finding, Fingerprint, TaskVerdict
from smallfirst.statistics import spending


class TakenBout:
    """As `Bout`: used once, `plan`, then `judge`. There are no models, so `fingerprints` stays empty."""

    def __init__(self, subject: Taken, home: Home) -> None:
        self.fingerprints: dict[str, Fingerprint] = {}
        self._subject, self._home = subject, home
        self._reads = Reads(home.state, alpha=home.config.gate.alpha)
        self._taking = Taking(subject.intents, self.task, home)

    @property
    def task(self) -> str:
        return self._subject.policy.task

    @property
    def unheard(self) -> TaskVerdict | None:
        """The verdict where there is nothing to judge it on; None elsewhere."""
        return None if self._subject.dataset is not None else self._verdict("not-enough-evidence", ())

    async def plan(self) -> Plan:
        """Shows the classifiers the calibration examples, and says what these lead to expect."""
        dataset = self._dataset
        read = self._reads.of(dataset.manifest.seal, self._subject.comparison, kin=self._subject.kin)
        rule = self._rule(read)
        calibration: list[Example] = some_of(dataset.examples("calibration"))
        heldout = dataset.manifest.parts["heldout"].rows
        return Plan(
            task=self.task,
            read=read.number,
            alpha=read.alpha,
            claimed=read.claimed,
            power=rule.power,
            prospects=await self._taking.plan(calibration, rule, heldout=heldout),
        )

    async def judge(self, plan: Plan, *, anyway: bool, told: Mapping[str, Any]) -> TaskVerdict:
        """As `Bout.judge`."""
        if plan.early is not None and not anyway:
            finding, why = plan.early
            note = f"{why}; these figures are from calibration and the held-out part was not read (--anyway reads it)"
            return self._verdict(finding, restated(self._taking.calibrated, plan), note=note)
        spent: list[Read] = []

        def record(more: Mapping[str, Any]) -> None:
            subject, seal = self._subject, self._dataset.manifest.seal
            spent.append(self._reads.claim(seal, subject.comparison, {**more, **told}, kin=subject.kin))

        examples = open_heldout(self._dataset, record)
        found = await self._taking.judge(examples, self._rule(spent[0]))
        return self._verdict(worst(one.finding for one in found), found, read=spent[0].number)

    @property
    def _dataset(self) -> Dataset:
        assert self._subject.dataset is not None, "without a dataset it is unheard"
        return self._subject.dataset

    def _rule(self, read: Read) -> Rule:
        gate = self._home.config.gate
        return Rule(
            margin=self._subject.policy.models_margin,
            alpha=read.alpha,
            next_alpha=spending.spent_at(read.number + 1, gate.alpha),
            power=gate.power,
        )

    def _verdict(
        self, finding: Finding, comparisons: Sequence[Comparison], *, read: int = 0, note: str = ""
    ) -> TaskVerdict:
        subject = self._subject
        return TaskVerdict(
            task=self.task,
            finding=finding,
            policy=subject.policy.hash,
            live_policy=subject.policy.hash,
            rule=subject.rule_hash,
            unchanged=True,
            dataset="" if subject.dataset is None else subject.dataset.id,
            read=read,
            comparisons=tuple(comparisons),
            note="; ".join([*subject.cautions, *([note] if note else [])]),
        )
