"""An improvement from its first step to its last. What each step came to is recorded before the next begins.

A step that was killed is done again and comes to the same: datasets, heads, routers and releases are named by what is in them, and answers that
were paid for lie in the run and the gate that asked for them. So nothing is paid for twice.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from smallfirst.answering.check import compile_check
from smallfirst.classify.store import Artifacts
from smallfirst.errors import ConfigError, EvalError, ReleaseError
from smallfirst.evals import material
from smallfirst.evals.books import spent_nusd
from smallfirst.evals.plan import Plan, planned, task_of
from smallfirst.evals.runner import Options
from smallfirst.evals.session import Home, evaluate
from smallfirst.evals.store import Manifest, Runs, RunStore
from smallfirst.gate.gate import Gate, Wish
from smallfirst.improve.making import (
    Progress,
    fit_task_router,
    heads_of,
    make_dataset,
    models_of,
    train_head,
)
from smallfirst.improve.record import STEPS, Done, End, Record, Step, read_record, write_record
from smallfirst.ledger import Notes
from smallfirst.releases import (
    BASELINE,
    LearnedHere,
    Releases,
    read_channels,
    release_from_config,
)
from smallfirst.releases.policy import canonical
from smallfirst.releases.promotion import Promoter, Promotion
from smallfirst.training.router_fit import TooFewExamples
from smallfirst.user import user_name

LEAST_SHARE = 0.05
"""Of calls that must stay small for a candidate to be worth a read of the held-out part."""


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What an improvement is asked for. `stages` is empty where it only proposes; `dataset` as `make_dataset` has it."""

    task: str
    dataset: str = ""
    stages: tuple[float, ...] = ()
    max_nusd: int | None = None
    concurrency: int = 8


class _Ended(Exception):
    """The improvement is over."""

    def __init__(self, end: End, why: str) -> None:
        super().__init__(why)
        self.end: End = end


