"""How good what is live still is, measured on explored calls, and whether the traffic has moved: `STATE/outlook.json`.

Explored calls are drawn before anything is decided, so the frontier's disagreement with the release on them is that on all calls. Its
confidence sequence holds at every moment. Of calls that small models answered, a process tests whether the disagreement is beyond what the
verdict found and the margin together: then the evidence is refuted, lapses, and the task goes to its frontier.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.config.schema import Config
from smallfirst.durable import write_whole
from smallfirst.errors import ReleaseError, StateError
from smallfirst.gate.controller_canary import Tell
from smallfirst.gate.drift import (
    Finding,
    InputMix,
    InputMixState,
    OutcomeDrift,
    OutcomeDriftState,
    features_of,
)
from smallfirst.gate.rollout_feed import explored, first_call, scored
from smallfirst.gate.watch import Expected
from smallfirst.gate.watch_expected import expectation
from smallfirst.ledger import Filter, LedgerView
from smallfirst.ledger.records import Call
from smallfirst.releases import BASELINE, Policy, Releases
from smallfirst.releases.channels import Live, read_channels
from smallfirst.releases.verdicts import Verdicts
from smallfirst.statistics.sequences import EProcess, EProcessState

FILE = "outlook.json"
FORMAT = 1
CONFIDENCE = 0.95  # of the interval that is shown
_LEAST_CENTRE, _MOST_CENTRE = 0.02, 0.98
_LEVEL = 0.01
_KEPT_FINDINGS = 20
_BATCH = 1000


class ModelSeen(msgspec.Struct, kw_only=True):
    """How one model's answers to explored calls scored, with the frontier's as reference."""

    answers: int = 0
    total: float = 0.0

    @property
    def score(self) -> float | None:
        return self.total / self.answers if self.answers else None


class TaskOutlook(msgspec.Struct, kw_only=True):
    """A task under its live release. `disagreement` is the mean of 1 − score over explored calls, between `low` and `high` with `CONFIDENCE`
    at all times together; `expected` what it may be of calls that small models answered, with the margin.
    """

    task: str
    release: str
    explored: int = 0
    disagreement: float | None = None
    low: float = 0.0
    high: float = 1.0
    expected: float = 1.0
    broken: bool = False  # beyond what is expected: its evidence has lapsed
    models: dict[str, ModelSeen] = {}
    shift: dict[str, float] = {}  # the population stability index of the last window, by feature
    above: EProcessState | None = None
    below: EProcessState | None = None
    beyond: EProcessState | None = None
    outcome_drift: OutcomeDriftState = msgspec.field(default_factory=OutcomeDriftState)
    input_mix: InputMixState = msgspec.field(default_factory=InputMixState)


class Outlook(msgspec.Struct, kw_only=True):
    """What is known of the tasks that are live."""

    at_ms: int = 0
    since_ms: int = 0
    calls_after: int = 0
    outcomes_after: int = 0
    tasks: dict[str, TaskOutlook] = {}
    findings: list[Finding] = []
    format: int = FORMAT


def read_outlook(state: Path) -> Outlook:
    """What was published; nothing where nothing was. Raises `StateError` where it cannot be read."""
    path = state / FILE
    try:
        found = msgspec.json.decode(path.read_bytes(), type=Outlook)
    except FileNotFoundError:
        return Outlook()
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StateError(
            f"{path} cannot be read ({error}); delete it, and the outlook begins anew"
        ) from error
    if found.format != FORMAT:
        raise StateError(f"{path} has format {found.format}, this version reads {FORMAT}; delete it")
    return found


class _Follower:
    """One task's running parts."""

    def __init__(self, outlook: TaskOutlook, rule: _Rule) -> None:
        self.outlook = outlook
        alpha = (1 - CONFIDENCE) / 2
        centre = min(max(rule.expected, _LEAST_CENTRE), _MOST_CENTRE)
        self._above = _process(outlook.above, centre, alpha)
        self._below = _process(outlook.below, 1 - centre, alpha)
        self._beyond = _process(outlook.beyond, centre, rule.alpha)
        self._drift = OutcomeDrift(outlook.outcome_drift)
        self.mix = InputMix(outlook.input_mix)

    def add(self, lost: float, *, by_small: bool) -> tuple[float, float] | None:
        """One explored call of which the release's answer lost so much; the mean before and after where it has risen."""
        self._above.add(lost)
        self._below.add(1 - lost)
        if by_small:
            self._beyond.add(lost)
        return self._drift.add(lost)

    def publish(self) -> TaskOutlook:
        """What it has found, with all that it needs to go on."""
        outlook = self.outlook
        outlook.explored = self._above.count
        outlook.disagreement = self._above.mean
        outlook.low, outlook.high = self._above.lower_bound, 1 - self._below.lower_bound
        outlook.expected = self._beyond.null
        outlook.above, outlook.below = self._above.state, self._below.state
        outlook.beyond = self._beyond.state
        outlook.outcome_drift, outlook.input_mix = self._drift.state, self.mix.state
        outlook.shift = dict(self.mix.state.latest)
        return outlook

    @property
    def is_beyond(self) -> bool:
        return self._beyond.rejected


