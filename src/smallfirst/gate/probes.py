"""The probe set: a few fixed prompts whose answers tell whether a small model is still the one that was compared.

A hosted model may change under its name, and so may an engine's settings. Its provider's name and fingerprint are compared on every call;
where those say nothing, answers at temperature 0 do.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from smallfirst.answering.check import compile_check
from smallfirst.answering.offline import Bench
from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.arm import Arm
from smallfirst.evals.books import Books
from smallfirst.evals.question import ask, at_most_nusd, request_of
from smallfirst.evals.till import Till, TillPurse
from smallfirst.releases import Policy, RungPolicy
from smallfirst.releases.policy import canonical

PROBES = 8


def probe_set(examples: Sequence[Example]) -> list[Example]:
    """The probes among calibration examples: the same ones for the same dataset, whatever their order."""
    return sorted(examples, key=lambda one: hashlib.sha256(one.id.encode()).digest())[:PROBES]


def probed_rungs(policy: Policy) -> list[RungPolicy]:
    """The models that are probed: those below the frontier. A label head is not, for its weights are in the release."""
    return [rung for rung in policy.ladder[:-1] if not rung.head]


class Paying(msgspec.Struct, frozen=True):
    """Whose money probes are asked with, and where the calls are noted."""

    till: Till
    books: Books


async def probe(
    policy: Policy, rung: RungPolicy, probes: Sequence[Example], bench: Bench, paying: Paying
) -> str:
    """The hash of a model's answers to the probes; empty where it is of no use: asked twice it does not answer the same, or not at all.

    Raises `EvalError` where the till does not pay for them.
    """
    try:
        first = await _answers(policy, rung, probes, bench, paying)
        if first is None or first != await _answers(policy, rung, probes, bench, paying):
            return ""
        return hashlib.sha256(canonical(first)).hexdigest()
    finally:
        await paying.books.close()


async def _answers(
    policy: Policy, rung: RungPolicy, probes: Sequence[Example], bench: Bench, paying: Paying
) -> list[tuple[str, str]] | None:
    # Without examples: what is looked for is another model, not another neighbour.
    steady = msgspec.structs.replace(rung, temperature=0.0, sample=1.0, timeout_s=None, retrieve=None)
    alone = msgspec.structs.replace(policy, ladder=(steady,), router=None)
    arm = Arm(name=rung.model, policy=alone, frontier=False)
    check = compile_check(policy.contract)
    found = []
    for one in probes:
        incoming = request_of(one, arm, policy.contract, bench.answerer)
        aside = at_most_nusd(incoming, arm, bench.answerer, TillPurse(paying.till)) or 0
        if not await paying.till.admit(aside):
            raise EvalError(f"what is left does not pay for the probes of {rung.model}, see --max-usd")
        purse = TillPurse(paying.till, aside)
        try:
            told = await ask(incoming, arm, answerer=bench.answerer, router=None, check=check, purse=purse)
        finally:
            await paying.till.close(aside)
            await paying.books.beside(purse.attempts, {"by": "probe", "example": one.id})
        if told.error is not None:
            return None
        found.append((one.id, told.output))
    return found
