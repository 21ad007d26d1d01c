"""The gate: a candidate release beside what is live, on examples that nothing has seen, to a verdict.

Before a held-out part is opened, the calibration part says what may be expected, and the read is written to the ledger. Every answer is
kept as it comes: a gate that was killed goes on where it was, pays for nothing twice and spends no second read.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

import msgspec

import smallfirst
from smallfirst.answering.offline import Bench, Wanted, open_bench
from smallfirst.evals.session import Home, weights_of
from smallfirst.gate.asking import Asking, Limits, Told
from smallfirst.gate.bout import Bout
from smallfirst.gate.judging import worst
from smallfirst.gate.plan import Plan
from smallfirst.gate.reads import Reads
from smallfirst.gate.subject import Case, open_case
from smallfirst.gate.taken_bout import TakenBout
from smallfirst.ledger import Notes
from smallfirst.releases import Verdicts
from smallfirst.releases.verdict import Fingerprint, TaskVerdict, Verdict
from smallfirst.releases.verdicts import is_signed, signing_key
from smallfirst.user import user_name


class Wish(msgspec.Struct, frozen=True, kw_only=True):
    """What the caller asks for. `anyway`: a read is spent though it promises little. `max_nusd` caps what the gate's runs spend in all."""

    task: str = ""
    plan_only: bool = False
    anyway: bool = False
    concurrency: int = 8
    max_nusd: int | None = None


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """A verdict; None where only a plan was asked for. `known`: it was there before. `saved`: it is kept, as one of a single task is not."""

    verdict: Verdict | None
    plans: tuple[Plan, ...] = ()
    known: bool = False
    saved: bool = False


