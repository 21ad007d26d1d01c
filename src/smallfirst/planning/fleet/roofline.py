"""How long one step of continuous batching takes, and how many answers fit into memory.

A step multiplies all its tokens (one for each answer that grows, and chunks of prompts that are read) with the weights of every layer: that
costs the larger of the arithmetic and of reading the weights once (Williams, Waterman and Patterson, Roofline, CACM 52(4), 2009). Attention
reads the keys and values of each answer's context, and computes pairs of tokens for each prompt. To that come all-reduces between GPUs and
a fixed overhead of the engine.
"""

from __future__ import annotations

import msgspec

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet.server import Load, Server
from smallfirst.planning.fleet.shape import BYTES

_HOP_S = 8e-6  # latency of one all-reduce, besides its bytes


class StepCosts(msgspec.Struct, frozen=True, kw_only=True):
    """Seconds of the parts of a step, for one replica. `kv_s_per_byte` and `pair_s_per_flop` are those of attention."""

    weights_s: float
    token_s: float
    head_s: float
    kv_s_per_byte: float
    pair_s_per_flop: float
    link_s: float
    link_token_s: float
    overhead_s: float
    sequence_s: float

    def step_s(self, *, growing: float, prefilled: float, kv_s: float, pairs_s: float) -> float:
        """One step: `growing` answers get a token each, `prefilled` tokens of prompts are read; `kv_s` and `pairs_s` are attention's for them."""
        tokens = growing + prefilled
        return (
            max(self.weights_s, self.token_s * tokens)
            + self.head_s * growing
            + kv_s
            + pairs_s
            + self.link_s
            + self.link_token_s * tokens
            + self.overhead_s
            + self.sequence_s * growing
        )


def step_costs(server: Server) -> StepCosts:
    """What a step of this replica costs. Tensor parallelism divides all but the overhead, and adds two all-reduces a layer."""
    gpu, shape, engine, left = server.gpu, server.shape, server.engine, server.efficiency
    bandwidth = gpu.bandwidth_gb_per_s * 1e9 * left.bandwidth_share * engine.tensor_parallel
    sustained = 1e12 * gpu.sustained_share * engine.tensor_parallel
    bf16 = gpu.bf16_tflops_per_s * left.bf16_share * sustained
    in_fp8 = engine.weights == "fp8" and gpu.fp8_tflops_per_s is not None
    layers = (gpu.fp8_tflops_per_s or 0) * left.fp8_share * sustained if in_fp8 else bf16
    read = shape.layer_parameters * BYTES[engine.weights] + shape.head_parameters * BYTES["bf16"]
    copies = max(
        1.0, engine.tensor_parallel / shape.kv_heads
    )  # fewer pairs of keys and values than GPUs: some hold the same
    link_s, link_token_s = _links(server)
    return StepCosts(
        weights_s=engine.lora_factor * read / bandwidth,
        token_s=engine.lora_factor * 2 * shape.layer_parameters / layers,
        head_s=2 * shape.head_parameters / bf16,
        kv_s_per_byte=copies / bandwidth,
        pair_s_per_flop=1 / bf16,
        link_s=link_s,
        link_token_s=link_token_s,
        overhead_s=shape.layers * left.layer_overhead_us * 1e-6,
        sequence_s=left.sequence_overhead_us * 1e-6,
    )


def _links(server: Server) -> tuple[float, float]:
    """Seconds of a step's all-reduces (two a layer, in rings), and of each token in them."""
    gpus = server.engine.tensor_parallel
    if gpus == 1:
        return 0.0, 0.0
    sent = 2 * (gpus - 1) / gpus * server.shape.hidden * BYTES["bf16"]
    link = server.gpu.link_gb_per_s * 1e9 * server.efficiency.link_share
    return 2 * server.shape.layers * _HOP_S, 2 * server.shape.layers * sent / link


def kv_capacity_bytes(server: Server) -> float:
    """Memory that is left for keys and values, on all GPUs of a replica.

    Raises `ConfigError` where the weights alone do not fit, and says what would.
    """
    gpu, shape, engine = server.gpu, server.shape, server.engine
    whole = engine.tensor_parallel * 1e9 * (gpu.memory_gb * engine.memory_share - engine.reserve_gb)
    left = whole - shape.weight_bytes(engine.weights)
    if left <= 0:
        needed = shape.weight_bytes(engine.weights) / 1e9
        smaller = "weights in fp8, " if engine.weights != "fp8" else ""
        raise ConfigError(
            f"{shape.name} in {engine.weights} is {needed:.0f} GB, more than {engine.tensor_parallel} x {gpu.name} have for it "
            f"({max(whole, 0) / 1e9:.0f} GB): try {smaller}more GPUs a replica (tensor parallel), or another GPU"
        )
    copies = max(1.0, engine.tensor_parallel / shape.kv_heads)
    return left / copies


def kv_capacity_tokens(server: Server) -> float:
    """How many tokens of context fit, where no layer has a window."""
    return kv_capacity_bytes(server) / server.shape.kv_bytes(1, server.engine.kv)


def sequences_fitting(server: Server, load: Load) -> float:
    """How many answers can grow at once by memory; the beginning that they share lies there once.

    An answer counts with half of its length: vLLM admits by what is in use, and answers end all the time.

    Raises `ConfigError` where not even one fits.
    """
    once = server.shape.kv_bytes(load.input_tokens - load.prefilled_tokens, server.engine.kv)
    context = load.input_tokens + load.output_tokens / 2
    each = server.shape.kv_bytes(load.prefilled_tokens + load.output_tokens / 2, server.engine.kv)
    left = kv_capacity_bytes(server) - once
    if left < each:
        raise ConfigError(
            f"one context of {context:,.0f} tokens needs {(each + once) / 1e9:.1f} GB of keys and values, and {server.engine.tensor_parallel} x "
            f"{server.gpu.name} have {(left + once) / 1e9:.1f} GB left: try fp8 for them, more GPUs a replica, or shorter prompts"
        )
    return left / each
