"""The efficiencies of the fleet's model that explain what was measured best.

Each measured rate is replayed with the same arrivals and lengths, so that chance is the same on both sides, and the logarithms of what
clients waited and of tokens a second are compared: least squares, large errors damped. One load does not tell all parts of a step apart
(reading the weights and the overhead of a step are both paid once a step): a weak pull keeps what it does not tell near where it was.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.calibrate.point import Point, Summary
from smallfirst.planning.fleet.calibrate.replay import Replayed
from smallfirst.planning.fleet.gpu import GPU
from smallfirst.planning.fleet.server import Efficiency, Engine, Server
from smallfirst.planning.fleet.shape import BYTES

OTHER = "other"
_PULL = 0.01
_DAMPED_FROM, _STEP = 0.1, 0.05
_MOST_EVALUATIONS = 40
_TOLD_WITHIN = 0.5  # of a logarithm: a factor of 1.65
_GOOD_OFF, _BAD_OFF, _FOUND = 0.2, 0.5, 0.03
_LEAST_NOISE = 0.1
_AT_BOUND, _FULL_SHARE = 1.01, 0.9
_LATE_SHARE, _SHORT_SHARE, _CACHED_SHARE = 0.1, 0.9, 0.2
_SHARE = (0.02, 1.0)
_FREE_SHARE = (1e-3, 1e3)
_WEIGHTS = {
    "ttft_p50_ms": 1.0,
    "ttft_p95_ms": 0.5,
    "between_p50_ms": 1.0,
    "total_p50_ms": 0.5,
    "output_tokens_per_s": 1.0,
}
COMPARED = tuple(_WEIGHTS)
_Errors = Callable[[np.ndarray], np.ndarray]


class Parameter(msgspec.Struct, frozen=True, kw_only=True):
    """One efficiency: where the fit began and what it came to. `told`: the measurements say it within a factor of 1.65 by themselves; what they do
    not tell has been kept near the beginning.
    """

    name: str
    start: float
    value: float
    told: bool


class Compared(msgspec.Struct, frozen=True, kw_only=True):
    """One rate: what was measured, and what the fitted model says of the same requests."""

    rate_per_s: float
    measured: Summary
    predicted: Summary

    def off(self, name: str) -> float:
        """How far off the model is: 0.1 is a tenth more than measured. NaN where nothing was measured."""
        measured = getattr(self.measured, name)
        return getattr(self.predicted, name) / measured - 1 if measured > 0 else math.nan


class Fit(msgspec.Struct, frozen=True, kw_only=True):
    """The model after the fit. `gpu` is the effective one where none was known. `median_off` and `worst_off` are over all rates and figures that were
    fitted: they say how well the model can describe this endpoint, not how well it foretells other loads.
    """

    gpu: GPU
    engine: Engine
    efficiency: Efficiency
    parameters: tuple[Parameter, ...]
    compared: tuple[Compared, ...]
    median_off: float
    worst_off: float
    remarks: tuple[str, ...]


def fitted(points: Sequence[Point], server: Server, *, shared_tokens: float = 0.0) -> Fit:
    """Fits the efficiencies of `server` to measured rates; for a GPU named "other" its FLOP/s and bandwidth as well, as what is effective.

    Needs scipy. Raises `ConfigError` where nothing was measured that could be fitted to, or the model does not fit into memory.
    """
    runs = [
        run
        for point in points
        if (run := Replayed(point, shared_tokens=shared_tokens)).times.seen_tokens.sum() > 0
    ]
    if not runs:
        raise ConfigError("no rate was measured at which anything was answered: there is nothing to fit to")
    known = server.gpu.name != OTHER
    names, low, high = _parameters(server, known)
    guess = _guessed(server, runs[0].measured)
    starts = [msgspec.structs.replace(server.efficiency, request_ms=guess.request_ms)] if known else []

    def errors(logs: np.ndarray) -> np.ndarray:
        return _errors(runs, _with(server, names, logs))

    began = [
        np.log(np.clip([getattr(start, name) for name in names], low, high)) for start in (*starts, guess)
    ]
    at, logs = _best(errors, began, np.log(low), np.log(high))
    told = _told(errors, logs)
    parameters = tuple(
        Parameter(name=name, start=float(start), value=float(value), told=bool(is_told))
        for name, start, value, is_told in zip(names, np.exp(at), np.exp(logs), told, strict=True)
    )
    return _fit_of(runs, _with(server, names, logs), parameters, _at_bound(names, logs, low, high))


def _best(
    errors: _Errors, starts: Sequence[np.ndarray], low: np.ndarray, high: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The logarithms that fit best of those that the starts lead to, and the start that led there."""
    try:
        from scipy.optimize import least_squares
    except ImportError as error:
        raise ConfigError("fitting needs: pip install 'smallfirst[learn]'") from error
    best, began = None, starts[0]
    for at in starts:
        pulled = _pulled(errors, at)
        found = least_squares(
            pulled,
            at,
            jac=_slopes(pulled),  # pyright: ignore[reportArgumentType]  (scipy's stubs know names alone)
            bounds=(low - 1e-9, high + 1e-9),
            loss="soft_l1",
            f_scale=_DAMPED_FROM,
            max_nfev=_MOST_EVALUATIONS,
        )
        if best is None or found.cost < best.cost:
            best, began = found, at
        if float(np.sqrt(np.mean(found.fun**2))) < _FOUND:
            break  # another beginning would end here too
    assert best is not None
    return began, best.x