class Gate:
    """One gate of one candidate. Raises `ReleaseError`, `DatasetError`, `ScorerError`, `EvalError`, `ConfigError`, `StateError`."""

    def __init__(
        self,
        home: Home,
        candidate: str,
        wish: Wish,
        *,
        told: Told = lambda *_: None,
        planned: Callable[[Plan], None] = lambda _: None,
    ) -> None:
        self.case: Case = open_case(home, candidate, task=wish.task)
        self._home, self._wish, self._told, self._planned = home, wish, told, planned
        self._reads = Reads(home.state, alpha=home.config.gate.alpha)
        self._verdicts = Verdicts(home.state)
        self._key = signing_key(home.config, home.environ)

    async def judge(self, stop: Callable[[], bool] = lambda: False) -> Found:
        """The verdict: the one that is there, where this very comparison was made before; else a new one."""
        known = None if self._wish.plan_only or self._wish.task else self._known()
        if known is not None:
            return Found(verdict=known, known=True, saved=True)
        case, plans = self.case, []
        tasks = [*(self._unchanged(task) for task in case.unchanged), *case.settled]
        marks: dict[str, Fingerprint] = {}
        if case.proof is not None and (case.unchanged or case.settled or case.taken):
            marks.update(case.proof.verdict.fingerprints)
        async with contextlib.AsyncExitStack() as stack:
            notes = stack.enter_context(Notes(self._home.state))
            bench = await self._bench(stack) if case.subjects else None
            for bout in self._bouts(bench, notes, stop):
                if bout.unheard is not None:
                    tasks.append(bout.unheard)
                    continue
                plans.append(await bout.plan())
                self._planned(plans[-1])
                if not self._wish.plan_only:
                    tasks.append(
                        await bout.judge(plans[-1], anyway=self._wish.anyway, told=self._about(bout.task))
                    )
                    marks.update(bout.fingerprints)
            if self._wish.plan_only:
                return Found(verdict=None, plans=tuple(plans))
            verdict = self._verdict(tasks, marks, self._simulated(bench))
            if self._wish.task:
                return Found(verdict=verdict, plans=tuple(plans))
            name = self._verdicts.save(verdict, key=self._key)
            notes.event("verdict", {"release": case.candidate, "verdict": name, "finding": verdict.finding})
        return Found(verdict=self._verdicts.load(case.candidate, name), plans=tuple(plans), saved=True)

    def _bouts(
        self, bench: Bench | None, notes: Notes, stop: Callable[[], bool]
    ) -> Iterator[Bout | TakenBout]:
        """One for each task that has something to compare; those that ask nobody last."""
        for subject in self.case.subjects:
            assert bench is not None
            yield Bout(subject, self._asking(bench, notes, stop), self._home)
        for taken in self.case.taken:
            yield TakenBout(taken, self._home)

    def _simulated(self, bench: Bench | None) -> frozenset[str]:
        if bench is None:
            return frozenset()
        return bench.simulated & {
            model for one in self.case.subjects for arm in one.arms for model in arm.models
        }

    def _known(self) -> Verdict | None:
        """The verdict on these very comparisons, where it is there and counts; made anew it would be the same."""
        case = self.case
        compared = case.subjects or case.settled or case.taken
        if not compared and case.candidate == case.comparator and case.proof is not None:
            return case.proof.verdict  # what is live is proven: saying so again would be no evidence
        wanted = self._wanted()
        if wanted is None:
            return None
        for name in self._verdicts.ids(case.candidate):
            found = self._verdicts.load(case.candidate, name)
            said = {
                one.task: (one.policy, one.rule, one.dataset, one.scorer, one.read) for one in found.tasks
            }
            live = {one.task: one.live_policy for one in found.tasks}
            same = said == wanted and live == case.live_policies and found.comparator == case.comparator
            signed = self._key is None or is_signed(found, self._key)
            if same and signed and not self._verdicts.lapsed(case.candidate, name):
                return found
        return None

    def _wanted(self) -> dict[str, tuple[str, str, str, str, int]] | None:
        """What a verdict says of each task where it is on these very comparisons; None where one of them was not made."""
        case = self.case
        wanted = {
            task: (case.release.policies[task].hash, case.rule_hashes[task], "", "", 0)
            for task in case.unchanged
        }
        for one in case.settled:
            wanted[one.task] = (one.policy, one.rule, one.dataset, one.scorer, one.read)
        for one in case.subjects:
            read = self._reads.of(one.seal, one.comparison, kin=one.kin)
            if not read.claimed:
                return None
            policy = one.candidate.policy.hash
            wanted[one.task] = (policy, one.rule_hash, one.dataset.id, one.scored_by, read.number)
        for one in case.taken:
            said = (one.policy.hash, one.rule_hash)
            if one.dataset is None:
                wanted[one.policy.task] = (*said, "", "", 0)
                continue
            read = self._reads.of(one.dataset.manifest.seal, one.comparison, kin=one.kin)
            if not read.claimed:
                return None
            wanted[one.policy.task] = (*said, one.dataset.id, "", read.number)
        return wanted

    async def _bench(self, stack: contextlib.AsyncExitStack) -> Bench:
        """All that is asked, opened once."""
        home, arms = self._home, [arm for one in self.case.subjects for arm in one.arms]
        judges = [one.judge for one in self.case.subjects if one.judge is not None]
        opened = open_bench(
            home.config,
            [Wanted(arm.policy, weights_of(arm, home.state)) for arm in arms],
            state=home.state,
            base=home.base,
            environ=home.environ,
            beside=[judge.model for judge in judges],
        )
        bench = await stack.enter_async_context(opened)
        for one in judges:
            one.bind(bench.answerer)
        return bench

    def _asking(self, bench: Bench, notes: Notes, stop: Callable[[], bool]) -> Asking:
        wish = self._wish
        return Asking(
            self._home.state,
            bench,
            notes,
            limits=Limits(concurrency=wish.concurrency, max_nusd=wish.max_nusd, stop=stop),
            told=self._told,
        )

    def _about(self, task: str) -> dict[str, str]:
        """What the ledger is told with a read."""
        case = self.case
        return {
            "task": task,
            "release": case.candidate,
            "comparator": case.comparator,
            "by": user_name(),
        }

    def _unchanged(self, task: str) -> TaskVerdict:
        case = self.case
        return TaskVerdict(
            task=task,
            finding="pass",
            policy=case.release.policies[task].hash,
            live_policy=case.live_policies[task],
            rule=case.rule_hashes[task],
            unchanged=True,
        )

    def _verdict(
        self, tasks: Sequence[TaskVerdict], marks: Mapping[str, Fingerprint], simulated: Collection[str]
    ) -> Verdict:
        return Verdict(
            candidate=self.case.candidate,
            comparator=self.case.comparator,
            finding=worst(task.finding for task in tasks),
            tasks=tuple(sorted(tasks, key=lambda task: task.task)),
            at_ms=int(time.time() * 1000),
            by=user_name(),
            version=smallfirst.__version__,
            fingerprints=dict(sorted(marks.items())),
            simulated=tuple(sorted(simulated)),
        )
