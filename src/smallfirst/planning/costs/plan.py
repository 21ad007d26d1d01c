"""A whole plan: the ways beside each other, where they cross, what moves them, and what a factor of the bill needs."""

from __future__ import annotations

from fractions import Fraction

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.basis import Basis
from smallfirst.planning.costs.break_even import BreakEven
from smallfirst.planning.costs.crossings import crossings
from smallfirst.planning.costs.exact import exact
from smallfirst.planning.costs.inputs import Inputs, Source
from smallfirst.planning.costs.knobs import knobs_of
from smallfirst.planning.costs.now import FOLLOWED, Now
from smallfirst.planning.costs.quote import Quote
from smallfirst.planning.costs.ratio import Needs, needs
from smallfirst.planning.costs.saved import ExpectedDay, SavedPlan
from smallfirst.planning.costs.sensitivity import Sensitivity, Turn, sensitivity, turns
from smallfirst.planning.costs.ways import Way, cheapest, ways_of
from smallfirst.planning.costs.which_gpu import WhichGPU


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """All that is told. `way` is the chosen one: the cheapest that can be served, or the one that was asked for. `needs` are for its small model."""

    inputs: Inputs
    sources: dict[str, Source]
    frontier: Quote
    hosted: Quote | None
    own: str  # what the fleet's figures come from; empty without own GPUs
    ways: tuple[Way, ...]
    cheapest: str
    way: str
    break_even: tuple[BreakEven, ...]
    needs: tuple[Needs, ...]
    sensitivity: Sensitivity
    turns: tuple[Turn, ...]
    which_gpu: WhichGPU | None = None  # where there was a choice
    now: Now | None = None  # where the ledger was read

    @property
    def not_as_measured(self) -> tuple[str, ...]:
        """Inputs of `now` that are not what was measured with it."""
        there = [(name, self.sources.get(name)) for name in FOLLOWED]
        return tuple(name for name, source in there if source is None or source.kind != "measured")

    def named(self, name: str) -> Way | None:
        """One way; None where it was not priced."""
        return next((way for way in self.ways if way.name == name), None)


def make_plan(
    inputs: Inputs, sources: dict[str, Source], basis: Basis, which_gpu: WhichGPU | None = None
) -> Plan:
    """The plan of inputs whose prices and machines were found. Raises `ConfigError` for a `way` or a range that is not there."""
    ways = ways_of(basis)
    best = cheapest(ways)
    way = best if inputs.way is None else _asked_for(inputs.way, ways)
    knobs = knobs_of(basis, inputs.ranges)
    if basis.own is not None:
        inputs = msgspec.structs.replace(inputs, gpu_usd_per_hour=float(basis.own.usd_per_hour))
    return Plan(
        inputs=inputs,
        sources=sources,
        frontier=basis.frontier,
        hosted=basis.hosted,
        own=basis.own.source if basis.own is not None else "",
        ways=ways,
        cheapest=best.name,
        way=way.name,
        break_even=crossings(basis),
        needs=_needs(inputs, basis, ways),
        sensitivity=sensitivity(way.name, basis, knobs),
        turns=turns(basis, knobs),
        which_gpu=which_gpu,
        now=basis.now,
    )


def _asked_for(name: str, ways: tuple[Way, ...]) -> Way:
    found = next((way for way in ways if way.name == name), None)
    if found is None:
        raise ConfigError(
            f"no way {name!r} here; those there are: {', '.join(way.name for way in ways)}", path="--way"
        )
    return found


def small_prices(basis: Basis, ways: tuple[Way, ...]) -> dict[str, float]:
    """s for each small model: what a call to it costs, as a share of a frontier call. That of own GPUs is the provisioned one, at this volume."""
    frontier = basis.frontier_usd
    found: dict[str, float] = {}
    if not frontier:
        return found
    if basis.hosted is not None and basis.hosted_usd is not None:
        found[basis.hosted.name] = float(basis.hosted_usd / frontier)
    if basis.now is not None and basis.workload.small_per_day:
        hours = exact(basis.now.hours_usd_per_day) / basis.workload.small_per_day
        name = f"{' or '.join(basis.now.models)} as measured"
        found[name] = float((basis.now_usd + hours) / frontier)
    own = next((way for way in ways if way.name == "own"), None)
    if own is not None and basis.own is not None and basis.workload.small_per_day:
        gpus = exact(own.parts_usd_per_day["gpus"])
        found[f"{basis.own.model} on own GPUs, provisioned for this volume,"] = float(
            gpus / basis.workload.small_per_day / frontier
        )
    return found


def _needs(inputs: Inputs, basis: Basis, ways: tuple[Way, ...]) -> tuple[Needs, ...]:
    if inputs.target is None:
        return ()
    work = basis.workload
    return tuple(
        needs(
            inputs.target,
            small=name,
            small_price=s,
            hit_rate=work.cache_hit_rate,
            frontier_share=work.frontier_share,
            climbed_share=work.climbed_share,
        )
        for name, s in small_prices(basis, ways).items()
    )


def to_save(plan: Plan, basis: Basis, name: str, *, task: str, made_ms: int, made_by: str) -> SavedPlan:
    """The forecast of the plan's chosen way."""
    way = plan.named(plan.way)
    assert way is not None
    if not way.served:
        raise ConfigError(f"{way.name} can only be compared with: choose another with --way", path="--save")
    return SavedPlan(
        name=name,
        made_ms=made_ms,
        made_by=made_by,
        task=task,
        inputs=plan.inputs,
        sources=plan.sources,
        frontier=plan.frontier,
        hosted=plan.hosted,
        ways=plan.ways,
        way=way.name,
        day=_day(way, plan, basis),
    )


def _day(way: Way, plan: Plan, basis: Basis) -> ExpectedDay:
    work, parts = basis.workload, way.parts_usd_per_day
    ladder = way.is_ladder
    hit_rate = 0.0 if way.name == "frontier" else work.cache_hit_rate
    calls = exact(work.calls_per_day)
    missed = calls * (1 - exact(hit_rate))
    by_call = parts.get("hosted", 0.0) + parts.get("small", 0.0)
    quotes = [basis.frontier, basis.hosted if "hosted" in parts or "overflow" in parts else None]
    return ExpectedDay(
        calls=work.calls_per_day,
        cache_hits=float(calls - missed),
        frontier_calls=float(work.frontier_per_day if ladder else missed),
        small_calls=float(work.small_per_day) if ladder else 0.0,
        input_tokens_per_call=work.input_tokens,
        output_tokens_per_call=work.output_tokens,
        cached_share=work.cached_share,
        cache_hit_rate=hit_rate,
        frontier_share=work.frontier_share if ladder else 1.0,
        frontier_call_usd=_each(parts["frontier"], work.frontier_per_day if ladder else missed),
        small_call_usd=_each(by_call, work.small_per_day) if {"hosted", "small"} & {*parts} else None,
        frontier_usd=parts["frontier"],
        small_usd=by_call + parts.get("overflow", 0.0),
        fixed_usd=parts.get("gpus", 0.0) + parts.get("hours", 0.0),
        total_usd=way.day_usd,
        all_frontier_usd=plan.ways[0].day_usd,
        prices={quote.name: quote.version for quote in quotes if quote is not None},
    )


def _each(usd: float, calls: Fraction) -> float:
    """What one of them costs, batches with the others."""
    return float(exact(usd) / calls) if calls else 0.0
