"""The watch over one task of a canary: is it worse than its verdict said, dearer, slower, or broken more often than what is live?

Each question is a process that bets against "all is as expected" and is looked at after every observation: whoever peeks pays nothing,
and if all is as expected the probability that any of them *ever* raises an alarm is at most 1 − `rollout.confidence`. Pure, and whole in
its state: a watch that was saved and read back goes on as if nothing had happened.

- *quality*: of calls that a small model answered and the frontier was asked too, 1 − score with the frontier's answer as reference; its mean
  may be what the verdict measured in the same way on held-out examples (`watch_excess.py`).
- *labels*: of such calls, once what is right is known: score(frontier) − score(small); it may be the task's margin.
- *cost*: of all calls, over the live release's mean; it may be `cost_ratio` times that. One call counts at most `COST_CAP` times it.
- *latency*: the share of answered calls that took longer than the live release's 95th percentile, times `latency_ratio`, and longer than
  the task's latency budget; it may be one in ten.
- *errors*: the share of failed calls; it may be the live release's, half as much again, and two points.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from smallfirst.gate.watch_excess import Excess
from smallfirst.statistics.sequences import EProcess, EProcessState

Question = Literal["quality", "labels", "cost", "latency", "errors"]

ALPHA_SHARES: dict[Question, float] = {
    "quality": 0.9,
    "labels": 0.025,
    "cost": 0.025,
    "latency": 0.025,
    "errors": 0.025,
}
"""How α is divided (Bonferroni). Pairs are scarce and dear and calls are not, so quality has most of it: with a fortieth the
others need less than twice the calls."""

_AIM = 1.5
"""Stakes are aimed at a drop this much larger than the one to be caught: hardly more pairs for that one, and fewer for the next larger,
which does more harm (`python -m benchmarks.canary`)."""

COST_CAP = 20.0  # a call that costs more than this many times the live mean counts as so many
COST_RATIO = 1.25  # of the mean cost, where the task's gate says nothing
LATENCY_FLOOR_MS = 1000.0  # where the task has no latency budget
SLOW_SHARE = 0.10  # of calls slower than the live 95th percentile: twice what is usual
ERRORS_RATIO, ERRORS_POINTS = 1.5, 0.02
LEAST_USUAL = 100  # calls of what is live before anything is usual
_SCATTER_OF_LOSSES = 0.15  # the share of pairs of which one is right and one is wrong, supposed


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """What the frontier's disagreement with the candidate may be. `bounds` are (level, upper bound) pairs of what a verdict measured, or one pair of
    what is simply allowed; `by` says which.
    """

    mean: float
    bounds: tuple[tuple[float, float], ...]
    examples: int
    by: Literal["verdict", "margin"]


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """What the live release's calls of the task were like. `mean_nusd` is None where prices are unknown, or nothing was charged."""

    calls: int
    mean_nusd: float | None
    p95_ms: float
    failed: float


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """By what a task is watched."""

    alpha: float
    drop: float  # the loss beyond what is expected that must be caught
    margin: float
    cost_ratio: float = COST_RATIO
    latency_ratio: float = 1.0
    latency_floor_ms: float = LATENCY_FLOOR_MS  # no call that was answered within it is slow


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """One question as it stands: the mean of what was seen, the lower end of its confidence sequence, and what may be expected."""

    question: Question
    observations: int
    seen: float | None
    at_least: float
    expected: float
    alarm: bool  # it is more than may be expected: the canary must end


class WatchState(msgspec.Struct, kw_only=True):
    """A watch as it is saved."""

    task: str
    rule: Rule
    expected: Expected
    usual: Usual | None = None
    answered: int = 0  # calls of the canary that were answered
    by_small: int = 0  # of them, by a small model
    labels_alone: int = 0  # pairs whose label was there before they were compared
    quality: list[EProcessState] = []
    processes: dict[Question, EProcessState] = {}  # of the other questions


