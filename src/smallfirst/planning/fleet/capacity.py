"""The most that a replica can do when there is always more to do: no latency is promised here."""

from __future__ import annotations

import math
from typing import Literal

import msgspec

from smallfirst.planning.fleet.roofline import StepCosts, kv_capacity_tokens, sequences_fitting, step_costs
from smallfirst.planning.fleet.server import Load, Server

_MANY_CHUNKS = 50.0  # in a step: their number hardly strays
_NEGLIGIBLE = 1e-9


class Throughput(msgspec.Struct, frozen=True, kw_only=True):
    """A saturated replica. `sequences` answers grow at once; `held_by` says what keeps them from being more: the memory, the engine's own bound, or
    the tokens that one step computes. `bound` is what a step waits for: arithmetic or memory traffic. `arithmetic_share` is of the GPU's dense peak.
    """

    requests_per_s: float
    input_tokens_per_s: float
    output_tokens_per_s: float
    sequences: float
    step_ms: float
    kv_tokens: float
    held_by: Literal["memory", "max_sequences", "batched_tokens"]
    bound: Literal["arithmetic", "memory traffic"]
    arithmetic_share: float


def saturated(server: Server, load: Load) -> Throughput:
    """Requests and tokens a second of one replica that is never idle, in the steady state: on average each step ends as many answers as it begins.

    Raises `ConfigError` where the model or one context does not fit.
    """
    server.engine.checked()
    load.checked()
    costs, shape, engine = step_costs(server), server.shape, server.engine
    growing_steps = max(load.output_tokens - 1, 0.0)  # the first token comes with the last step of the prompt
    read = load.prefilled_tokens
    fitting = sequences_fitting(server, load)
    slots = min(fitting, float(engine.max_sequences))
    by_slots = slots / (growing_steps + max(1.0, read / engine.batched_tokens))
    by_tokens = engine.batched_tokens / (growing_steps + read)
    ended = min(by_slots, by_tokens)  # answers that end in a step
    growing, prefilled = ended * growing_steps, ended * read
    kv_s = (
        growing * shape.kv_bytes(load.input_tokens + load.output_tokens / 2, engine.kv) * costs.kv_s_per_byte
    )
    pairs = shape.attention_flops(load.input_tokens - read, load.input_tokens)
    chunk = prefilled if by_tokens < by_slots else min(read, float(engine.batched_tokens))  # all steps alike
    step_s = _mean_step_s(costs, growing=growing, prefilled=prefilled, chunk=chunk)
    step_s += kv_s + ended * pairs * costs.pair_s_per_flop
    held = "memory" if fitting < engine.max_sequences else "max_sequences"
    arithmetic_s = costs.token_s * (growing + prefilled)
    done_per_s = ended / step_s
    return Throughput(
        requests_per_s=done_per_s,
        input_tokens_per_s=done_per_s * load.input_tokens,
        output_tokens_per_s=done_per_s * load.output_tokens,
        sequences=min(slots, ended * (growing_steps + max(1.0, read / engine.batched_tokens))),
        step_ms=1000 * step_s,
        kv_tokens=kv_capacity_tokens(server),
        held_by="batched_tokens" if by_tokens < by_slots else held,
        bound="arithmetic" if arithmetic_s > costs.weights_s + kv_s else "memory traffic",
        arithmetic_share=done_per_s * _flops(server, load) / _peak(server),
    )


def _mean_step_s(costs: StepCosts, *, growing: float, prefilled: float, chunk: float) -> float:
    """The mean step without attention, in which `prefilled` tokens of prompts are read on average, `chunk` of them at a time.

    Chunks come by chance (Poisson). Where they are rare, most steps wait for the memory and a few for the arithmetic: together that is longer than
    a step with the mean's tokens, which would do both at once.
    """
    chunks = prefilled / chunk
    if chunk == prefilled or chunks > _MANY_CHUNKS:
        return costs.step_s(growing=growing, prefilled=prefilled, kv_s=0, pairs_s=0)
    chance, mean_s, count = math.exp(-chunks), 0.0, 0
    while count <= chunks or chance > _NEGLIGIBLE:
        mean_s += chance * costs.step_s(growing=growing, prefilled=count * chunk, kv_s=0, pairs_s=0)
        count += 1
        chance *= chunks / count
    return mean_s


def _flops(server: Server, load: Load) -> float:
    """Operations of one request, as they are counted in papers: twice the weights for each token, and the pairs of attention."""
    shape = server.shape
    tokens = load.prefilled_tokens + max(load.output_tokens - 1, 0)
    pairs = shape.attention_flops(
        load.input_tokens - load.prefilled_tokens, load.input_tokens + max(load.output_tokens - 1, 0)
    )
    return 2 * shape.layer_parameters * tokens + 2 * shape.head_parameters * load.output_tokens + pairs


def _peak(server: Server) -> float:
    gpu, engine = server.gpu, server.engine
    peak = gpu.fp8_tflops_per_s if engine.weights == "fp8" and gpu.fp8_tflops_per_s else gpu.bf16_tflops_per_s
    return peak * 1e12 * engine.tensor_parallel
