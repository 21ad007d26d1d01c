"""All that decides a task's answers, as one hashed value.

A policy names what the models *are* (provider, upstream id, weights), not only what the configuration calls them: if the configuration is
edited so that a name means something else, the policy no longer fits it and is refused rather than served under false evidence.
"""

from __future__ import annotations

import hashlib

import msgspec

from smallfirst.config.schema import Config, Rung
from smallfirst.contracts import Contract, TextContract
from smallfirst.errors import ReleaseError


class RungPolicy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rung: who is asked, and how. `sample` is the share of calls that may begin here."""

    model: str
    provider: str
    upstream_id: str
    weights_sha256: str | None = None
    instructions: str | None = None
    constrained: bool = True
    max_tokens: int | None = None
    temperature: float | None = None
    timeout_s: float | None = None
    sample: float = 1.0


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How calls of one task are answered. The last rung is the frontier model; what it answers is released even if unmet."""

    task: str
    contract: Contract
    ladder: tuple[RungPolicy, ...]
    instructions: str | None = None
    margin: float = 0.02
    latency_ms: float | None = None

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON, in hex."""
        return hashlib.sha256(canonical(self)).hexdigest()


def canonical(value: object) -> bytes:
    """One byte string for one meaning: JSON with sorted keys, defaults written out, no spaces."""
    return msgspec.json.encode(msgspec.to_builtins(value), order="sorted")


def policy_from_task(name: str, config: Config) -> Policy:
    """The policy that `[tasks.NAME]` describes. Raises `ReleaseError` where it names a model that is not configured."""
    task = config.tasks[name]
    return Policy(
        task=name,
        contract=task.contract,
        ladder=tuple(_rung(name, rung, config) for rung in task.ladder),
        instructions=task.instructions,
        margin=task.margin,
        latency_ms=task.latency_ms,
    )


def baseline_policy(name: str, config: Config) -> Policy:
    """What the user had before: the frontier model alone, its answers unchecked."""
    task = config.tasks[name]
    return Policy(
        task=name,
        contract=TextContract(),
        ladder=(_rung(name, config.frontier or task.ladder[-1], config),),
        instructions=task.instructions,
        margin=task.margin,
        latency_ms=task.latency_ms,
    )


def misfits(policy: Policy, config: Config) -> list[str]:
    """Why this policy cannot be served by this configuration; empty if it can."""
    found = []
    for rung in policy.ladder:
        model = config.models.get(rung.model)
        if model is None:
            found.append(f"task {policy.task!r}: model {rung.model!r} is no longer configured")
            continue
        is_now = (model.provider, model.id or rung.model, model.weights_sha256)
        if is_now != (rung.provider, rung.upstream_id, rung.weights_sha256):
            was = f"{rung.provider}/{rung.upstream_id}"
            found.append(
                f"task {policy.task!r}: {rung.model!r} was {was} when the release was built, now it is {is_now[0]}/{is_now[1]}"
            )
    return found


def _rung(task: str, rung: str | Rung, config: Config) -> RungPolicy:
    rung = Rung(model=rung) if isinstance(rung, str) else rung
    model = config.models.get(rung.model)
    if model is None:
        raise ReleaseError(f"tasks.{task}.ladder: model {rung.model!r} is not in [models]")
    return RungPolicy(
        model=rung.model,
        provider=model.provider,
        upstream_id=model.id or rung.model,
        weights_sha256=model.weights_sha256,
        instructions=rung.instructions,
        constrained=rung.constrained,
        max_tokens=rung.max_tokens,
        temperature=rung.temperature,
        timeout_s=rung.timeout_s,
        sample=rung.sample,
    )
