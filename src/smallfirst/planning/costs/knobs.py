"""What can be otherwise than a plan assumes: each input with the range that is plausible for it, and why."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.basis import Basis
from smallfirst.planning.costs.exact import exact
from smallfirst.planning.costs.own import Own, Throughput
from smallfirst.planning.costs.workload import Workload


class Range(msgspec.Struct, frozen=True, kw_only=True):
    """An input, what the plan has for it, between what it may plausibly be, and why that. `limits` are what it can be at all."""

    name: str
    base: float
    low: float
    high: float
    why: str
    limits: tuple[float, float]


class Knob(NamedTuple):
    """A range, and how a basis looks with another value of it."""

    range: Range
    turned: Callable[[Basis, float], Basis]


_HALF, _DOUBLE = 0.5, 2.0
_HALVINGS = 12
_WIDE = (0.01, 100.0)  # times the base: what is searched for a way that could win


def knobs_of(basis: Basis, given: dict[str, tuple[float, float]] | None = None) -> list[Knob]:
    """All that matters to this basis. `given` ranges of the user's take the place of the plausible ones. Raises `ConfigError` for a name or range
    that cannot be.
    """
    found = [
        *_of_workload(basis),
        *_of_prices(basis),
        *_of_machines(basis),
        *_of_spot(basis),
        *_of_serverless(basis),
    ]
    named = {knob.range.name: _widened(knob) for knob in found}
    for name, (low, high) in (given or {}).items():
        if name not in named:
            raise ConfigError(
                f"no input {name!r} matters here; those that do: {', '.join(named)}", path="--range"
            )
        named[name] = _narrowed(named[name], low, high)
    return list(named.values())


def _widened(knob: Knob) -> Knob:
    """What is planned can be, however unusual it is."""
    range_ = knob.range
    limits = (min(range_.limits[0], range_.low), max(range_.limits[1], range_.high))
    return knob._replace(range=msgspec.structs.replace(range_, limits=limits))


def _narrowed(knob: Knob, low: float, high: float) -> Knob:
    least, most = knob.range.limits
    if not (math.isfinite(low) and math.isfinite(high) and least <= low <= high <= most):
        raise ConfigError(
            f"{knob.range.name}: expected a range within {least:g}..{most:g}, lower end first, not {low:g}..{high:g}",
            path="--range",
        )
    return knob._replace(range=msgspec.structs.replace(knob.range, low=low, high=high, why="as given"))


def _of_workload(basis: Basis) -> list[Knob]:
    work = basis.workload
    ladder = any(way is not None for way in (basis.hosted, basis.own, basis.now))
    found = [
        _times("calls_per_day", work, _HALF, _DOUBLE, "volume seldom comes as it was forecast"),
        _tokens("input_tokens", basis, "prompts grow with examples and documents"),
        _tokens("output_tokens", basis, "answers are as long as they are asked to be"),
        _share("cached_share", work, 0.0, 0.8, "a long fixed prompt, or none that repeats"),
        _share("cache_hit_rate", work, 0.0, 0.5, "from no repeats to half of the calls"),
    ]
    if ladder:
        f = work.frontier_share
        found += [
            _share(
                "frontier_share",
                work,
                f / 2,
                min(1.0, 2 * f),
                "half or double: what the router and the margin leave",
            ),
            _share(
                "climbed_share",
                work,
                0.0,
                1.0,
                "from a router that knows before to a small model that is always asked first",
            ),
        ]
    if basis.own is not None:
        peak = work.peak_factor
        found.append(_peak(work, max(1.0, peak / 1.5), peak * 1.5))
    return found


def _of_prices(basis: Basis) -> list[Knob]:
    found = [_factor("frontier_price", 0.5, 1.25, "half of the price, or a quarter more", _frontier_times)]
    if basis.hosted is not None:
        found.append(
            _factor("hosted_price", 0.5, 2.0, "small models are sold at half to double", _hosted_times)
        )
    return found


def _of_machines(basis: Basis) -> list[Knob]:
    own = basis.own
    if own is None:
        return []
    price, offers = float(own.usd_per_hour), own.offers_usd_per_hour
    plausible, why = (price * 0.75, price * 2), "a better contract, or another seller"
    if len(offers) > 1:
        plausible, why = (min(offers), max(offers)), "the cheapest and the dearest offer seen"
    error = (
        "the error that the fleet model is held to"
        if own.latency is not None
        else "other calls than were measured"
    )
    return [
        _own("gpu_usd_per_hour", price, plausible, (price / 100, price * 100), why),
        _factor("throughput", 0.7, 1.3, error, _throughput_times),
        _own(
            "load",
            own.load,
            (min(0.5, own.load), max(0.85, own.load)),
            (0.05, 1.0),
            "how near to saturation a replica is run",
        ),
        _own("spare", float(own.spare), (0.0, float(own.spare + 1)), (0.0, 10.0), "no spare, or one more"),
    ]


def _of_spot(basis: Basis) -> list[Knob]:
    spot = basis.spot
    if basis.own is None or spot is None:
        return []
    dearer = "spot at a third of the price to nearly all of it"
    back = "a minute to half an hour until it serves again"
    return [
        _offer("spot", "price_factor", spot, (0.3, 0.9), (0.01, 1.0), dearer),
        _offer("spot", "floor_share", spot, (0.0, 1.0), (0.0, 1.0), "all spot, or none"),
        _offer(
            "spot", "preemptions_per_gpu_hour", spot, (0.0, 0.2), (0.0, 10.0), "never to every five hours"
        ),
        _offer("spot", "restart_s", spot, (60.0, 1800.0), (1.0, 36_000.0), back),
    ]


def _of_serverless(basis: Basis) -> list[Knob]:
    offer = basis.serverless
    if basis.own is None or offer is None:
        return []
    price = offer.usd_per_gpu_second
    plausible, limits = (price / 2, price * 2), (price / 100, price * 100)
    start, warm = "a snapshot, or weights over the network", "gone at once, or after ten minutes"
    return [
        _offer("serverless", "usd_per_gpu_second", offer, plausible, limits, "half to double"),
        _offer("serverless", "cold_start_s", offer, (5.0, 300.0), (0.0, 36_000.0), start),
        _offer("serverless", "keep_warm_s", offer, (0.0, 600.0), (0.0, 86_400.0), warm),
    ]


def _workload_with(name: str) -> Callable[[Basis, float], Basis]:
    def turned(basis: Basis, value: float) -> Basis:
        return basis._replace(workload=msgspec.structs.replace(basis.workload, **{name: value}))

    return turned


def _times(name: str, work: Workload, low: float, high: float, why: str) -> Knob:
    base = float(getattr(work, name))
    limits = (base * _WIDE[0], base * _WIDE[1])
    return Knob(
        Range(name=name, base=base, low=base * low, high=base * high, why=why, limits=limits),
        _workload_with(name),
    )


def _tokens(name: str, basis: Basis, why: str) -> Knob:
    """Lengths, up to what fits the plan's own GPUs."""
    knob = _times(name, basis.workload, 0.7, 1.5, why)
    base, low, high = knob.range.base, min(1.0, knob.range.base), knob.range.limits[1]
    if not _fits(knob.turned(basis, high)):
        fitting = base
        for _ in range(_HALVINGS):
            middle = (fitting + high) / 2
            fitting, high = (middle, high) if _fits(knob.turned(basis, middle)) else (fitting, middle)
        high = fitting
    least = max(knob.range.limits[0], low)
    return knob._replace(
        range=msgspec.structs.replace(
            knob.range, low=max(knob.range.low, least), high=min(knob.range.high, high), limits=(least, high)
        )
    )


