"""What the gate finds of a cache rule without asking anybody.

A cache that answers the same call with the same answer loses nothing. A semantic one may lose its δ, which comes off the margin that the
models' answers must keep. Where a candidate asks the same of the same models as what is live, and only its cache rule differs, nothing is
put to them again: what was proven of their answers holds, and has to hold at what is left of the margin.
"""

from __future__ import annotations

import msgspec

from smallfirst.config.schema import TaskGate
from smallfirst.gate.judging import cache_budget
from smallfirst.releases import Policy
from smallfirst.releases.verdict import INTENTS, Comparison, TaskVerdict


class Beside(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate's policy stands beside: the live one and the frontier alone. `proven` is what was found of the live one, None where
    nothing was, or nothing that counts; `is_baseline`: what is live needs no proof.
    """

    live: Policy
    frontier: Policy
    rule_hash: str
    proven: TaskVerdict | None = None
    is_baseline: bool = False


def settled(policy: Policy, gate: TaskGate, beside: Beside) -> TaskVerdict | None:
    """The verdict on a policy, where its cache rule alone decides it; None where answers must be compared."""
    if why := refusal(policy, gate):
        return _verdict(policy, gate, beside, finding="fail", note=why)
    if policy.answers_hash != beside.live.answers_hash or not (beside.is_baseline or beside.proven):
        return None
    same = (
        "its models are asked the same as the live release's, and only which answers are given again differs"
    )
    if policy.models_margin >= beside.live.models_margin:
        return _verdict(policy, gate, beside, note=same)
    if policy.answers_hash == beside.frontier.answers_hash:
        why = f"its answers are the frontier's, and the cache may lose {policy.cache.error_max:g}"
        return _verdict(policy, gate, beside, note=f"{same}; {why}")
    carried = _carried(policy, gate, beside.proven)
    if not carried:
        return None
    why = (
        f"what was shown of their answers holds at the margin of {policy.margin:g} less the {policy.cache.error_max:g} that its cache "
        "may lose, too"
    )
    return _verdict(policy, gate, beside, note=f"{same}; {why}", comparisons=carried)


def refusal(policy: Policy, gate: TaskGate) -> str:
    """Why no answers could make up for this cache rule; empty where they may."""
    delta, limit = policy.cache.error_max, gate.cache_error_max
    if limit is not None and delta > limit:
        return f"its cache may answer {delta:g} of all calls wrongly (cache.semantic.delta), and gate.cache_error_max is {limit:g}"
    if delta and policy.models_margin <= 0:
        return (
            f"its cache may lose {delta:g} (cache.semantic.delta), and the whole margin is {policy.margin:g}"
        )
    return ""


def cautions(policy: Policy) -> tuple[str, ...]:
    """What a verdict says of the margin; nothing where all of it is the models'."""
    delta = policy.cache.error_max
    if not delta:
        return ()
    return (f"the margin is {policy.margin:g} less the {delta:g} that the semantic cache may lose",)


def _carried(policy: Policy, gate: TaskGate, proven: TaskVerdict | None) -> tuple[Comparison, ...]:
    """The comparisons with the frontier that were made of the same answers, at what is left of the margin; nothing where one does not hold
    there. Their bounds hold at every margin: the read that was paid for them was of the loss.
    """
    found: list[Comparison] = []
    for one in () if proven is None else proven.comparisons:
        if one.against != "frontier" or one.slice == INTENTS:
            continue
        narrow = policy.models_margin if not one.slice or gate.slice_margin is None else gate.slice_margin
        if one.bound >= narrow:
            return ()
        found.append(msgspec.structs.replace(one, margin=narrow))
    return tuple(found) if any(not one.slice for one in found) else ()


def _verdict(
    policy: Policy,
    gate: TaskGate,
    beside: Beside,
    *,
    note: str,
    finding: str = "pass",
    comparisons: tuple[Comparison, ...] = (),
) -> TaskVerdict:
    proven = beside.proven if comparisons else None
    budget = cache_budget(policy.cache.error_max, gate.cache_error_max)
    return TaskVerdict(
        task=policy.task,
        finding="fail" if finding == "fail" else "pass",
        policy=policy.hash,
        live_policy=beside.live.hash,
        rule=beside.rule_hash,
        dataset=proven.dataset if proven else "",
        scorer=proven.scorer if proven else "",
        comparisons=comparisons,
        budgets=() if budget is None else (budget,),
        disagreement=None if beside.proven is None else beside.proven.disagreement,
        note=note,
    )
