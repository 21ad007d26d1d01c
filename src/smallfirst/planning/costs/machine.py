"""A replica of the fleet's model as what a plan buys: how much it answers of a workload, and how fast."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.costs.inputs import Inputs, Source
from smallfirst.planning.costs.own import Latency, Own, Throughput
from smallfirst.planning.costs.workload import Workload
from smallfirst.planning.fleet import (
    GPU,
    Engine,
    Load,
    Server,
    Shape,
    Target,
    engine_for,
    rate_within,
    saturated,
    served,
)
from smallfirst.planning.fleet import catalogue as fleet
from smallfirst.planning.fleet.hub_config import read_model_config
from smallfirst.planning.fleet.latency import why_not_kept
from smallfirst.planning.fleet.server import PARALLEL

_KEPT = 4096


def machine_of(
    inputs: Inputs, work: Workload, sources: dict[str, Source], *, state: Path | None = None
) -> Own:
    """The replicas that the inputs name, with the rates and latencies of the fleet's model.

    Adds to `sources` where the GPU's price comes from. Raises `ConfigError` that names the option: an unknown model or GPU, one without a known
    price, a model that does not fit, or a latency target that an idle replica does not keep.
    """
    assert inputs.own is not None
    assert inputs.gpu is not None
    server = server_of(inputs, state)
    usd_per_hour = _price(inputs, server.gpu, sources)
    target = Target(ttft_p95_ms=inputs.ttft_ms, total_p95_ms=inputs.latency_ms)
    has_target = inputs.ttft_ms is not None or inputs.latency_ms is not None
    model = _Modelled(server, work, target if has_target else None)
    engine = server.engine
    return Own(
        model=inputs.own,
        gpu=server.gpu.name,
        usd_per_hour=usd_per_hour,
        throughput=model.throughput,
        load=inputs.load if inputs.load is not None else 0.7,
        gpus_per_replica=engine.tensor_parallel,
        spare=inputs.spare if inputs.spare is not None else 1,
        latency=model.latency,
        offers_usd_per_hour=() if inputs.gpu_usd_per_hour is not None else server.gpu.offers_usd_per_hour,
        source=f"the fleet model: {server.shape.name} on {server.gpu.name}, weights in {engine.weights}, keys and values in {engine.kv}; "
        f"{server.efficiency.source}",
    )


class _Modelled:
    """One kind of replica under different workloads. What keeps the target is simulated for the planned lengths, and scaled with throughput for
    others.
    """

    def __init__(self, server: Server, work: Workload, target: Target | None) -> None:
        self._server, self._work = server, work
        self._saturated = lru_cache(maxsize=_KEPT)(self._saturated_rps)
        self._within_share = None if target is None else self._share_within(target)

    def throughput(self, workload: Workload) -> Throughput:
        full = self._saturated(workload.input_tokens, workload.output_tokens, workload.cached_share)
        share = self._within_share
        return Throughput(saturated_rps=full, within_target_rps=None if share is None else full * share)

    def latency(self, workload: Workload, rps: float, turns: int) -> Latency:
        found = served(self._server, load_of(workload), rps, turns=turns)
        return Latency(
            at="",
            ttft_p50_ms=found.ttft_p50_ms,
            ttft_p95_ms=found.ttft_p95_ms,
            total_p50_ms=found.total_p50_ms,
            total_p95_ms=found.total_p95_ms,
        )

    def _saturated_rps(self, input_tokens: float, output_tokens: float, cached_share: float) -> float:
        load = Load(
            input_tokens=input_tokens, output_tokens=max(1.0, output_tokens), cached_share=cached_share
        )
        return saturated(self._server, load).requests_per_s

    def _share_within(self, target: Target) -> float:
        load = load_of(self._work)
        within = rate_within(self._server, load, target)
        if within <= 0:
            option = "--latency-ms" if target.ttft_p95_ms is None else "--ttft-ms"
            raise ConfigError(why_not_kept(self._server, load, target), path=option)
        return within / saturated(self._server, load).requests_per_s


def load_of(work: Workload) -> Load:
    """A workload's call, as the fleet's model takes it."""
    return Load(
        input_tokens=work.input_tokens,
        output_tokens=max(1.0, work.output_tokens),
        cached_share=work.cached_share,
    )


def server_of(inputs: Inputs, state: Path | None = None) -> Server:
    """The replica that the inputs name. Raises `ConfigError` that names the option, but not for a model that does not fit."""
    assert inputs.gpu is not None
    assert inputs.own is not None
    shape = read_model_config(Path(inputs.model_config)) if inputs.model_config else fleet.model(inputs.own)
    if inputs.calibration is not None:
        return _calibrated(inputs, inputs.calibration, shape, state)
    gpus = inputs.gpus_per_replica or 1
    if gpus not in PARALLEL:
        raise ConfigError(
            f"expected 1, 2, 4 or 8, not {gpus}: that is how engines split a model", path="--gpus-per-replica"
        )
    gpu = fleet.gpu(inputs.gpu, Path(inputs.gpu_file) if inputs.gpu_file else None)
    engine = engine_for(gpu, Engine(tensor_parallel=gpus))
    if inputs.precision is not None:
        engine = msgspec.structs.replace(engine, weights=inputs.precision, kv=inputs.precision)
    if inputs.lora_factor is not None:
        engine = msgspec.structs.replace(engine, lora_factor=inputs.lora_factor)
    return Server(gpu=gpu, shape=shape, engine=engine.checked(), efficiency=fleet.efficiency())


def _calibrated(inputs: Inputs, name: str, shape: Shape, state: Path | None) -> Server:
    """The replica as it was measured: its GPU, its engine and what was left of them; the model may be another, as its shape says."""
    from smallfirst.planning.fleet.calibrate.measure import OTHER, with_offers
    from smallfirst.planning.fleet.calibrate.saved import fit_of

    if state is None:
        raise ConfigError("there is no state directory to find it in", path="--calibration")
    made, fit = fit_of(state, name)
    measured, engine = made.setting, fit.engine
    for option, given, was in (
        ("--gpu", (inputs.gpu or "").lower(), measured.gpu.name.lower()),
        ("--precision", inputs.precision or engine.weights, engine.weights),
        ("--gpus-per-replica", inputs.gpus_per_replica or engine.tensor_parallel, engine.tensor_parallel),
        ("--lora-factor", inputs.lora_factor or engine.lora_factor, engine.lora_factor),
    ):
        if given != was:
            raise ConfigError(f"the calibration {name!r} was measured with {was}, not {given}", path=option)
    if msgspec.structs.replace(shape, name="", hub="") != msgspec.structs.replace(
        measured.shape, name="", hub=""
    ):
        engine = measured.engine  # how much memory the other model leaves is not measured
    gpu = fit.gpu
    if gpu.name != OTHER:  # prices are today's, not those of the measurement
        priced = fleet.gpu(gpu.name, Path(inputs.gpu_file) if inputs.gpu_file else None)
        gpu = with_offers(gpu, priced)
    return Server(gpu=gpu, shape=shape, engine=engine, efficiency=fit.efficiency)


def _price(inputs: Inputs, gpu: GPU, sources: dict[str, Source]) -> float:
    if inputs.gpu_usd_per_hour is not None:
        return inputs.gpu_usd_per_hour
    if gpu.usd_per_hour is None:
        raise ConfigError(
            f"the price of {gpu.name} is unknown: what does an hour cost?", path="--gpu-usd-per-hour"
        )
    seen = ": ".join(part for part in (gpu.price_date, gpu.price_source) if part)
    why = f"the middle of what {gpu.name} is offered for on demand" + (f" ({seen})" if seen else "")
    sources["gpu_usd_per_hour"] = Source(kind="assumed", why=why)
    return gpu.usd_per_hour
