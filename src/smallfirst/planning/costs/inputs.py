"""What a plan is made of, and where each figure comes from: given, measured in the ledger, assumed, or chosen by what it costs.

The names are those of the command's options (`calls_per_day` is `--calls-per-day`) and of the fields of a plan's TOML file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from smallfirst.errors import ConfigError

Kind = Literal["given", "measured", "assumed", "chosen"]


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """Where a figure comes from, and in words what that is."""

    kind: Kind
    why: str = ""


class Inputs(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of it; None is not given. Money is in dollars, times as their names say, shares between 0 and 1.

    `frontier` and `hosted` are models by name or figures (`3/15`). `own` is a model of the fleet's catalogue on `gpu` (`H100,L40S` is the cheapest
    of these, None the cheapest of all), or any name with `rps_per_gpu`. `ranges` are the user's own for the sensitivity. `target` is the N of "1/N of
    the bill".
    """

    calls_per_day: float | None = None
    peak_factor: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    cached_share: float | None = None
    cache_hit_rate: float | None = None
    frontier_share: float | None = None
    climbed_share: float | None = None
    batch_share: float | None = None
    batch_factor: float | None = None
    ttft_ms: float | None = None
    latency_ms: float | None = None
    frontier: str | None = None
    hosted: str | None = None
    own: str | None = None
    gpu: str | None = None
    gpu_usd_per_hour: float | None = None
    gpus_per_replica: int | None = None
    precision: Literal["bf16", "fp8"] | None = None
    lora_factor: float | None = None
    rps_per_gpu: float | None = None
    load: float | None = None
    spare: int | None = None
    calibration: str | None = None
    gpu_file: str | None = None
    model_config: str | None = None
    serverless_usd_per_gpu_second: float | None = None
    cold_start_s: float | None = None
    keep_warm_s: float | None = None
    spot_price_factor: float | None = None
    spot_floor_share: float | None = None
    preemptions_per_gpu_hour: float | None = None
    restart_s: float | None = None
    target: float | None = None
    way: str | None = None
    ranges: dict[str, tuple[float, float]] = {}


ASSUMED: dict[str, tuple[Any, str]] = {
    "peak_factor": (3.0, "the busiest hour has three times the mean's calls"),
    "cached_share": (0.0, "no prompt cache"),
    "cache_hit_rate": (0.0, "no cache"),
    "frontier_share": (0.2, "a fifth of the calls is hard"),
    "climbed_share": (0.0, "the router knows before: hard calls go to the frontier at once"),
    "batch_share": (0.0, "no call can wait"),
    "gpus_per_replica": (1, "the model fits one GPU"),
    "load": (0.7, "a replica is given 70 % of what it can do, so that queues stay short"),
    "spare": (1, "one replica more than the peak needs"),
    "cold_start_s": (176.0, "an 8B engine's start"),
    "keep_warm_s": (60.0, "a replica waits a minute for the next call"),
    "spot_floor_share": (0.5, "half of the replicas are not spot"),
    "preemptions_per_gpu_hour": (0.02, "one in fifty hours"),
    "restart_s": (300.0, "another machine, and an engine's start"),
}
_ONLY_WITH = {
    "own": (
        "gpu", "gpu_usd_per_hour", "gpus_per_replica", "precision", "lora_factor", "rps_per_gpu", "load", "spare", "calibration",
        "gpu_file", "model_config", "serverless_usd_per_gpu_second", "spot_price_factor", "ttft_ms", "latency_ms",
    ),
    "serverless_usd_per_gpu_second": ("cold_start_s", "keep_warm_s"),
    "spot_price_factor": ("spot_floor_share", "preemptions_per_gpu_hour", "restart_s"),
    "batch_share": ("batch_factor",),
}  # fmt: skip
"""What is of no use unless another input is given: given alone it is a mistake, and it is not assumed either."""
_NEEDED = ("calls_per_day", "input_tokens", "output_tokens", "frontier")
_LEAST, _MOST = 1e-6, 1e6
_BOUNDS: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("ttft_ms", "latency_ms", "rps_per_gpu"), (_LEAST, _MOST)),
    "target": (1, _MOST),
    **dict.fromkeys(
        ("gpu_usd_per_hour", "serverless_usd_per_gpu_second", "preemptions_per_gpu_hour"), (0, _MOST)
    ),
    **dict.fromkeys(("cold_start_s", "keep_warm_s", "restart_s"), (0, _MOST)),
    **dict.fromkeys(("load", "spot_price_factor", "batch_factor"), (_LEAST, 1)),
    "spot_floor_share": (0, 1),
    "gpus_per_replica": (1, 64),
    "lora_factor": (1, 10),
    "spare": (0, 1000),
}


def option_of(name: str) -> str:
    """How an input is called on the command line."""
    return "--" + name.replace("_", "-")


def read_inputs(path: Path) -> Inputs:
    """A plan's TOML file. Raises `ConfigError` that names the file and the field, `OSError` where it cannot be read."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Inputs)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(error), path=str(path)) from None


def completed(
    given: Inputs,
    file: Inputs | None = None,
    measured: dict[str, tuple[Any, str]] | None = None,
    *,
    file_name: str = "",
) -> tuple[Inputs, dict[str, Source]]:
    """The given over the file's over the measured over the assumed, and where each came from. Raises `ConfigError` for what is missing or cannot
    be.
    """
    values: dict[str, Any] = {}
    sources: dict[str, Source] = {}
    for name in Inputs.__struct_fields__:
        if name == "ranges":
            values[name] = (file.ranges if file else {}) | given.ranges
            continue
        own, of_file = getattr(given, name), getattr(file, name) if file else None
        if own is not None:
            values[name], sources[name] = own, Source(kind="given")
        elif of_file is not None:
            values[name], sources[name] = of_file, Source(kind="given", why=file_name)
        elif measured and name in measured:
            values[name], why = measured[name]
            sources[name] = Source(kind="measured", why=why)
        elif name in ASSUMED:
            values[name], why = ASSUMED[name]
            sources[name] = Source(kind="assumed", why=why)
    _only_with(values, sources)
    inputs = Inputs(**values)
    _check(inputs)
    return inputs, sources


def _check(inputs: Inputs) -> None:
    for name in _NEEDED:
        if getattr(inputs, name) is None:
            raise ConfigError("needed, or `--from-ledger` to take what was measured", path=option_of(name))
    for name, (low, high) in _BOUNDS.items():
        value = getattr(inputs, name)
        if value is not None and not low <= value <= high:  # NaN is in no range
            raise ConfigError(
                f"expected a number from {low:g} to {high:,g}, not {value:g}", path=option_of(name)
            )


def _only_with(values: dict[str, Any], sources: dict[str, Source]) -> None:
    """Leaves out what is assumed for nothing. Raises `ConfigError` for what was given for nothing."""
    for needed, names in _ONLY_WITH.items():
        if values.get(needed):
            continue
        for name in names:
            source = sources.get(name)
            if source is not None and source.kind == "given":
                raise ConfigError(f"has no use without {option_of(needed)}", path=option_of(name))
            values.pop(name, None)
            sources.pop(name, None)
