"""Which rungs of its task's ladder a call is put to, in order, and why the others are not asked.

A rung is skipped when it could not do the call: it is not ready or full, its context is too short, it has no tools where tools are offered, several
choices are wanted, or the call is outside the share that the policy lets begin there. The last rung is never skipped.
"""

from __future__ import annotations

import zlib

import msgspec

from smallfirst.models import Catalogue
from smallfirst.models.model import Model
from smallfirst.releases.policy import Policy, RungPolicy
from smallfirst.wire.incoming import Incoming

_BYTES_PER_TOKEN = 3  # on the low side for text, so that a context is not overrun


class Step(msgspec.Struct, frozen=True):
    """One rung: asked, or skipped for the reason given."""

    rung: int
    model: str
    skipped: str = ""


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """What was chosen for one call, and why."""

    task: str
    steps: tuple[Step, ...]

    @property
    def asked(self) -> list[int]:
        return [step.rung for step in self.steps if not step.skipped]

    def record(self) -> dict[str, object]:
        """As the ledger keeps it: where the climb began and what was passed over."""
        return {
            "begin": self.asked[0],
            "skipped": {step.model: step.skipped for step in self.steps if step.skipped},
        }


def decide(policy: Policy, incoming: Incoming, catalogue: Catalogue) -> Decision:
    """The steps of a call, cheapest first. Pure but for the state of the endpoints."""
    last = len(policy.ladder) - 1
    steps = tuple(
        Step(index, rung.model, "" if index == last else why_not(rung, catalogue.get(rung.model), incoming))
        for index, rung in enumerate(policy.ladder)
    )
    return Decision(task=policy.task, steps=steps)


def why_not(rung: RungPolicy, model: Model, incoming: Incoming) -> str:
    """Why this rung is not asked; empty if it is."""
    if rung.sample < 1 and draw(incoming) >= rung.sample:
        return f"outside the sample of {rung.sample:.1%}"
    body = incoming.body
    if body.tools_count and not model.tools:
        return "tools are offered, the model has none"
    if body.choices > 1:
        return "several choices are wanted"
    if model.context_tokens is not None:
        needed = len(incoming.data) // _BYTES_PER_TOKEN + (body.max_output_tokens or rung.max_tokens or 0)
        if needed > model.context_tokens:
            return f"about {needed} tokens, more than its context of {model.context_tokens}"
    if not model.endpoints.usable:
        return "not ready, or its circuit breaker is open"
    if model.full:
        return f"{model.in_flight} calls in flight, as many as it takes"
    return ""


def draw(incoming: Incoming) -> float:
    """A number in [0, 1) that is the same for the same request: a call that is asked again begins at the same rung."""
    return zlib.crc32(incoming.data) / 2**32
