"""Which GPU: those that hold the model, each as a fleet for this workload, and the cheapest that keeps the latency target.

Fleets are compared as they are bought, provisioned. What calls take at one is simulated, and so is what a latency target leaves of its rate: that is
slow, and done for the cheapest alone. A target never lets a replica take more, so a fleet without it costs the least that one with it can: once that
least is above what another was found to cost, nothing can come of looking.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.basis import workload_of
from smallfirst.planning.costs.exact import MILLION
from smallfirst.planning.costs.inputs import Inputs, Source, option_of
from smallfirst.planning.costs.own import Own, Use, use_of, with_latency
from smallfirst.planning.costs.workload import Workload

SIMULATED = 3
"""So many of the cheapest are simulated (one where calls are long, and simulating is slow), and more only while one could still be the cheapest."""
LONG_TOKENS = 10_000
_TARGETS = ("ttft_ms", "latency_ms")
_OF_ONE_GPU = (
    ("gpu_usd_per_hour", "is the price of one GPU"),
    ("serverless_usd_per_gpu_second", "is the price of one GPU"),
    ("calibration", "was measured on one GPU"),
)


class Candidate(msgspec.Struct, frozen=True, kw_only=True):
    """A GPU as a fleet: what it costs a day, in dollars, and for a million calls of the small model (None where there are none).

    `use.latency` is empty where it was not simulated. `is_least`: nor was the target, so that the fleet is the smallest and cheapest that could be.
    `left_out` says why the GPU is none to choose; what is not known of it is None.
    """

    gpu: str
    gpus_per_replica: int | None = None
    usd_per_hour: float | None = None
    use: Use | None = None
    day_usd: float | None = None
    million_small_calls_usd: float | None = None
    is_least: bool = False
    left_out: str = ""


class WhichGPU(msgspec.Struct, frozen=True, kw_only=True):
    """The comparison, the cheapest first and those that were left out last; the first is the chosen one."""

    chosen: str
    candidates: tuple[Candidate, ...]


class _Held(NamedTuple):
    """A GPU that holds the model and has a price, with the inputs that name it. `least` has no latency target."""

    inputs: Inputs
    least: Own
    least_use: Use


def choose_gpu(inputs: Inputs, sources: dict[str, Source]) -> tuple[Inputs, WhichGPU | None]:
    """The inputs with the cheapest GPU of those that they leave open: all of the catalogue, or several by name. None where there is no choice.

    Adds to `sources` what was chosen. Raises `ConfigError` that names the option: what holds for one GPU alone, an unknown name, or none that can be
    taken, with the reason of each.
    """
    names = _open(inputs)
    if names is None:
        return inputs, None
    work = workload_of(inputs)
    assumed = "gpus_per_replica" in sources and sources["gpus_per_replica"].kind == "assumed"
    looked = [
        _looked_at(msgspec.structs.replace(inputs, gpu=name), work, any_count=assumed) for name in names
    ]
    held = [one for one in looked if isinstance(one, _Held)]
    found = _compared(held, work)
    left_out = [one for one in (*found, *looked) if isinstance(one, Candidate) and one.left_out]
    taken = [one for one in found if not one.left_out]
    if not taken:
        reasons = "; ".join(f"{one.gpu}: {one.left_out}" for one in left_out)
        raise ConfigError(f"none of them can be planned with. {reasons}", path="--gpu")
    best = taken[0]
    among = "the cheapest of " + ", ".join(one.gpu for one in taken)
    sources["gpu"] = Source(kind="chosen", why=among if len(taken) > 1 else "the only one that can be")
    if assumed and best.gpus_per_replica != 1:
        sources["gpus_per_replica"] = Source(kind="chosen", why="the fewest that hold the model")
    chosen = msgspec.structs.replace(inputs, gpu=best.gpu, gpus_per_replica=best.gpus_per_replica)
    return chosen, WhichGPU(chosen=best.gpu, candidates=(*taken, *left_out))


def _open(inputs: Inputs) -> list[str] | None:
    """The names to choose from; None where there is nothing to choose."""
    if inputs.own is None or (inputs.gpu is None and inputs.rps_per_gpu is not None):
        return None
    named = None if inputs.gpu is None else [part.strip() for part in inputs.gpu.split(",") if part.strip()]
    if named is not None and "," not in (inputs.gpu or ""):
        return None
    if named is not None and inputs.rps_per_gpu is not None:
        raise ConfigError("was measured on one GPU: name it alone with --gpu", path="--rps-per-gpu")
    for name, what in _OF_ONE_GPU:
        if getattr(inputs, name) is not None:
            raise ConfigError(f"{what}: name it with --gpu", path=option_of(name))
    if named == []:
        raise ConfigError("expected names, as H100,L40S: `smallfirst plan gpus` lists them", path="--gpu")
    from smallfirst.planning.fleet import catalogue as fleet

    file = Path(inputs.gpu_file) if inputs.gpu_file else None
    if named is None:
        return list({**fleet.gpus(), **(fleet.read_gpu_file(file) if file else {})})
    return list(dict.fromkeys(fleet.gpu(name, file).name for name in named))


def _looked_at(inputs: Inputs, work: Workload, *, any_count: bool) -> _Held | Candidate:
    """The GPU that the inputs name in the smallest replica that holds the model, or why it is left out."""
    from smallfirst.planning.costs.machine import load_of, machine_of, server_of
    from smallfirst.planning.fleet import saturated
    from smallfirst.planning.fleet.server import PARALLEL

    assert inputs.gpu is not None
    counts = PARALLEL if any_count else (inputs.gpus_per_replica or 1,)
    for gpus in counts:
        tried = msgspec.structs.replace(inputs, gpus_per_replica=gpus, **dict.fromkeys(_TARGETS))
        server = server_of(tried)
        try:
            saturated(server, load_of(work))
        except ConfigError as error:
            if error.path:  # a mistake of the workload's, whatever the GPU
                raise
            continue
        if server.gpu.usd_per_hour is None:
            return Candidate(gpu=inputs.gpu, gpus_per_replica=gpus, left_out="no known price")
        least = machine_of(tried, work, {})
        return _Held(msgspec.structs.replace(inputs, gpus_per_replica=gpus), least, use_of(least, work))
    most = "one does" if counts[-1] == 1 else f"{counts[-1]} of them do"
    return Candidate(gpu=inputs.gpu, left_out=f"{most} not hold the model and one call")


def _compared(held: list[_Held], work: Workload) -> list[Candidate]:
    """Each as a fleet, the cheapest first, simulated as far as the choice needs it; those that keep no target among them."""
    found: list[Candidate] = []
    kept_usd: list[float] = []
    few = SIMULATED if work.input_tokens + work.output_tokens <= LONG_TOKENS else 1
    for one in sorted(held, key=lambda one: _day_usd(one.least, one.least_use)):
        least_usd = _day_usd(one.least, one.least_use)
        if len(kept_usd) >= few and least_usd >= min(kept_usd):
            targeted = any(getattr(one.inputs, name) is not None for name in _TARGETS)
            found.append(_candidate(one.least, one.least_use, work, is_least=targeted))
            continue
        found.append(_simulated(one, work))
        if not found[-1].left_out:
            assert found[-1].day_usd is not None
            kept_usd.append(found[-1].day_usd)
    return sorted(found, key=lambda one: (bool(one.left_out), one.day_usd or 0.0))


def _simulated(one: _Held, work: Workload) -> Candidate:
    """The fleet that keeps the target, if one does: it is looked at idle first, which costs one simulation and not ten."""
    from smallfirst.planning.costs.machine import machine_of

    missed = _missed_when_idle(one, work)
    if missed:
        return Candidate(
            gpu=one.least.gpu,
            gpus_per_replica=one.least.gpus_per_replica,
            usd_per_hour=float(one.least.usd_per_hour),
            left_out=f"cannot keep the latency target: even idle, p95 is {missed}",
        )
    own = machine_of(one.inputs, work, {})
    return _candidate(own, with_latency(use_of(own, work), own, work), work)


def _missed_when_idle(one: _Held, work: Workload) -> str:
    """What calls take longer than they may at an idle replica, in words."""
    from smallfirst.planning.fleet.latency import idle_rate

    targets = one.inputs.ttft_ms, one.inputs.latency_ms
    if targets == (None, None):
        return ""
    assert one.least.latency is not None
    idle = one.least.latency(work, idle_rate(one.least.throughput(work).saturated_rps), 1)
    waits = zip(targets, (idle.ttft_p95_ms, idle.total_p95_ms), ("to the first token", "in all"), strict=True)
    return " and ".join(
        f"{took:,.0f} ms {what}" for most, took, what in waits if most is not None and took > most
    )


def _candidate(own: Own, use: Use, work: Workload, *, is_least: bool = False) -> Candidate:
    usd = use.replicas * own.replica_usd_per_day
    small = work.small_per_day
    return Candidate(
        gpu=own.gpu,
        gpus_per_replica=own.gpus_per_replica,
        usd_per_hour=float(own.usd_per_hour),
        use=use,
        day_usd=float(usd),
        million_small_calls_usd=float(usd / small * MILLION) if small else None,
        is_least=is_least,
    )


def _day_usd(own: Own, use: Use) -> float:
    return float(use.replicas * own.replica_usd_per_day)
