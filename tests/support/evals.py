"""Runs for tests of what reads them: made of scores, or asked of a scripted upstream."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from smallfirst.config.schema import Config, Model, Provider, Task
from smallfirst.contracts import LabelContract
from smallfirst.datasets.example import Example
from smallfirst.evals.arm import frontier_arm, model_arm
from smallfirst.evals.runner import Run, Work
from smallfirst.evals.session import Home
from smallfirst.evals.store import Answered, ArmTold, Manifest, examples_hash
from smallfirst.scoring import open_scorer

LABELS = ("billing", "bug", "how-to")
CONTRACT = LabelContract(labels=LABELS)


def example(at: int, **fields: Any) -> Example:
    told: dict[str, Any] = {
        "id": f"e-{at}",
        "messages": [{"role": "user", "content": f"question {at}"}],
        "label": LABELS[at % 3],
    }
    return Example(**(told | fields))


def answered(arm: str, at: int, **fields: Any) -> Answered:
    told: dict[str, Any] = {
        "output": LABELS[at % 3],
        "score": 1.0,
        "model": arm,
        "rung": 0,
        "latency_ms": 10.0 + at,
        "ttft_ms": 5.0,
        "cost_nusd": 1000,
    }
    return Answered(arm=arm, example=f"e-{at}", call=f"{arm}-{at}", **(told | fields))


def run_of(scores: Mapping[str, Sequence[float]], examples: Sequence[Example], **beside: Any) -> Run:
    """A run whose arms have these scores; the last is the reference."""
    manifest = Manifest(
        task="triage",
        arms=tuple(ArmTold(name=name, policy=name, models=(name,)) for name in scores),
        scorer="label@1",
        examples=examples_hash(examples),
        count=len(examples),
        reference=list(scores)[-1],
        **beside,
    )
    answers = {
        (name, examples[at].id): Answered(
            arm=name,
            example=examples[at].id,
            call=f"{name}-{at}",
            output="right" if score == 1 else "wrong",
            score=score,
            model=name,
            latency_ms=10.0 + at % 7,
            ttft_ms=10.0 + at % 7,
            cost_nusd=1000,
        )
        for name, column in scores.items()
        for at, score in enumerate(column)
    }
    return Run(manifest=manifest, examples=tuple(one.id for one in examples), answers=answers)


def config_for(base_url: str) -> Config:
    """Two models of one upstream, and a task whose ladder they are."""
    return Config(
        providers={"up": Provider(base_url=f"{base_url}/v1", max_attempts=1)},
        models={"small": Model(provider="up"), "big": Model(provider="up")},
        tasks={"triage": Task(ladder=("small", "big"), contract=CONTRACT)},
    )


def home_for(base_url: str, folder: Path) -> Home:
    return Home(config_for(base_url), folder / "state", folder, {})


def work_for(home: Home, count: int, *, arms: Sequence[str] = ("small", "big"), scorer: Any = None) -> Work:
    """The models named, by themselves, on so many examples."""
    config = home.config
    made = [
        frontier_arm("triage", config, name=name) if name == "big" else model_arm(name, "triage", config)
        for name in arms
    ]
    return Work(
        task="triage",
        contract=CONTRACT,
        scorer=scorer or open_scorer(config.tasks["triage"].scorer, CONTRACT),
        arms=made,
        examples=[example(at) for at in range(count)],
    )
