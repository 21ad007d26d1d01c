"""What an improvement is going to do, step by step, and about what it costs: said before anything is done."""

from __future__ import annotations

import msgspec

from smallfirst.datasets.store import Datasets
from smallfirst.errors import SmallfirstError
from smallfirst.evals.estimate import Estimate, estimate, history
from smallfirst.evals.session import Home
from smallfirst.gate.bout import CALIBRATION_ROWS
from smallfirst.improve.improver import Asked, Improver
from smallfirst.improve.making import LEDGER, heads_of, models_of
from smallfirst.improve.record import Step


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One step. `cost` is for people; `done`: an earlier command has done it."""

    step: Step
    what: str
    cost: str = "nothing"
    done: bool = False


def plan_of(home: Home, asked: Asked, *, fresh: bool = False) -> list[Line]:
    """The steps in their order. Raises as `Improver` does."""
    improver = Improver(home, asked, fresh=fresh)
    task = home.config.tasks[asked.task]
    models = models_of(task)
    heads = heads_of(asked.task, home.config)
    answers, gate = _costs(home, asked, improver)
    stages = ", ".join(f"{share:.0%}" for share in asked.stages)
    what: list[tuple[Step, str, str]] = [
        ("dataset", _dataset(home, asked), "nothing"),
        ("head", f"train {', '.join(heads)} on the train part" if heads else "nothing to train", "nothing"),
        ("answers", f"ask {', '.join(models)} the calibration part", answers),
        ("router", f"choose what stays small, losing at most {task.models_margin:g}", "nothing"),
        ("release", "build a candidate: this task changed, every other as it is live", "nothing"),
        (
            "gate",
            "compare it with what is live and with the frontier on held-out examples; spends a read",
            gate,
        ),
        (
            "canary",
            f"let it answer {stages} of the calls, watched"
            if stages
            else "propose it: nobody's calls change",
            "nothing",
        ),
    ]
    return [
        Line(
            step=step,
            what=told,
            cost=cost,
            done=step in improver.record.steps and improver.record.steps[step].state != "begun",
        )
        for step, told, cost in what
    ]


def _dataset(home: Home, asked: Asked) -> str:
    datasets = Datasets(home.state)
    newest = datasets.newest(asked.task)
    if asked.dataset not in ("", "build"):
        return f"use {asked.dataset}"
    if asked.dataset == "" and newest and LEDGER not in datasets.open(newest).manifest.sources:
        return f"use {newest[:12]}, the newest: it was made of files"
    return "build one from the ledger" + (f", continuing {newest[:12]}" if newest else "")


def _costs(home: Home, asked: Asked, improver: Improver) -> tuple[str, str]:
    """What the two steps that ask models cost: by the newest dataset, where there is one."""
    datasets = Datasets(home.state)
    newest = datasets.newest(asked.task) if asked.dataset in ("", "build", "newest") else asked.dataset
    if newest is None:
        return "known once there is a dataset", "known once there is a dataset"
    try:
        plan = improver.plan(newest)
        found = estimate(
            plan.work, home.config, answers={}, judge=plan.judge, history=history(home.config, home.state)
        )
    except SmallfirstError:  # such as a head that is not trained yet: then nothing can be asked either
        return "known once the head is trained", "known once the head is trained"
    rows = len(plan.work.examples)
    heldout = datasets.open(newest, task=asked.task).manifest.parts["heldout"].rows
    more = (heldout + min(rows, CALIBRATION_ROWS)) / rows if rows else 0.0
    return _usd(found, 1.0), _usd(found, more)


def _usd(found: Estimate, factor: float) -> str:
    if found.usd is None:
        return "an unknown sum: a model has no price"
    simulated = " (simulated)" if found.real_usd == 0 and found.usd > 0 else ""
    return f"${found.usd * factor:,.4f}{simulated}"
