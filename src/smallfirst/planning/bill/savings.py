"""What was saved, and by what: parts that add up to the nano-dollar.

For the answered calls of clients whose tasks can be compared,

    paid + provider prompt caching + the cache + the ladder = the same calls on the frontier alone,
                                                              every token of their prompts at its plain price

Prompt caching is known from every attempt. The cache's part is what its hits had cost when they were first asked,
known as well. The ladder's is the rest: it is as exact as the right side is, and has that side's interval. A hit is a
call like another on the right side, and is paid for with nothing on the left: it is counted once.

What it took to know that this is no loss (shadows, spot checks, exploration, evaluations) and own models' hours are
taken off: what is left is the net.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from smallfirst.planning.bill.counterfactual import CONFIDENCE, Counterfactual, TaskCounterfactual, together
from smallfirst.planning.bill.lines import Section


class Saved(msgspec.Struct, frozen=True, kw_only=True):
    """What was saved on one task's calls, or on all that can be compared (`task` empty, in `Savings.total`).

    `full_nusd` is the frontier alone at plain prices, with its interval. Below 0: it cost more. Unknown is None.
    """

    task: str
    calls: int
    full_nusd: int | None
    full_low_nusd: int | None
    full_high_nusd: int | None
    prompt_cache_nusd: int
    cache_nusd: int
    unknown_hits: int
    ladder_nusd: int | None
    ladder_low_nusd: int | None
    ladder_high_nusd: int | None
    paid_nusd: int


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What one origin of our own cost; attempts of unknown price are not in it."""

    origin: str
    cost_nusd: int
    unknown_attempts: int


class Savings(msgspec.Struct, frozen=True, kw_only=True):
    """All of it. `total` is over the tasks whose frontier's cost is known; of the `unknown_tasks` calls
    `unknown_paid_nusd` was paid. `beside_nusd` was paid for calls of clients without an answer or of a price that is
    partly unknown: on the frontier alone they had cost something too, and nobody knows what.

    `net_nusd` is what the three saved, less proof and own models' hours. `paid` of all tasks, `beside_nusd`, proof and
    own models' hours add up to the bill's total.
    """

    tasks: tuple[Saved, ...]
    total: Saved
    unknown_tasks: tuple[str, ...]
    unknown_paid_nusd: int
    beside_nusd: int
    proof: tuple[Proof, ...]
    proof_nusd: int
    own_models_nusd: int
    net_nusd: int | None
    net_low_nusd: int | None
    net_high_nusd: int | None
    total_nusd: int
    simulated: bool
    confidence: float = CONFIDENCE


def savings_of(compared: Counterfactual, sections: Iterable[Section], own_models_nusd: int) -> Savings | None:
    """None where no answered call of a client is in the span."""
    if not compared.tasks:
        return None
    known = [task for task in compared.tasks if task.full_nusd is not None]
    unknown = [task for task in compared.tasks if task.full_nusd is None]
    total = _saved("", known)
    totals = {section.origin: section.total for section in sections}
    proof = tuple(
        Proof(origin=origin, cost_nusd=line.cost_nusd, unknown_attempts=line.unknown_attempts)
        for origin, line in totals.items()
        if origin != "client"
    )
    proof_nusd = sum(one.cost_nusd for one in proof)
    unknown_paid = sum(task.paid_nusd for task in unknown)
    client = totals["client"].cost_nusd if "client" in totals else 0
    off = proof_nusd + own_models_nusd
    return Savings(
        tasks=tuple(_saved(task.task, [task]) for task in compared.tasks),
        total=total,
        unknown_tasks=tuple(task.task for task in unknown),
        unknown_paid_nusd=unknown_paid,
        beside_nusd=client - total.paid_nusd - unknown_paid,
        proof=proof,
        proof_nusd=proof_nusd,
        own_models_nusd=own_models_nusd,
        net_nusd=_net(total.full_nusd, total.paid_nusd, off) if known else None,
        net_low_nusd=_net(total.full_low_nusd, total.paid_nusd, off) if known else None,
        net_high_nusd=_net(total.full_high_nusd, total.paid_nusd, off) if known else None,
        total_nusd=client + off,
        simulated=compared.simulated,
    )


def _saved(name: str, tasks: Sequence[TaskCounterfactual]) -> Saved:
    full, low, high = together(tasks, full=True)
    paid = sum(task.paid_nusd for task in tasks)
    prompt_cache = sum(task.prompt_cache_saved_nusd for task in tasks)
    cache = sum(task.cache_saved_nusd for task in tasks)
    beside_ladder = paid + prompt_cache + cache
    return Saved(
        task=name,
        calls=sum(task.calls for task in tasks),
        full_nusd=full,
        full_low_nusd=low,
        full_high_nusd=high,
        prompt_cache_nusd=prompt_cache,
        cache_nusd=cache,
        unknown_hits=sum(task.unknown_hits for task in tasks),
        ladder_nusd=None if full is None else full - beside_ladder,
        ladder_low_nusd=None if low is None else low - beside_ladder,
        ladder_high_nusd=None if high is None else high - beside_ladder,
        paid_nusd=paid,
    )


def _net(full_nusd: int | None, paid_nusd: int, off_nusd: int) -> int | None:
    return None if full_nusd is None else full_nusd - paid_nusd - off_nusd