def _parameters(server: Server, known: bool) -> tuple[list[str], np.ndarray, np.ndarray]:
    in_fp8 = server.engine.weights == "fp8" and server.gpu.fp8_tflops_per_s is not None
    share = _SHARE if known else _FREE_SHARE
    bounds = {
        "fp8_share" if in_fp8 else "bf16_share": share,
        "bandwidth_share": share,
        "layer_overhead_us": (0.1, 50_000.0),
        "sequence_overhead_us": (0.1, 50_000.0),
        "request_ms": (0.05, 2000.0),
    }
    low, high = (np.array([bound[at] for bound in bounds.values()]) for at in (0, 1))
    return list(bounds), low, high


def _guessed(server: Server, idle: Summary) -> Efficiency:
    """Where to begin by the quietest rate alone: half of a step is reading the weights, and half of the first wait is the prompt's arithmetic."""
    shape, engine, gpu = server.shape, server.engine, server.gpu
    read = shape.layer_parameters * BYTES[engine.weights] + shape.head_parameters * BYTES["bf16"]
    step_s = max(1e-6, idle.between_p50_ms / 1000) if math.isfinite(idle.between_p50_ms) else 1e-2
    first_s = max(1e-6, idle.ttft_p50_ms / 1000)
    bandwidth = 2 * read / step_s / (gpu.bandwidth_gb_per_s * 1e9 * engine.tensor_parallel)
    flops = 4 * shape.layer_parameters * idle.input_tokens / first_s / (1e12 * engine.tensor_parallel)
    return msgspec.structs.replace(
        server.efficiency,
        bf16_share=flops / gpu.bf16_tflops_per_s,
        fp8_share=flops / (gpu.fp8_tflops_per_s or gpu.bf16_tflops_per_s),
        bandwidth_share=bandwidth,
        layer_overhead_us=max(0.1, 0.3e6 * step_s / shape.layers),
        sequence_overhead_us=max(0.1, 0.02e6 * step_s),
        request_ms=max(0.05, 0.1 * idle.ttft_p50_ms),
    )


def _with(server: Server, names: Sequence[str], logs: np.ndarray) -> Server:
    values = dict(zip(names, np.exp(logs).tolist(), strict=True))
    return msgspec.structs.replace(server, efficiency=msgspec.structs.replace(server.efficiency, **values))


def _errors(runs: Sequence[Replayed], server: Server) -> np.ndarray:
    found = []
    for run in runs:
        predicted = run.predicted(server)
        for name, weight in _WEIGHTS.items():
            measured, said = getattr(run.measured, name), getattr(predicted, name)
            usable = measured > 0 and said > 0
            found.append(weight * math.log(said / measured) if usable else 0.0)
    return np.array(found)


def _pulled(errors: _Errors, at: np.ndarray) -> _Errors:
    return lambda logs: np.concatenate([errors(logs), _PULL * (logs - at)])


def _slopes(errors: _Errors, step: float = _STEP) -> _Errors:
    """The slopes of the errors, over a step each way that is wide enough: batches are whole requests, so that they are jagged from near."""

    def slopes(logs: np.ndarray) -> np.ndarray:
        steps = step * np.eye(len(logs))
        return np.stack([(errors(logs + each) - errors(logs - each)) / (2 * step) for each in steps], axis=1)

    return slopes


def _told(errors: _Errors, logs: np.ndarray) -> np.ndarray:
    """Which parameters the measurements alone say within `_TOLD_WITHIN`: by slopes over that much, where jaggedness no longer tells apart what is
    not, and by the errors that are left, a tenth at least, as no model is the engine.
    """
    noise = max(_LEAST_NOISE, float(np.sqrt(np.mean(errors(logs) ** 2))))
    slopes = _slopes(errors, _TOLD_WITHIN)(logs)
    spread = np.sqrt(np.diag(np.linalg.pinv(slopes.T @ slopes + 1e-9 * np.eye(len(logs))))) * noise
    return spread < _TOLD_WITHIN