class _Rule(msgspec.Struct, frozen=True):
    """By what a task is followed: what its disagreement may be, and how surely it must be beyond that."""

    expected: float
    alpha: float


class Watcher:
    """Keeps the outlook of one state directory."""

    def __init__(self, state: Path, config: Config, tell: Tell) -> None:
        self.config = config
        self._state = state
        self._tell = tell
        self._outlook = read_outlook(state)
        self._followers: dict[str, _Follower] = {}
        self._live: Live | None = None
        self._policies: dict[str, Policy] = {}

    def turn(self, ledger: LedgerView) -> None:
        """Takes up what came since, and publishes. Raises `StateError` where the ledger or the channels cannot be read."""
        live = read_channels(self._state).live
        if live != self._live:
            self._take_up(ledger, live)
        if not self._policies:
            return
        changed = self._follow_calls(ledger) + self._follow_scores(ledger)
        if changed:
            self._publish()

    def _take_up(self, ledger: LedgerView, live: Live) -> None:
        """Follows what is live now: anew, or from where the last controller left it."""
        self._live, self._followers, self._policies = live, {}, {}
        if live.release == BASELINE:
            return
        loaded = Releases(self._state).load(live.release).policies
        self._policies = {
            task: policy
            for task, policy in loaded.items()
            if len(policy.ladder) > 1 and task in self.config.tasks
        }
        outlook = self._outlook
        if outlook.since_ms != live.since_ms or any(
            kept.release != live.release for kept in outlook.tasks.values()
        ):
            outlook.tasks = {}
            outlook.calls_after = first_call(ledger, live.since_ms)
            outlook.since_ms = live.since_ms
        measured = self._measured(live)
        for task, policy in self._policies.items():
            rule = _Rule(
                expected=_may_be(expectation(measured.get(task), policy.margin), policy.margin),
                alpha=1 - self.config.tasks[task].rollout.confidence,
            )
            kept = outlook.tasks.get(task) or TaskOutlook(task=task, release=live.release)
            self._followers[task] = _Follower(kept, rule)

    def _measured(self, live: Live) -> dict[str, Any]:
        if not live.verdict:
            return {}
        try:
            verdict = Verdicts(self._state).load(live.release, live.verdict)
        except ReleaseError:  # the gateway refuses it too, and says so
            return {}
        return {task.task: task.disagreement for task in verdict.tasks}

    def _follow_calls(self, ledger: LedgerView) -> int:
        outlook, count = self._outlook, 0
        while listed := ledger.queries.tail(outlook.calls_after, Filter(origin="client"), limit=_BATCH):
            for one in listed:
                follower = self._followers.get(one.call.task)
                if follower is not None and self._is_live(one.call) and one.call.status == "ok":
                    count += 1
                    for feature, index in follower.mix.add(features_of(one.call)):
                        self._found(one.call.task, "input", feature, index)
            outlook.calls_after = listed[-1].n
        return count

    def _follow_scores(self, ledger: LedgerView) -> int:
        outlook, count = self._outlook, 0
        for told in explored(ledger, after=outlook.outcomes_after):
            outlook.outcomes_after = told.n
            follower, value = self._followers.get(told.task), scored(told.outcome)
            if follower is None or value is None or value["reference"] != "frontier":
                continue
            if told.outcome.at_ms < outlook.since_ms or value["channel"] != "live":
                continue
            if value["release"] != follower.outlook.release:
                continue
            count += 1
            seen = follower.outlook.models.setdefault(value["model"], ModelSeen())
            seen.answers += 1
            seen.total += float(value["score"])
            if value["answered"]:
                self._follow_answer(told.task, follower, value)
        return count

    def _follow_answer(self, task: str, follower: _Follower, value: dict[str, Any]) -> None:
        """The score of the answer that the client got: the release's own."""
        by_small = 0 <= value["rung"] < len(self._policies[task].ladder) - 1
        risen = follower.add(1 - float(value["score"]), by_small=by_small)
        if risen is not None:
            self._found(task, "outcome", "disagreement", risen[1], before=risen[0])
        if follower.is_beyond and not follower.outlook.broken:
            self._break(task, follower)

    def _break(self, task: str, follower: _Follower) -> None:
        """The release is worse than its evidence said: from now on the models that were meant go to the frontier."""
        outlook = follower.publish()
        outlook.broken = True
        live, policy = self._live, self._policies[task]
        assert live is not None
        reason = (
            f"{task}: on {outlook.explored:,} explored calls the frontier disagrees more than the verdict and the margin together "
            f"allow ({outlook.expected:.3f}); {outlook.disagreement or 0.0:.3f} of all calls"
        )
        if live.verdict:
            for rung in policy.ladder[:-1]:
                Verdicts(self._state).lapse(live.release, live.verdict, model=rung.model, reason=reason)
        self._tell(
            "quality-bound-broken",
            {"release": live.release, "task": task, "why": reason, "lapsed": bool(live.verdict)},
        )

    def _found(self, task: str, of: str, feature: str, value: float, *, before: float | None = None) -> None:
        finding = Finding(
            at_ms=_now_ms(),
            task=task,
            release=self._followers[task].outlook.release,
            of=of,
            feature=feature,
            value=round(value, 4),
            before=None if before is None else round(before, 4),
        )
        self._outlook.findings = [*self._outlook.findings, finding][-_KEPT_FINDINGS:]
        self._tell("drift", msgspec.to_builtins(finding))

    def _is_live(self, call: Call) -> bool:
        live = self._live
        return (
            live is not None
            and call.release == live.release
            and call.at_ms >= live.since_ms
            and call.decision.get("channel") != "canary"
        )

    def _publish(self) -> None:
        outlook = self._outlook
        outlook.at_ms = _now_ms()
        outlook.tasks = {task: follower.publish() for task, follower in self._followers.items()}
        write_whole(self._state / FILE, msgspec.json.encode(outlook))


def _may_be(expected: Expected, margin: float) -> float:
    """Beyond what disagreement evidence is refuted: what the sample leaves open at a hundredth, and the margin."""
    levels = [bound for level, bound in expected.bounds if level >= _LEVEL]
    return min(max(levels) + margin, _MOST_CENTRE)


def _process(kept: EProcessState | None, null: float, alpha: float) -> EProcess:
    if kept is not None:
        return EProcess.from_state(kept)
    return EProcess(null, alpha, low=0.0, high=1.0, drop=0.05, scatter=max(null * (1 - null), 0.02))


def _now_ms() -> int:
    return int(time.time() * 1000)
