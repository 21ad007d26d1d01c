"""Verdicts as the gate writes them, for tests of what is done with them."""

from __future__ import annotations

from pathlib import Path

from smallfirst.config.schema import Config
from smallfirst.releases import BASELINE, Releases, Verdict, Verdicts
from smallfirst.releases.rule import task_rule_hash
from smallfirst.releases.verdict import Finding, Fingerprint, TaskVerdict


def verdict_on(
    name: str,
    state: Path,
    config: Config,
    *,
    comparator: str = BASELINE,
    finding: Finding = "pass",
    fingerprints: dict[str, Fingerprint] | None = None,
    at_ms: int = 1,
) -> Verdict:
    """A verdict on all tasks of a release that is kept in `state`, by the rule of the configuration."""
    release = Releases(state).load(name)
    tasks = tuple(
        TaskVerdict(
            task=task,
            finding=finding,
            policy=policy.hash,
            live_policy="",
            rule=task_rule_hash(config, task),
        )
        for task, policy in release.policies.items()
    )
    return Verdict(
        candidate=name,
        comparator=comparator,
        finding=finding,
        tasks=tasks,
        at_ms=at_ms,
        by="the tests",
        version="0",
        fingerprints=fingerprints or {},
    )


def prove(name: str, state: Path, config: Config, **changes: object) -> str:
    """Keeps such a verdict; its id."""
    return Verdicts(state).save(verdict_on(name, state, config, **changes))  # type: ignore[arg-type]
