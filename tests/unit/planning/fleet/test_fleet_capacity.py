"""Memory and throughput against sums done by hand."""

from __future__ import annotations

import msgspec
import pytest

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet import Efficiency, Engine, Load, Server, catalogue, engine_for, saturated
from smallfirst.planning.fleet.roofline import kv_capacity_tokens, step_costs

LLAMA_8B = catalogue.model("llama-3.1-8b")
FP8 = Engine(weights="fp8", kv="fp8")
WHOLE = Efficiency(
    bf16_share=1, fp8_share=1, bandwidth_share=1, layer_overhead_us=0, sequence_overhead_us=0, link_share=1
)
SUPPORT = Load(input_tokens=800, output_tokens=200)


def server(
    gpu: str = "H100", engine: Engine = Engine(), left: Efficiency | None = None, model: str = "llama-3.1-8b"
) -> Server:
    return Server(
        gpu=catalogue.gpu(gpu),
        shape=catalogue.model(model),
        engine=engine,
        efficiency=left or catalogue.efficiency(),
    )


def test_keys_and_values_of_a_token() -> None:
    # 2 x 32 layers x 8 pairs of heads x 128 numbers: 128 KiB in BF16, 64 KiB in FP8.
    assert LLAMA_8B.kv_bytes(1, "bf16") == 128 * 1024
    assert LLAMA_8B.kv_bytes(1, "fp8") == 64 * 1024


def test_how_many_tokens_fit() -> None:
    # (80 GB x 0.9 - 2 GB - 16.06 GB) / 128 KiB; in FP8 the embedding and the head stay in BF16: 9.08 GB.
    assert kv_capacity_tokens(server()) == pytest.approx(411_500, rel=1e-3)
    assert kv_capacity_tokens(server(engine=FP8)) == pytest.approx(929_600, rel=1e-3)


def test_layers_with_a_window_keep_no_more_than_it() -> None:
    gemma = catalogue.model("gemma-3-27b")
    whole = msgspec.structs.replace(gemma, windowed_layers=0, window_tokens=0)
    assert gemma.kv_bytes(512, "bf16") == whole.kv_bytes(512, "bf16")
    # 10 of 62 layers keep all of 32,768 tokens, 52 keep 1,024.
    assert gemma.kv_bytes(32_768, "bf16") / whole.kv_bytes(32_768, "bf16") == pytest.approx(
        (10 + 52 / 32) / 62
    )
    assert gemma.attention_flops(0, 4096) < whole.attention_flops(0, 4096)
    assert gemma.attention_flops(0, 4096) == pytest.approx(
        gemma.attention_flops(0, 1000) + gemma.attention_flops(1000, 4096)
    )


def test_one_step_by_hand() -> None:
    costs = step_costs(server(left=WHOLE))
    layers = 32 * (4096 * 128 * (32 + 16) + 32 * 128 * 4096 + 3 * 4096 * 14336)
    head = 4096 * 128256
    assert costs.weights_s == pytest.approx(2 * (layers + head) / 3.35e12)
    assert costs.token_s == pytest.approx(2 * layers / 989.4e12)
    # One answer alone waits for the weights; 1,000 tokens of a prompt for the arithmetic.
    assert costs.step_s(growing=1, prefilled=0, kv_s=0, pairs_s=0) == pytest.approx(
        costs.weights_s + costs.head_s
    )
    assert costs.step_s(growing=0, prefilled=1000, kv_s=0, pairs_s=0) == pytest.approx(
        2000 * layers / 989.4e12
    )


def test_80_to_120_a_second_need_more_than_an_h100_has_in_bf16() -> None:
    # 2 x 8.03 billion x 1,000 tokens are 16.06 TFLOP a request: 80 to 120 of them are 130 to 195 % of 989 TFLOP/s.
    flops = 2 * LLAMA_8B.counted_parameters * 1000
    assert [round(100 * rate * flops / 989.4e12) for rate in (80, 120)] == [130, 195]
    assert saturated(server(left=WHOLE), SUPPORT).requests_per_s < 80


def test_what_published_runs_leave_of_it() -> None:
    in_bf16, in_fp8 = (saturated(server(engine=engine), SUPPORT) for engine in (Engine(), FP8))
    # Nominal sums of reliability research: 23 and 45 a second, 35 to plan with.
    assert 23 < in_bf16.requests_per_s < 33
    assert 33 < in_fp8.requests_per_s < 45
    assert in_fp8.held_by == "max_sequences"
    assert in_fp8.bound == "arithmetic"
    assert in_fp8.output_tokens_per_s == pytest.approx(200 * in_fp8.requests_per_s)
    assert in_fp8.input_tokens_per_s == pytest.approx(800 * in_fp8.requests_per_s)


