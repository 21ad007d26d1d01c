"""One task of a gate: what calibration leads to expect, then the held-out part, then what was found."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from smallfirst.datasets.example import Example
from smallfirst.datasets.heldout import open_heldout
from smallfirst.evals.arm import FRONTIER
from smallfirst.evals.runner import Run
from smallfirst.evals.session import Home
from smallfirst.gate.answers import (
    LABEL,
    answered,
    disagreement,
    evidence_of,
    fingerprints_of,
    rows_of,
)
from smallfirst.gate.asking import Asking
from smallfirst.gate.judged import Labels, judge_corrected, labels_of, why_not
from smallfirst.gate.judging import Judgement, Rule, also, judge
from smallfirst.gate.plan import SCREEN_ALPHA, Plan, prospects, restated
from smallfirst.gate.probes import probe_set, probed_rungs
from smallfirst.gate.reads import Read, Reads
from smallfirst.gate.subject import CANDIDATE, Subject
from smallfirst.gate.taken import Taking
from smallfirst.releases.verdict import Against, Finding, Fingerprint, TaskVerdict
from smallfirst.scoring import is_judged
from smallfirst.statistics import spending
from smallfirst.statistics.noninferiority import Sample, sample_of

CALIBRATION_ROWS = 400  # that are asked before the held-out part is: enough to know the scatter by


class Bout:
    """Used once: `plan`, then `judge`. `fingerprints` has then what the models were."""

    def __init__(self, subject: Subject, asking: Asking, home: Home) -> None:
        self.fingerprints: dict[str, Fingerprint] = {}
        self._subject, self._asking, self._home = subject, asking, home
        self._reads = Reads(home.state, alpha=home.config.gate.alpha)
        self._expected: dict[Against, Sample] = {}
        self._calibrated: Judgement | None = None
        self._labels: dict[Against, Labels] = {}
        self._unheard = ""  # why a judge's word does not count
        intents = subject.intents
        self._taking = None if intents is None else Taking(intents, subject.task, home)
        self._calibration: list[Example] = []

    @property
    def task(self) -> str:
        return self._subject.task

    @property
    def unheard(self) -> TaskVerdict | None:
        """The verdict where a judge scores that nobody measured: nothing needs to be asked for it. None elsewhere."""
        subject = self._subject
        if not is_judged(subject.scorer) or subject.measured is not None:
            return None
        nothing = Judgement(finding="not-enough-evidence", comparisons=(), budgets=(), alerts=())
        return self._verdict(nothing, read=0, notes=(why_not(None, {}, subject.scorer.id),))

    async def plan(self) -> Plan:
        """Asks the calibration examples, and says what they lead to expect."""
        subject = self._subject
        self._calibration = some_of(subject.dataset.examples("calibration"))
        name = hashlib.sha256(f"{subject.asked} {len(self._calibration)}".encode()).hexdigest()
        found = await self._asking.answers(subject, self._calibration, part="calibration", name=name)
        rows, evidence = rows_of(self._calibration), evidence_of(subject, found)
        losses: dict[Against, list[float]] = {against: evidence.losses(against) for against in subject.others}
        self._expected.update((against, sample_of(each, rows.groups)) for against, each in losses.items())
        read = self._reads.of(subject.seal, subject.comparison, kin=subject.kin)
        rule = self._rule(read)
        if subject.measured is not None:
            measurement = subject.measured.measurement
            self._labels = labels_of(measurement, found, subject.candidate, subject.others)
            self._unheard = why_not(measurement, self._labels, subject.scorer.id)
        screen = msgspec.structs.replace(rule, alpha=SCREEN_ALPHA)
        self._calibrated = judge(rows, evidence.candidate, evidence.others, screen)
        heldout = subject.dataset.manifest.parts["heldout"]
        values = {**heldout.slices, LABEL: heldout.labels}
        slice_rows = {
            f"{field}={value}": count
            for field in subject.gate.slices
            for value, count in values.get(field, {}).items()
        }
        coming = prospects(rows, losses, rule, heldout=heldout.rows, slice_rows=slice_rows)
        if self._taking is not None:
            coming += await self._taking.plan(self._calibration, rule, heldout=heldout.rows)
            self._calibrated = also(self._calibrated, self._taking.calibrated)
        return Plan(
            task=subject.task,
            read=read.number,
            alpha=read.alpha,
            claimed=read.claimed,
            power=rule.power,
            prospects=coming,
        )

    async def judge(self, plan: Plan, *, anyway: bool, told: Mapping[str, Any]) -> TaskVerdict:
        """Reads the held-out part and judges; without reading it where the plan says that this would be no use, and nobody insists.

        `told` goes into the ledger with the read.
        """
        if self._unheard:  # no read would make it evidence
            return self._early("not-enough-evidence", plan, self._unheard)
        if plan.early is not None and not anyway:
            finding, why = plan.early
            return self._early(finding, plan, why)
        subject, spent = self._subject, []

        def record(more: Mapping[str, Any]) -> None:
            spent.append(
                self._reads.claim(subject.seal, subject.comparison, {**more, **told}, kin=subject.kin)
            )

        examples = open_heldout(subject.dataset, record)
        read: Read = spent[0]
        found = await self._asking.answers(subject, examples, part="heldout", name=subject.asked)
        rows, evidence = rows_of(examples), evidence_of(subject, found)
        sides = (rows, evidence.candidate, evidence.others, self._rule(read))
        if is_judged(subject.scorer):
            said = judge_corrected(*sides, labels=self._labels)
        else:
            said = judge(*sides, expected=self._expected)
        if self._taking is not None:
            said = also(said, await self._taking.judge(examples, self._rule(read)))
        await self._mark(found)
        verdict = self._verdict(said, read=read.number, notes=said.notes)
        return msgspec.structs.replace(verdict, disagreement=await self._disagreement(found, rows.groups))

    def _early(self, finding: Finding, plan: Plan, why: str) -> TaskVerdict:
        """What calibration says, as the verdict: no read was spent."""
        assert self._calibrated is not None
        comparisons = restated(self._calibrated.comparisons, plan, fails=not self._unheard)
        said = msgspec.structs.replace(self._calibrated, finding=finding, comparisons=comparisons)
        how = "" if self._unheard else " (--anyway reads it)"
        note = f"{why}; these figures are from calibration and the held-out part was not read{how}"
        return self._verdict(said, read=0, notes=(note, *said.notes))

    def _verdict(self, said: Judgement, *, read: int, notes: Sequence[str]) -> TaskVerdict:
        subject = self._subject
        return TaskVerdict(
            task=subject.task,
            finding=said.finding,
            policy=subject.candidate.policy.hash,
            live_policy=subject.live_policy,
            rule=subject.rule_hash,
            dataset=subject.dataset.id,
            scorer=subject.scored_by,
            read=read,
            comparisons=said.comparisons,
            budgets=said.budgets,
            alerts=said.alerts,
            note="; ".join([*subject.cautions, *notes]),
        )

    def _rule(self, read: Read) -> Rule:
        subject = self._subject
        return Rule(
            margin=subject.margin,
            alpha=read.alpha,
            next_alpha=spending.spent_at(read.number + 1, self._home.config.gate.alpha),
            power=self._home.config.gate.power,
            slices=subject.gate.slices,
            slice_margin=subject.gate.slice_margin,
            min_slice_rows=self._home.config.gate.min_slice_rows,
            cost_ratio_max=subject.gate.cost_ratio_max,
            latency_ratio_max=subject.gate.latency_ratio_max,
            cache_error=subject.candidate.policy.cache.error_max,
            cache_error_max=subject.gate.cache_error_max,
        )

    async def _mark(self, found: Run) -> None:
        """What the models were: by their providers' words, and by the probes of the small ones."""
        subject = self._subject
        answers = [one for arm in subject.arms for one in answered(found, arm.name)]
        self.fingerprints = fingerprints_of(answers)
        probes = probe_set(self._calibration)
        for rung in probed_rungs(subject.candidate.policy):
            mark = self.fingerprints.get(rung.model, Fingerprint())
            probed = await self._asking.probed(subject, rung, probes)
            self.fingerprints[rung.model] = msgspec.structs.replace(mark, probes=probed)

    async def _disagreement(self, found: Run, groups: Sequence[str]) -> Any:
        """What a canary of this candidate will find where all is well; nothing where a judge would have to be asked again."""
        subject = self._subject
        if FRONTIER not in subject.others or is_judged(subject.scorer):
            return None
        return await disagreement(
            zip(answered(found, CANDIDATE), answered(found, FRONTIER), strict=True),
            groups,
            scorer=subject.scorer,
            contract=subject.candidate.policy.contract,
        )


def some_of(examples: Iterable[Example]) -> list[Example]:
    """As many as are asked, the same ones for the same dataset."""
    found = sorted(examples, key=lambda one: hashlib.sha256(f"gate {one.id}".encode()).digest())
    return found[:CALIBRATION_ROWS]