def _fits(basis: Basis) -> bool:
    """Whether own GPUs hold such a call at all."""
    if basis.own is None:
        return True
    try:
        basis.own.throughput(basis.workload)
    except ConfigError:
        return False
    return True


def _share(name: str, work: Workload, low: float, high: float, why: str) -> Knob:
    base = float(getattr(work, name))
    most = max(0.999, base) if name == "cache_hit_rate" else 1.0
    plausible = {"low": min(low, base), "high": max(high, base)}
    return Knob(Range(name=name, base=base, **plausible, why=why, limits=(0.0, most)), _workload_with(name))


def _peak(work: Workload, low: float, high: float) -> Knob:
    why = "how even the day is"
    limits = (1.0, 100.0)
    return Knob(
        Range(name="peak_factor", base=work.peak_factor, low=low, high=high, why=why, limits=limits),
        _workload_with("peak_factor"),
    )


def _factor(name: str, low: float, high: float, why: str, turned: Callable[[Basis, float], Basis]) -> Knob:
    """Of what is told as a multiple of what the plan has."""
    return Knob(Range(name=name, base=1.0, low=low, high=high, why=why, limits=_WIDE), turned)


def _own(
    name: str, base: float, plausible: tuple[float, float], limits: tuple[float, float], why: str
) -> Knob:
    field = {"gpu_usd_per_hour": "usd_per_hour"}.get(name, name)

    def turned(basis: Basis, value: float) -> Basis:
        assert basis.own is not None
        changed: dict[str, Any] = {field: round(value) if field == "spare" else value}
        return basis._replace(own=basis.own._replace(**changed))

    return Knob(
        Range(name=name, base=base, low=plausible[0], high=plausible[1], why=why, limits=limits), turned
    )


def _offer(
    of: str,
    name: str,
    offer: msgspec.Struct,
    plausible: tuple[float, float],
    limits: tuple[float, float],
    why: str,
) -> Knob:
    base = float(getattr(offer, name))
    low, high = min(plausible[0], base), max(plausible[1], base)

    def turned(basis: Basis, value: float) -> Basis:
        return basis._replace(**{of: msgspec.structs.replace(getattr(basis, of), **{name: value})})

    public = (
        name
        if name in ("preemptions_per_gpu_hour", "restart_s", "cold_start_s", "keep_warm_s")
        else f"{of}_{name}"
    )
    return Knob(Range(name=public, base=base, low=low, high=high, why=why, limits=limits), turned)


def _frontier_times(basis: Basis, factor: float) -> Basis:
    return basis._replace(frontier=basis.frontier.times(factor))


def _hosted_times(basis: Basis, factor: float) -> Basis:
    assert basis.hosted is not None
    return basis._replace(hosted=basis.hosted.times(factor))


def _throughput_times(basis: Basis, factor: float) -> Basis:
    own = basis.own
    assert own is not None
    return basis._replace(own=own._replace(throughput=_scaled(own, factor)))


def _scaled(own: Own, factor: float) -> Callable[[Workload], Throughput]:
    def scaled(workload: Workload) -> Throughput:
        found = own.throughput(workload)
        within = found.within_target_rps
        return Throughput(
            saturated_rps=float(exact(found.saturated_rps) * exact(factor)),
            within_target_rps=None if within is None else float(exact(within) * exact(factor)),
        )

    return scaled