@pytest.mark.parametrize(("gpu", "engine", "low", "high"), [
    ("A100-80GB", Engine(), 8, 12), ("L40S", Engine(), 6, 10), ("L40S", FP8, 11, 16), ("L4", Engine(), 1, 3), ("L4", FP8, 3.5, 7),
])  # fmt: skip
def test_other_gpus_are_near_a_coarse_sum(gpu: str, engine: Engine, low: float, high: float) -> None:
    assert low < saturated(server(gpu, engine), SUPPORT).requests_per_s < high


def test_a_cached_beginning_is_not_read_again() -> None:
    cached = msgspec.structs.replace(SUPPORT, cached_share=0.75)
    assert (
        saturated(server(engine=FP8), cached).requests_per_s
        > 1.6 * saturated(server(engine=FP8), SUPPORT).requests_per_s
    )


def test_memory_holds_answers_back_where_contexts_are_long() -> None:
    found = saturated(server("RTX-4090"), Load(input_tokens=6000, output_tokens=500))
    assert found.held_by == "memory"
    assert found.sequences == pytest.approx(27_008 / 6250, rel=0.01)


def test_steps_hold_answers_back_where_prompts_are_long() -> None:
    found = saturated(server(engine=Engine(batched_tokens=512)), Load(input_tokens=4000, output_tokens=2))
    assert found.held_by == "batched_tokens"


def test_an_answer_of_one_token_is_all_prompt() -> None:
    # The first token comes with the prompt: nothing grows, and arithmetic alone counts (but for the head of that token).
    found = saturated(server(left=WHOLE), Load(input_tokens=1000, output_tokens=1))
    assert found.arithmetic_share == pytest.approx(1, abs=1e-3)


def test_adapters_cost_their_factor() -> None:
    plain, adapted = (
        saturated(server(left=WHOLE, engine=Engine(lora_factor=factor)), SUPPORT) for factor in (1.0, 1.2)
    )
    assert 1.1 < plain.requests_per_s / adapted.requests_per_s < 1.2


def test_fp8_weights_on_a_gpu_without_fp8_are_stored_so_and_computed_in_bf16() -> None:
    a100 = step_costs(server("A100-80GB", FP8))
    assert a100.token_s == step_costs(server("A100-80GB")).token_s
    assert a100.weights_s < step_costs(server("A100-80GB")).weights_s


def test_two_gpus_a_replica_are_less_than_twice_one() -> None:
    one, two = (
        saturated(server(engine=Engine(tensor_parallel=gpus)), SUPPORT).requests_per_s for gpus in (1, 2)
    )
    assert 1.2 * one < two < 2.2 * one

    # PCIe is dearer to cross than NVLink.
    def gain(gpu: str) -> float:
        return (
            saturated(server(gpu, Engine(tensor_parallel=2)), SUPPORT).requests_per_s
            / saturated(server(gpu), SUPPORT).requests_per_s
        )

    assert gain("H100-PCIe") < gain("H100")


def test_what_does_not_fit_says_what_would() -> None:
    with pytest.raises(
        ConfigError, match=r"llama-3.1-70b in bf16 is 141 GB, more than 1 x H100 .*weights in fp8, more GPUs"
    ):
        saturated(server(model="llama-3.1-70b"), SUPPORT)
    assert (
        saturated(server(model="llama-3.1-70b", engine=Engine(tensor_parallel=4)), SUPPORT).requests_per_s > 1
    )
    with pytest.raises(ConfigError, match=r"one context of 500,100 tokens needs 65.5 GB .*shorter prompts"):
        saturated(server(), Load(input_tokens=500_000, output_tokens=200))


@pytest.mark.parametrize("fields", [
    {"input_tokens": 0}, {"output_tokens": float("nan")}, {"cached_share": 1.5}, {"spread": -1}, {"burst": float("inf")},
    {"input_tokens": 2_000_000}, {"requests_per_s": -1},
])  # fmt: skip
def test_a_load_that_cannot_be_is_named(fields: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        saturated(server(), Load(**{"input_tokens": 800, "output_tokens": 200, **fields}))


@pytest.mark.parametrize("fields", [
    {"weights": "int4"}, {"kv": "fp4"}, {"tensor_parallel": 3}, {"max_sequences": 0}, {"batched_tokens": 1}, {"memory_share": 0.0},
    {"lora_factor": 0.5}, {"reserve_gb": -1.0},
])  # fmt: skip
def test_an_engine_that_cannot_be_is_named(fields: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(fields))):
        saturated(server(engine=Engine(**fields)), SUPPORT)  # pyright: ignore[reportArgumentType]


def test_the_engine_fits_the_gpu() -> None:
    assert engine_for(catalogue.gpu("H100")) == Engine(weights="fp8", kv="fp8")
    assert engine_for(catalogue.gpu("A100-80GB")) == Engine(batched_tokens=2048)
    assert engine_for(catalogue.gpu("L4")).batched_tokens == 2048
