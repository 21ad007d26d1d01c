"""What the ways of answering a workload cost beside each other.

Each way answers the same calls. The cache and the ladder are in all but the first; own GPUs are priced as they are bought (`own`), and as if they
were full day and night (`own-saturated`), which no fleet is: that one is never chosen. `now` (where the ledger was read) is what it measured.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import msgspec

from smallfirst.planning.costs.basis import Basis
from smallfirst.planning.costs.exact import DAYS_PER_YEAR, MILLION, MONTHS_PER_YEAR, SECONDS_PER_DAY, exact
from smallfirst.planning.costs.own import Use, use_of, with_latency
from smallfirst.planning.costs.serverless import ServerlessDay, serverless_day
from smallfirst.planning.costs.spot import SpotDay, spot_day

TITLES = {
    "frontier": "all frontier",
    "frontier-cache": "frontier, with the cache",
    "frontier-batch": "frontier, with the cache and batches",
    "now": "the ladder as it runs now",
    "hosted": "ladder, hosted small model",
    "hosted-batch": "ladder, hosted small model, batches",
    "own": "ladder, own GPUs, provisioned",
    "own-saturated": "the same if they were saturated (no fleet is)",
    "own-batch": "ladder, own GPUs, provisioned, batches",
    "serverless": "ladder, GPUs by the second",
    "spot": "ladder, own GPUs, partly spot",
}
NOT_SERVED = ("own-saturated",)


class Way(msgspec.Struct, frozen=True, kw_only=True):
    """One way. Money is in dollars: of the mean call, and of all calls. `left` is the share of the all-frontier bill that it is.

    `parts_usd_per_day` are its parts: frontier, hosted, gpus, overflow, and of `now` small and hours. `served` is False for what can only be
    compared with.
    """

    name: str
    title: str
    served: bool
    call_usd: float
    million_calls_usd: float
    day_usd: float
    month_usd: float
    year_usd: float
    left: float
    parts_usd_per_day: dict[str, float]
    use: Use | None = None
    serverless: ServerlessDay | None = None
    spot: SpotDay | None = None

    @property
    def is_ladder(self) -> bool:
        """Whether a small model answers first."""
        return not self.name.startswith("frontier")


class _Cost(msgspec.Struct, frozen=True, kw_only=True):
    """A way's parts, dollars a day, exactly, and what its machines do."""

    parts: dict[str, Fraction]
    use: Use | None = None
    serverless: ServerlessDay | None = None
    spot: SpotDay | None = None

    @property
    def day(self) -> Fraction:
        return sum(self.parts.values(), Fraction(0))


def ways_of(basis: Basis, *, latency: bool = True) -> tuple[Way, ...]:
    """All ways that the basis allows. `latency`: fleets also say what their calls take, which is simulated and slower."""
    alone = _all_frontier(basis).day
    return tuple(_way(name, basis, alone, latency=latency) for name in names_of(basis))


def names_of(basis: Basis) -> list[str]:
    """The names of the ways that can be priced, in the order of `TITLES`."""
    work = basis.workload
    there = {
        "frontier": True,
        "frontier-cache": work.cache_hit_rate > 0,
        "frontier-batch": bool(work.batch_share and basis.frontier.batch),
        "now": basis.now is not None,
        "hosted": basis.hosted is not None,
        "hosted-batch": bool(
            work.batch_share and basis.frontier.batch and basis.hosted is not None and basis.hosted.batch
        ),
        "own": basis.own is not None,
        "own-batch": bool(work.batch_share and basis.frontier.batch and basis.own is not None),
        "own-saturated": basis.own is not None,
        "serverless": basis.own is not None and basis.serverless is not None,
        "spot": basis.own is not None and basis.spot is not None,
    }
    return [name for name in TITLES if there[name]]


def parts_of(name: str, basis: Basis) -> dict[str, Fraction]:
    """What one way's parts cost a day, in dollars, exactly."""
    return _WAYS[name](basis).parts


def day_usd(name: str, basis: Basis) -> float:
    """What one way costs a day, in dollars."""
    return float(_WAYS[name](basis).day)


def cheapest(ways: tuple[Way, ...]) -> Way:
    """The cheapest of those that can be served."""
    return min((way for way in ways if way.served), key=lambda way: way.day_usd)