class Improver:
    """One improvement of one task. `begun` and `done` are told each step; both may print."""

    def __init__(
        self,
        home: Home,
        asked: Asked,
        *,
        fresh: bool = False,
        progress: Progress = lambda *_: None,
        done: Callable[[Step, Done], None] = lambda *_: None,
    ) -> None:
        task_of(home, asked.task)
        if len(models_of(home.config.tasks[asked.task])) < 2:
            raise ConfigError(
                f"tasks.{asked.task}.ladder: it has the frontier model alone, so there is nothing to improve; put a smaller model before it"
            )
        self._home, self._asked, self._progress, self._done = home, asked, progress, done
        self._spent: dict[str, int] = {}
        key = _key(home, asked)
        found = None if fresh else read_record(home.state, asked.task)
        goes_on = found is not None and found.end is None and found.asked == key
        self.record = (
            found if goes_on and found is not None else Record(task=asked.task, began_ms=_now_ms(), asked=key)
        )
        self.resumed = goes_on and bool(self.record.steps)

    def run(self) -> Record:
        """Does what is left to do, and returns the record. Raises what its steps raise; the same command then goes on."""
        work: Mapping[Step, Callable[[], Done]] = {
            "dataset": self._dataset,
            "head": self._head,
            "answers": self._answers,
            "router": self._router,
            "release": self._release,
            "gate": self._gate,
            "canary": self._canary,
        }
        try:
            for step in STEPS:
                known = self.record.steps.get(step)
                if known is None or known.state == "begun":
                    self._keep(step, work[step]())
                else:
                    self._done(step, known)
                self._end_where_nothing_is_left(step)
        except _Ended as ended:
            self.record.end, self.record.why = ended.end, str(ended)
            write_record(self._home.state, self.record)
            self._tell()
        return self.record

    # The steps.

    def _dataset(self) -> Done:
        name, why = make_dataset(self._home, self._asked.task, self._asked.dataset, self._progress)
        return _over(dataset=name, why=why)

    def _head(self) -> Done:
        heads = heads_of(self._asked.task, self._home.config)
        if not heads:
            return _skipped("the ladder has no head to train")
        found = train_head(self._home, self._asked.task, self._told("dataset", "dataset"), self._progress)
        return _over(**found, models=heads)

    def _answers(self) -> Done:
        """Each model of the ladder, asked the calibration examples: in the run that did so before, whole or not, else in a new one."""
        plan = self.plan(self._told("dataset", "dataset"))
        runs, told = Runs(self._home.state), plan.manifest(self._home, note="improve", by=user_name())
        store = _same(runs, told) or runs.unfinished(told) or runs.new(self._asked.task)
        self._keep("answers", Done(state="begun", at_ms=_now_ms(), told={"run": store.name}))
        self._ask(plan, store)
        return _over(run=store.name, examples=len(plan.work.examples))

    def _router(self) -> Done:
        if self._home.config.tasks[self._asked.task].router.fit == "none":
            return _skipped(f'tasks.{self._asked.task}.router.fit = "none"')
        store = Runs(self._home.state).open(self._told("answers", "run"))
        dataset = self._told("dataset", "dataset")
        try:
            found = fit_task_router(self._home, self._asked.task, dataset, store, self._progress)
        except TooFewExamples as few:
            raise _Ended("nothing", str(few)) from few
        kept = (
            "router",
            "small_share",
            "loss",
            "loss_bound",
            "margin",
            "kept",
            "cost_ratio",
            "examples_needed",
        )
        return _over(**{name: found[name] for name in kept})

    def _release(self) -> Done:
        """The task as it is configured and learned; every other task as it is live."""
        config, state = self._home.config, self._home.state
        live = read_channels(state).live.release
        before = None if live == BASELINE else Releases(state).load(live)
        release = release_from_config(config, LearnedHere(state), only=[self._asked.task], live=before)
        compile_check(release.policies[self._asked.task].contract)
        name, new = Releases(state).save(release, note="improve", artifacts=Artifacts(state))
        return _over(release=name, new=new, live=live)

    def _gate(self) -> Done:
        wish = Wish(concurrency=self._asked.concurrency, max_nusd=self._left_nusd())
        name = self._told("release", "release")
        found = asyncio.run(Gate(self._home, name, wish, told=self._gate_told).judge())
        assert found.verdict is not None  # more than a plan was asked for
        tasks = {each.task: {"finding": each.finding, "note": each.note} for each in found.verdict.tasks}
        return _over(release=name, verdict=found.verdict.id, finding=found.verdict.finding, tasks=tasks)

    def _canary(self) -> Done:
        name = self._told("release", "release")
        channels = read_channels(self._home.state)
        if channels.canary is not None and channels.canary.release == name:
            return _over(release=name, began_ms=channels.canary.began_ms)
        promoter = Promoter(self._home.state, self._home.config, self._home.environ)
        try:
            now = promoter.promote(name, Promotion(stages=self._asked.stages))
        except ReleaseError as error:  # such as an approval that is still missing
            raise _Ended("proposed", str(error)) from error
        assert now.canary is not None
        return _over(release=name, began_ms=now.canary.began_ms)

    def _end_where_nothing_is_left(self, step: Step) -> None:
        """Ends where what a step came to says so: nothing to gain, nothing new, no pass, or nobody to promote it."""
        told = self.record.steps[step].told
        name = self._asked.task
        if step == "router" and told.get("small_share", 1.0) < LEAST_SHARE:
            needed = told.get("examples_needed")
            more = f"; about {needed:,} calibration examples may show more" if needed else ""
            raise _Ended(
                "nothing",
                f"only {told['small_share']:.1%} of {name} can stay small and be shown to lose at most {told['margin']:g}, which is not "
                f"worth a read of the held-out part{more}",
            )
        if step == "release" and told["release"] == told["live"]:
            raise _Ended(
                "nothing", f"release {told['release'][:12]} is what came out, and it is live already"
            )
        if step == "gate" and told["finding"] == "fail":
            raise _Ended("refused", f"the gate refused release {told['release'][:12]}")
        if step == "gate" and told["finding"] != "pass":
            raise _Ended("undecided", f"the gate has not enough evidence for release {told['release'][:12]}")
        if step == "gate" and not self._asked.stages:
            how = f"`smallfirst release promote {told['release'][:12]} --canary 5%,25%,100%`"
            raise _Ended("proposed", f"release {told['release'][:12]} passed the gate: {how}")
        if step == "canary":
            raise _Ended("canary", f"release {told['release'][:12]} is a canary: `smallfirst rollout watch`")

    # What they share.

    def plan(self, dataset: str) -> Plan:
        """Who is asked what to learn the router from."""
        task = self._asked.task
        found = material.from_dataset(self._home.state, task, dataset, "calibration")
        small = models_of(self._home.config.tasks[task])[:-1]
        return planned(self._home, task, models=small, releases=(), found=found)

    def _ask(self, plan: Plan, store: RunStore) -> None:
        told = plan.manifest(self._home, note="improve", by=user_name())
        store.begin(told, plan.work.examples)
        options = Options(concurrency=self._asked.concurrency, max_nusd=self._asked.max_nusd)
        run = asyncio.run(
            evaluate(
                plan.work,
                self._home,
                store=store,
                judge=plan.judge,
                options=options,
                progress=lambda done, total, _: self._progress("asking the ladder's models", done, total),
            )
        )
        if run.missing:
            why = "its money is spent: see --max-usd" if run.stopped == "money" else "some failed"
            raise EvalError(
                f"{run.missing:,} answers are missing ({why}); what was answered is kept, and the same command goes on"
            )

    def _left_nusd(self) -> int | None:
        """What the gate may spend of the money that there is for both."""
        if self._asked.max_nusd is None:
            return None
        store = Runs(self._home.state).open(self._told("answers", "run"))
        return max(0, self._asked.max_nusd - spent_nusd(store.read().values()))

    def _gate_told(self, step: str, done: int, total: int, spent_nusd: int) -> None:
        self._progress(f"gate: {step}", done, total)

    def _told(self, step: Step, name: str) -> str:
        return self.record.steps[step].told[name]

    def _keep(self, step: Step, done: Done) -> None:
        self.record.steps[step] = done
        write_record(self._home.state, self.record)
        if done.state != "begun":
            self._done(step, done)

    def _tell(self) -> None:
        """An event, so that a schedule's findings are not only on somebody's screen."""
        record = self.record
        release = record.steps["release"].told["release"] if "release" in record.steps else ""
        with Notes(self._home.state) as notes:
            notes.event(
                "improved", {"task": record.task, "end": record.end, "why": record.why, "release": release}
            )


def _same(runs: Runs, told: Manifest) -> RunStore | None:
    """A whole run that asked the same models the same examples: its answers are paid for."""
    return next((store for store in runs.list() if store.finished and store.manifest().key == told.key), None)


def _over(**told: Any) -> Done:
    return Done(state="done", at_ms=_now_ms(), told=told)


def _skipped(why: str) -> Done:
    return Done(state="skipped", at_ms=_now_ms(), told={"why": why})


def _key(home: Home, asked: Asked) -> str:
    """What the command was asked for, and what the configuration says of the task: where either changes, it begins anew."""
    task = home.config.tasks[asked.task]
    wanted = {"dataset": asked.dataset, "stages": asked.stages, "task": task}
    return hashlib.sha256(canonical(wanted)).hexdigest()


def _now_ms() -> int:
    return int(time.time() * 1000)
