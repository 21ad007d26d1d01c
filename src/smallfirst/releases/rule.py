"""The rule by which a task's candidates are judged: what of the configuration decides a verdict, so that a verdict can name it."""

from __future__ import annotations

from typing import Any

import msgspec

from smallfirst.config.schema import Config
from smallfirst.errors import ReleaseError
from smallfirst.releases.verdict import rule_hash

_DECIDES = ("alpha", "min_slice_rows")
"""Of `[gate]`. `power` only says how many more examples it takes; who approves and who signs is checked apart."""


def task_rule(config: Config, task: str) -> dict[str, Any]:
    """Everything in `[gate]` and `[tasks.TASK.gate]` that decides. The margin is the policy's, whose hash the verdict names too.

    Raises `ReleaseError` where the task is no longer configured.
    """
    if task not in config.tasks:
        raise ReleaseError(
            f"task {task!r} is not in the configuration any more, so there is no rule to judge it by"
        )
    return {
        "gate": {name: getattr(config.gate, name) for name in _DECIDES},
        "task": msgspec.to_builtins(config.tasks[task].gate),
    }


def task_rule_hash(config: Config, task: str) -> str:
    """The name of that rule: what a verdict says in `TaskVerdict.rule`."""
    return rule_hash(task_rule(config, task))
