"""What a run is to compare: models and releases by name, made into arms, with the task's scorer and the frontier beside them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from smallfirst.config.finding import nearest_or_all
from smallfirst.config.schema import Task
from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.arm import check_names, frontier_arm, frontier_model, model_arm, release_arm
from smallfirst.evals.judging import JudgeAsk
from smallfirst.evals.material import Material
from smallfirst.evals.runner import Work
from smallfirst.evals.session import Home, scorer_of
from smallfirst.evals.store import Manifest, RunStore
from smallfirst.releases import LearnedHere, Releases


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The work, who judges it, and the arm that the others are compared with: the frontier where it is asked, else the first."""

    work: Work
    reference: str
    judge: JudgeAsk | None = None
    dataset: str = ""
    split: str = ""

    def manifest(self, home: Home, **beside: Any) -> Manifest:
        """How the run describes itself. `beside`: by, note, slices."""
        config = home.config
        pretend = frozenset(
            name for name, model in config.models.items() if config.providers[model.provider].simulated
        )
        return self.work.manifest(
            pretend,
            dataset=self.dataset,
            split=self.split,
            reference=self.reference,
            margin=config.tasks[self.work.task].margin,
            simulated_judge=self.judge.model
            if self.judge is not None and self.judge.model in pretend
            else "",
            **beside,
        )


def task_of(home: Home, name: str) -> Task:
    """Raises `EvalError` where there is no such task."""
    if name not in home.config.tasks:
        what = f"task {name!r} is not configured" if name else "--task is required"
        raise EvalError(what + nearest_or_all(name, home.config.tasks))
    return home.config.tasks[name]


def planned(
    home: Home,
    task: str,
    *,
    models: Sequence[str],
    releases: Sequence[str],
    found: Material,
    with_frontier: bool = True,
) -> Plan:
    """The plan of a new run. Raises `EvalError`, `ReleaseError`, `ScorerError` that name what is missing."""
    frontier = frontier_model(task, home.config)
    learned, stored = LearnedHere(home.state), Releases(home.state)
    arms = [model_arm(name, task, home.config, learned) for name in models]
    arms += [release_arm(stored.load(name), task) for name in releases]
    check_names(arms)
    names = [arm.name for arm in arms]
    if with_frontier and frontier not in names:
        arms.append(frontier_arm(task, home.config, name=frontier))
        names.append(frontier)
    told = home.config.tasks[task]
    scorer, judge = scorer_of(told.scorer, told.contract, home)
    return Plan(
        work=Work(task=task, contract=told.contract, scorer=scorer, arms=arms, examples=found.examples),
        reference=frontier if frontier in names else names[0],
        judge=judge,
        dataset=found.dataset,
        split=found.split,
    )


def planned_again(store: RunStore, home: Home) -> Plan:
    """The plan of a run that was begun. Raises `EvalError` where the configuration no longer says the same."""
    told = store.manifest()
    task_of(home, told.task)
    examples: Sequence[Example] = store.examples()
    plan = planned(
        home,
        told.task,
        models=[arm.name for arm in told.arms if not arm.release and not arm.baseline],
        releases=[arm.release for arm in told.arms if arm.release],
        found=Material(examples=tuple(examples), dataset=told.dataset, split=told.split),
        with_frontier=any(arm.baseline for arm in told.arms),
    )
    if plan.work.manifest().key != told.key:
        raise EvalError(
            f"run {store.name} cannot go on: its task, models or scorer are no longer what the configuration says; begin another"
        )
    return plan