def _at_bound(names: Sequence[str], logs: np.ndarray, low: np.ndarray, high: np.ndarray) -> list[str]:
    """Shares of a peak that came out at all of it, or at next to nothing."""
    values = np.exp(logs)
    return [
        name
        for name, value, least, most in zip(names, values, low, high, strict=True)
        if name.endswith("_share") and (value < least * _AT_BOUND or value > most / _AT_BOUND)
    ]


def _fit_of(
    runs: Sequence[Replayed], server: Server, parameters: tuple[Parameter, ...], at_bound: Sequence[str]
) -> Fit:
    compared = tuple(
        Compared(rate_per_s=run.point.rate_per_s, measured=run.measured, predicted=run.predicted(server))
        for run in runs
    )
    off = [abs(found) for each in compared for name in COMPARED if math.isfinite(found := each.off(name))]
    median, worst = float(np.median(off)), max(off)
    gpu, efficiency = (server.gpu, server.efficiency) if server.gpu.name != OTHER else _effective(server)
    return Fit(
        gpu=gpu,
        engine=server.engine,
        efficiency=efficiency,
        parameters=parameters,
        compared=compared,
        median_off=median,
        worst_off=worst,
        remarks=tuple(_remarks(runs, server.engine, (median, worst), at_bound)),
    )


def _effective(server: Server) -> tuple[GPU, Efficiency]:
    """What is known of an unnamed GPU is what is left of it: the GPU is that, and its shares are 1."""
    gpu, left = server.gpu, server.efficiency
    effective = msgspec.structs.replace(
        gpu,
        bf16_tflops_per_s=gpu.bf16_tflops_per_s * left.bf16_share,
        bandwidth_gb_per_s=gpu.bandwidth_gb_per_s * left.bandwidth_share,
        title="effective figures of a calibration",
    )
    return effective, msgspec.structs.replace(left, bf16_share=1.0, fp8_share=1.0, bandwidth_share=1.0)


def _remarks(
    runs: Sequence[Replayed], engine: Engine, off: tuple[float, float], at_bound: Sequence[str]
) -> list[str]:
    """What a reader must know before a plan rests on this."""
    found, (median, worst) = [], off
    if median > _GOOD_OFF or worst > _BAD_OFF:
        found.append(
            f"the model does not describe this endpoint well (half of the figures are off by more than {median:.0%}, the worst by {worst:.0%}): "
            "look at the rates before a plan rests on it, and whether --precision, --max-sequences and --batched-tokens are the engine's"
        )
    found += [
        f"{name} came out at its bound: is it another GPU, another precision or another model than was named?"
        for name in at_bound
    ]
    found += _bound_unnamed(runs, engine)
    sums = [run.measured for run in runs]
    if not any(each.saturated for each in sums):
        found.append("no rate was measured at which the endpoint falls behind: its limit is extrapolated")
    if late := [each for each in sums if each.late_p99_ms > _LATE_SHARE * each.ttft_p50_ms]:
        found.append(
            f"the sender itself was late by up to {max(each.late_p99_ms for each in late):.0f} ms at {len(late)} of {len(sums)} rates "
            "(waits count it): measure from a machine with more CPU"
        )
    if failed := sum(each.failed for each in sums):
        found.append(f"{failed:,} requests failed: they burden the endpoint, not the model")
    if any(_answers_short(run) for run in runs):
        found.append(
            "answers are shorter than was asked: the server does not take ignore_eos; the lengths told are fitted"
        )
    if any(_cached_unasked(run) for run in runs):
        found.append("the server read more of the prompts from its prefix cache than they have in common")
    return found


def _bound_unnamed(runs: Sequence[Replayed], engine: Engine) -> list[str]:
    """Where requests waited although the engine ran fewer than it was said to, and had memory left."""
    seen = [run.point.engine for run in runs if run.point.engine is not None]
    held = [
        each.running_most
        for each in seen
        if each.running_most and (each.waiting_mean or 0) > 1 and (each.kv_usage_most or 0) < _FULL_SHARE
    ]
    if not held or max(held) >= _FULL_SHARE * engine.max_sequences:
        return []
    return [
        f"requests waited while the engine ran {max(held):.0f}, and its memory was not full: is --max-sequences {engine.max_sequences} what it has?"
    ]


def _answers_short(run: Replayed) -> bool:
    ended = [shot for shot in run.point.shots if shot.ended]
    return sum(shot.output_tokens for shot in ended) < _SHORT_SHARE * sum(
        shot.wanted_tokens for shot in ended
    )


def _cached_unasked(run: Replayed) -> bool:
    read, cached = run.times.input_tokens.sum(), run.times.cached_tokens.sum()
    return cached > run.shared_tokens * len(run.times.due_s) + _CACHED_SHARE * read
