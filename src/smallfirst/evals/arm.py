"""What answers in an evaluation: a model by itself, a release's policy, or the frontier alone."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

import msgspec

from smallfirst.config.schema import Config, Rung
from smallfirst.errors import EvalError
from smallfirst.releases import Policy, Release
from smallfirst.releases.learned import NOTHING_LEARNED, Learned
from smallfirst.releases.policy import baseline_policy, policy_from_task

FRONTIER = "frontier"


class Arm(msgspec.Struct, frozen=True, kw_only=True):
    """A policy under a name that is unique in its run. What it answers is scored; its answers are never compared but by example.

    `release` is the id of the release that the policy is from: its weights are read from there; empty for a policy made of the
    configuration, whose weights are this state directory's artifacts. `frontier`: whether its last rung counts as a frontier model.
    """

    name: str
    policy: Policy
    release: str = ""
    frontier: bool = True
    baseline: bool = False  # what the user had before: the frontier alone
    seed: int | None = None  # sent along where the model's dialect has a word for it, so that samples differ

    @property
    def models(self) -> tuple[str, ...]:
        """Whom it may ask: its ladder, and the model that its router asks."""
        asked = self.policy.router.asked if self.policy.router is not None else None
        names = [rung.model for rung in self.policy.ladder] + ([asked.model] if asked is not None else [])
        return tuple(dict.fromkeys(names))


def frontier_model(task: str, config: Config) -> str:
    """The name of the model that the baseline sends this task to. Raises `EvalError` for an unknown task."""
    _check_task(task, config)
    return config.frontier or _as_rung(config.tasks[task].ladder[-1]).model


def frontier_arm(task: str, config: Config, *, name: str = FRONTIER) -> Arm:
    """What the user had before: the frontier model alone. Raises `EvalError` for an unknown task."""
    _check_task(task, config)
    return Arm(name=name, policy=baseline_policy(task, config), baseline=True)


def model_arm(name: str, task: str, config: Config, learned: Learned = NOTHING_LEARNED) -> Arm:
    """The task's policy with this model as its one rung: the same contract and instructions, and nobody to climb to.

    An answer that does not keep the contract is released all the same, and counted. A model that the ladder names is asked as it is
    asked there, but for its share and its patience. Raises `EvalError` for an unknown model or task, `ReleaseError` where it is a head
    that was never trained.
    """
    _check_task(task, config)
    name = config.aliases.get(name, name)
    if name not in config.models:
        raise EvalError(_unknown("model", name, config.models))
    told = config.tasks[task]
    rung = next((rung for rung in map(_as_rung, told.ladder) if rung.model == name), Rung(model=name))
    rung = msgspec.structs.replace(rung, sample=1.0, timeout_s=None)
    alone = msgspec.structs.replace(
        told, ladder=(rung,), router=msgspec.structs.replace(told.router, fit="none")
    )
    policy = policy_from_task(
        task, msgspec.structs.replace(config, tasks=config.tasks | {task: alone}), learned
    )
    return Arm(name=name, policy=policy, frontier=name in _frontiers(config))


def release_arm(release: Release, task: str, *, name: str = "") -> Arm:
    """The task's policy of a release. Raises `EvalError` where the release has none."""
    if task not in release.policies:
        raise EvalError(_unknown("task", task, release.policies) + f" in release {release.id[:12]}")
    return Arm(name=name or f"release:{release.id[:12]}", policy=release.policies[task], release=release.id)


def check_names(arms: Iterable[Arm]) -> None:
    """Raises `EvalError` where two arms have the same name, or there is none."""
    names = [arm.name for arm in arms]
    if not names:
        raise EvalError("nothing to evaluate: give --model or --release")
    for name in names:
        if names.count(name) > 1:
            raise EvalError(f"{name!r} is given twice: each of what is compared needs a name of its own")


def _frontiers(config: Config) -> set[str]:
    """The models that stand last on a ladder, and the one named as frontier."""
    lasts = {_as_rung(task.ladder[-1]).model for task in config.tasks.values()}
    return lasts | ({config.frontier} if config.frontier else set())


def _as_rung(rung: str | Rung) -> Rung:
    return Rung(model=rung) if isinstance(rung, str) else rung


def _check_task(task: str, config: Config) -> None:
    if task not in config.tasks:
        raise EvalError(_unknown("task", task, config.tasks))


def _unknown(what: str, name: str, known: Iterable[str]) -> str:
    names = sorted(known)
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(names[:20]) or 'none'}"
    return f"{what} {name!r} is not configured; {hint}"
