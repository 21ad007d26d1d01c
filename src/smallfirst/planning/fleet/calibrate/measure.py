"""From an endpoint to a calibration: measured rate by rate, kept after each, and fitted."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.calibrate.endpoint import Endpoint
from smallfirst.planning.fleet.calibrate.engine_metrics import EngineMetrics
from smallfirst.planning.fleet.calibrate.fit import OTHER, Fit, fitted
from smallfirst.planning.fleet.calibrate.point import Point
from smallfirst.planning.fleet.calibrate.saved import CALIBRATIONS, Calibration, Setting
from smallfirst.planning.fleet.calibrate.sweep import Swept, Watch, run_sweep
from smallfirst.planning.fleet.catalogue import efficiency, gpu
from smallfirst.planning.fleet.gpu import GPU
from smallfirst.planning.fleet.roofline import kv_capacity_bytes
from smallfirst.planning.fleet.server import Engine, Server, engine_for

_NOMINAL_TFLOPS, _NOMINAL_GB_PER_S = 1.0, 100.0  # of an unnamed GPU: what is fitted stands beside them


def machine(
    name: str,
    *,
    gpu_file: Path | None = None,
    memory_gb: float | None = None,
    engine: Engine = Engine(),  # noqa: B008  (frozen)
) -> tuple[GPU, Engine]:
    """The GPU and the engine on it, as they were named. "other" is any that the catalogue has not: its speed is fitted, and its memory is told by
    the engine, or by `memory_gb` (0 stands for: not told).

    Raises `ConfigError` that names the option.
    """
    if memory_gb is not None and not (math.isfinite(memory_gb) and memory_gb > 0):
        raise ConfigError(f"expected gigabytes above 0, not {memory_gb:g}", path="--memory-gb")
    if name.lower() == OTHER:
        found = GPU(
            name=OTHER,
            bf16_tflops_per_s=_NOMINAL_TFLOPS,
            bandwidth_gb_per_s=_NOMINAL_GB_PER_S,
            memory_gb=memory_gb or 0.0,
        )
        return found, msgspec.structs.replace(engine, memory_share=1.0, reserve_gb=0.0).checked()
    if memory_gb is not None:
        raise ConfigError("is for --gpu other alone: the catalogue knows this GPU's", path="--memory-gb")
    found = gpu(name, gpu_file)
    steps = engine_for(found, engine).batched_tokens
    return with_offers(found, None), msgspec.structs.replace(engine, batched_tokens=steps).checked()


def with_offers(gpu: GPU, priced: GPU | None) -> GPU:
    """The GPU with the prices of another, or with none: what was measured does not change when prices do."""
    return msgspec.structs.replace(
        gpu,
        offers_usd_per_hour=priced.offers_usd_per_hour if priced else (),
        price_source=priced.price_source if priced else "",
        price_date=priced.price_date if priced else "",
    )


async def room_of(endpoint: Endpoint, setting: Setting) -> float | None:
    """Tokens of context that the engine says it has room for, None where it does not say.

    Raises `ConfigError` where the room must be told, and is not.
    """
    seen = await EngineMetrics(endpoint.session, endpoint.base_url).look()
    room = None if seen is None else seen.kv_tokens
    if room is None and setting.gpu.memory_gb == 0:
        raise ConfigError(
            f"{endpoint.shown} does not tell how much room for contexts it has (vllm:cache_config_info at /metrics): how many GB are there "
            "for weights, keys and values?",
            path="--memory-gb",
        )
    return room


def server_of(setting: Setting, kv_tokens: float | None) -> Server:
    """The fleet's model of that endpoint before the fit, with as much room for contexts as the engine says."""
    server = Server(gpu=setting.gpu, shape=setting.shape, engine=setting.engine, efficiency=efficiency())
    if kv_tokens is None:
        return server
    engine, shape = setting.engine, setting.shape
    copies = max(1.0, engine.tensor_parallel / shape.kv_heads)
    held = shape.weight_bytes(engine.weights) + kv_tokens * shape.kv_bytes(1, engine.kv) * copies
    each_gb = held / engine.tensor_parallel / 1e9
    if setting.gpu.name == OTHER and setting.gpu.memory_gb == 0:
        return msgspec.structs.replace(server, gpu=msgspec.structs.replace(setting.gpu, memory_gb=each_gb))
    reserve_gb = setting.gpu.memory_gb * engine.memory_share - each_gb
    if reserve_gb < 0:
        return server
    return msgspec.structs.replace(server, engine=msgspec.structs.replace(engine, reserve_gb=reserve_gb))


async def measured(
    swept: Swept,
    made: Calibration,
    *,
    keep: Callable[[Calibration], None],
    told: Callable[[str, int, int], None],
    should_stop: Callable[[], bool],
) -> Calibration:
    """Measures what is left of the plan. `keep` is given the calibration after each rate, and at the end."""
    points = list(made.points)

    def so_far(stopped: str) -> Calibration:
        ordered = tuple(sorted(points, key=lambda point: point.rate_per_s))
        return msgspec.structs.replace(made, points=ordered, fit=None, stopped=stopped)

    def kept(_point: Point) -> None:
        keep(so_far("it was not complete yet"))

    stopped = await run_sweep(swept, points, Watch(kept, told, should_stop))
    found = so_far(stopped)
    keep(found)
    return found


def with_fit(made: Calibration) -> Calibration:
    """The same with the model fitted to its rates. Raises `ConfigError` as `fitted` does, and where no rate was measured."""
    setting = made.setting
    server = server_of(setting, made.kv_tokens)
    kv_capacity_bytes(server)
    found: Fit = fitted(made.points, server, shared_tokens=setting.lengths.shared_tokens)
    source = f"the calibration {made.name or 'of this run'}: {len(made.points)} rates at {setting.endpoint}, {setting.shape.name} on {found.gpu.name}"
    named = msgspec.structs.replace(
        found, efficiency=msgspec.structs.replace(found.efficiency, source=source)
    )
    return msgspec.structs.replace(made, fit=named)


def keeper(state: Path | None) -> Callable[[Calibration], None]:
    """Keeps a calibration in the state directory; nothing where it has no name."""

    def keep(made: Calibration) -> None:
        if state is not None and made.name:
            CALIBRATIONS.save(state, made)

    return keep