class TaskWatch:
    """Counts each pair, label and call that it is given; who calls sees to it that none comes twice."""

    def __init__(self, task: str, rule: Rule, expected: Expected) -> None:
        self._state = WatchState(task=task, rule=rule, expected=expected)
        self._processes: dict[Question, EProcess] = {}
        alpha = rule.alpha * ALPHA_SHARES["quality"]
        self._quality = Excess(expected.bounds, alpha, drop=rule.drop * _AIM)
        self._open("labels", _inside(rule.margin), drop=rule.drop, scatter=_SCATTER_OF_LOSSES, low=-1.0)

    @classmethod
    def from_state(cls, state: WatchState) -> TaskWatch:
        """The watch that was saved."""
        watch = cls(state.task, state.rule, state.expected)
        watch._resume(state)
        return watch

    def _resume(self, state: WatchState) -> None:
        self._state = state
        self._quality = Excess.from_state(state.quality)
        self._processes = {name: EProcess.from_state(each) for name, each in state.processes.items()}

    @property
    def state(self) -> WatchState:
        """All there is to it, to be saved."""
        processes = {name: each.state for name, each in self._processes.items()}
        return msgspec.structs.replace(self._state, quality=self._quality.state, processes=processes)

    @property
    def task(self) -> str:
        return self._state.task

    @property
    def pairs(self) -> int:
        """How many answers of small models were compared with the frontier's, or with what is right."""
        return self._quality.count + self._state.labels_alone

    @property
    def answered(self) -> int:
        """How many calls the canary has answered."""
        return self._state.answered

    @property
    def by_small(self) -> int:
        """How many of them a small model answered."""
        return self._state.by_small

    @property
    def small_share(self) -> float:
        """The share of answered calls that a small model answered; 1 before there are any."""
        return self._state.by_small / self._state.answered if self._state.answered else 1.0

    @property
    def expected(self) -> Expected:
        return self._state.expected

    @property
    def rule(self) -> Rule:
        return self._state.rule

    @property
    def usual(self) -> Usual | None:
        return self._state.usual

    def compare_with(self, usual: Usual) -> None:
        """What is usual from now on. It does not change any more: what is tested must not move with what was seen."""
        assert self._state.usual is None, "what is usual is set once"
        self._state.usual = usual
        rule = self._state.rule
        if usual.mean_nusd:
            mean = 1 / COST_CAP
            self._open(
                "cost", _inside(rule.cost_ratio * mean), drop=rule.cost_ratio * mean / 4, scatter=2 * mean**2
            )
        self._open("latency", SLOW_SHARE, drop=SLOW_SHARE, scatter=SLOW_SHARE * (1 - SLOW_SHARE))
        null = _inside(usual.failed * ERRORS_RATIO + ERRORS_POINTS)
        self._open("errors", null, drop=null, scatter=null * (1 - null))

    def add_pair(self, score: float) -> None:
        """The score in [0, 1] of a small model's answer, with the frontier's as reference."""
        self._quality.add(1.0 - score)

    def add_label(self, *, frontier: float, small: float, compared: bool = False) -> None:
        """The scores of both answers, with what is right as reference. `compared`: they were a pair before the label came."""
        self._processes["labels"].add(frontier - small)
        self._state.labels_alone += not compared

    def add_call(
        self, *, failed: bool, latency_ms: float, cost_nusd: int | None, by_small: bool = False
    ) -> None:
        """One call that the canary took. A cost that is unknown is compared with nothing."""
        usual = self._state.usual
        assert usual is not None, "calls are compared with what is usual"
        self._processes["errors"].add(float(failed))
        if not failed:
            self._state.answered += 1
            self._state.by_small += by_small
            rule = self._state.rule
            slow = latency_ms > max(usual.p95_ms * rule.latency_ratio, rule.latency_floor_ms)
            self._processes["latency"].add(float(slow))
        if cost_nusd is not None and usual.mean_nusd:
            self._processes["cost"].add(min(cost_nusd / (COST_CAP * usual.mean_nusd), 1.0))

    def estimates(self) -> list[Estimate]:
        """Every question as it stands, in its own unit: cost is a ratio to the live mean, the rest are shares."""
        quality = Estimate(
            question="quality",
            observations=self._quality.count,
            seen=self._quality.mean,
            at_least=self._quality.lower_bound,
            expected=self._state.expected.mean,
            alarm=self._quality.rejected,
        )
        return [quality, *(self._estimate(name, each) for name, each in self._processes.items())]

    def alarms(self) -> list[Estimate]:
        """What has gone wrong; an alarm that was raised stays."""
        return [each for each in self.estimates() if each.alarm]

    def _estimate(self, question: Question, process: EProcess) -> Estimate:
        unit = COST_CAP if question == "cost" else 1.0
        return Estimate(
            question=question,
            observations=process.count,
            seen=None if process.mean is None else process.mean * unit,
            at_least=process.lower_bound * unit,
            expected=process.null * unit,
            alarm=process.rejected,
        )

    def _open(
        self, question: Question, null: float, *, drop: float, scatter: float, low: float = 0.0
    ) -> None:
        alpha = self._state.rule.alpha * ALPHA_SHARES[question]
        self._processes[question] = EProcess(null, alpha, low=low, high=1.0, drop=drop, scatter=scatter)


def _inside(null: float) -> float:
    """A null that leaves room to bet on both sides."""
    return min(max(null, 0.001), 0.999)