def _way(name: str, basis: Basis, alone: Fraction, *, latency: bool) -> Way:
    cost = _WAYS[name](basis)
    day, calls = cost.day, exact(basis.workload.calls_per_day)
    use = cost.use
    if use is not None and basis.own is not None and latency:
        use = with_latency(use, basis.own, basis.workload)
    return Way(
        name=name,
        title=TITLES[name],
        served=name not in NOT_SERVED,
        call_usd=float(day / calls),
        million_calls_usd=float(day / calls * MILLION),
        day_usd=float(day),
        month_usd=float(day * DAYS_PER_YEAR / MONTHS_PER_YEAR),
        year_usd=float(day * DAYS_PER_YEAR),
        left=float(day / alone) if alone else 0.0,
        parts_usd_per_day={part: float(usd) for part, usd in cost.parts.items()},
        use=use,
        serverless=cost.serverless,
        spot=cost.spot,
    )


def _all_frontier(basis: Basis) -> _Cost:
    return _Cost(parts={"frontier": exact(basis.workload.calls_per_day) * basis.frontier_usd})


def _frontier_cache(basis: Basis) -> _Cost:
    return _Cost(parts={"frontier": basis.workload.missed_per_day * basis.frontier_usd})


def _frontier_batch(basis: Basis) -> _Cost:
    return _Cost(parts={"frontier": basis.workload.missed_per_day * _mixed(basis, "frontier")})


def _ladder(basis: Basis, *, batch: bool = False) -> dict[str, Fraction]:
    """What the frontier's share of the ladder costs a day."""
    call = _mixed(basis, "frontier") if batch else basis.frontier_usd
    return {"frontier": basis.workload.frontier_per_day * call}


def _now(basis: Basis) -> _Cost:
    """As the ledger has it: what small models' calls cost by the call, and own models' hours, which follow no volume."""
    assert basis.now is not None
    small = basis.workload.small_per_day * basis.now_usd
    return _Cost(parts=_ladder(basis) | {"small": small, "hours": exact(basis.now.hours_usd_per_day)})


def _hosted(basis: Basis) -> _Cost:
    assert basis.hosted_usd is not None
    return _Cost(parts=_ladder(basis) | {"hosted": basis.workload.small_per_day * basis.hosted_usd})


def _hosted_batch(basis: Basis) -> _Cost:
    small = basis.workload.small_per_day * _mixed(basis, "hosted")
    return _Cost(parts=_ladder(basis, batch=True) | {"hosted": small})


def _own(basis: Basis) -> _Cost:
    assert basis.own is not None
    use = use_of(basis.own, basis.workload)
    return _Cost(parts=_ladder(basis) | {"gpus": use.replicas * basis.own.replica_usd_per_day}, use=use)


def _own_batch(basis: Basis) -> _Cost:
    """What can wait is put into the valleys: the peak is that of the rest, or the mean of all where that is more."""
    assert basis.own is not None
    work = basis.workload
    peak = max(work.small_peak_rps * (1 - exact(work.batch_share)), work.small_rps)
    use = use_of(basis.own, work, peak_rps=peak)
    gpus = use.replicas * basis.own.replica_usd_per_day
    return _Cost(parts=_ladder(basis, batch=True) | {"gpus": gpus}, use=use)


def _own_saturated(basis: Basis) -> _Cost:
    assert basis.own is not None
    rate = basis.own.rate(basis.workload)
    call = basis.own.replica_usd_per_day / SECONDS_PER_DAY / exact(rate.saturated_rps)
    return _Cost(parts=_ladder(basis) | {"gpus": basis.workload.small_per_day * call})


def _serverless(basis: Basis) -> _Cost:
    assert basis.own is not None
    assert basis.serverless is not None
    day = serverless_day(basis.serverless, basis.workload, basis.own.rate(basis.workload))
    return _Cost(parts=_ladder(basis) | {"gpus": exact(day.usd)}, serverless=day)


def _spot(basis: Basis) -> _Cost:
    assert basis.own is not None
    assert basis.spot is not None
    use = use_of(basis.own, basis.workload)
    day = spot_day(basis.spot, basis.own, use, basis.workload)
    overflow = exact(day.overflow_calls) * basis.call_usd(basis.overflow.price)
    return _Cost(parts=_ladder(basis) | {"gpus": exact(day.usd), "overflow": overflow}, use=use, spot=day)


def _mixed(basis: Basis, which: str) -> Fraction:
    """A call's price where `batch_share` of them are batches."""
    quote = getattr(basis, which)
    share = exact(basis.workload.batch_share)
    return basis.call_usd(quote.price) * (1 - share) + basis.call_usd(quote.batch) * share


_WAYS: dict[str, Callable[[Basis], _Cost]] = {
    "frontier": _all_frontier,
    "frontier-cache": _frontier_cache,
    "frontier-batch": _frontier_batch,
    "now": _now,
    "hosted": _hosted,
    "hosted-batch": _hosted_batch,
    "own": _own,
    "own-batch": _own_batch,
    "own-saturated": _own_saturated,
    "serverless": _serverless,
    "spot": _spot,
}
