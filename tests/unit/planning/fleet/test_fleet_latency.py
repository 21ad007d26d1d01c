"""Arrivals are stepped through one by one: against sums by hand, and against the steady state."""

from __future__ import annotations

import re

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet import (
    Efficiency,
    Engine,
    Load,
    Server,
    Target,
    catalogue,
    engine_for,
    rate_within,
    saturated,
    served,
)
from smallfirst.planning.fleet.batching import Request, run
from smallfirst.planning.fleet.latency import UTILISATION_MOST, _requests, why_not_kept
from smallfirst.planning.fleet.roofline import step_costs

LEFT = Efficiency(
    bf16_share=0.5, fp8_share=0.4, bandwidth_share=0.9, layer_overhead_us=50, sequence_overhead_us=8
)
SERVER = Server(
    gpu=catalogue.gpu("H100"),
    shape=catalogue.model("llama-3.1-8b"),
    engine=Engine(weights="fp8", kv="fp8"),
    efficiency=LEFT,
)
SUPPORT = Load(input_tokens=800, output_tokens=200)


def step_s(
    server: Server, *, growing: int, prefilled: float, context: float = 0.0, pairs: float = 0.0
) -> float:
    costs = step_costs(server)
    kv_s = growing * server.shape.kv_bytes(context, server.engine.kv) * costs.kv_s_per_byte
    return costs.step_s(
        growing=growing, prefilled=prefilled, kv_s=kv_s, pairs_s=pairs * costs.pair_s_per_flop
    )


def test_one_request_alone() -> None:
    found = run(SERVER, [Request(5.0, 800, 3)])
    prompt = step_s(SERVER, growing=0, prefilled=800, pairs=SERVER.shape.attention_flops(0, 800))
    token = step_s(SERVER, growing=1, prefilled=0, context=801.5)
    assert found.first_s == [pytest.approx(5 + prompt)]
    assert found.last_s == [pytest.approx(5 + prompt + 2 * token)]


def test_a_long_prompt_is_read_in_chunks_while_another_answer_grows() -> None:
    server = msgspec.structs.replace(SERVER, engine=Engine(batched_tokens=256))
    found = run(server, [Request(0.0, 100, 50), Request(0.0, 700, 1)])
    # 256 tokens a step: 100 + 156, then one grows and 255 are read, 255 more, and the last 34.
    pairs = server.shape.attention_flops(0, 700) / 700
    own = server.shape.attention_flops(0, 100)
    steps = [step_s(server, growing=0, prefilled=256, pairs=own + 156 * pairs)]
    steps += [
        step_s(server, growing=1, prefilled=tokens, context=125, pairs=tokens * pairs)
        for tokens in (255, 255, 34)
    ]
    assert found.first_s == [pytest.approx(steps[0]), pytest.approx(sum(steps))]
    assert found.last_s[0] == pytest.approx(
        sum(steps) + 46 * step_s(server, growing=1, prefilled=0, context=125)
    )


def test_who_comes_when_all_places_are_taken_waits() -> None:
    server = msgspec.structs.replace(SERVER, engine=Engine(max_sequences=1))
    alone = run(server, [Request(0.0, 100, 20)]).last_s[0]
    assert run(server, [Request(0.0, 100, 20), Request(0.0, 100, 20)]).last_s == [
        pytest.approx(alone),
        pytest.approx(2 * alone),
    ]


def test_who_comes_when_the_memory_is_full_waits() -> None:
    # 12.38 GB x 0.9 - 2 GB - 9.08 GB of weights: 61 MB, 936 tokens.
    small = msgspec.structs.replace(SERVER.gpu, memory_gb=12.38)
    server = msgspec.structs.replace(SERVER, gpu=small)
    found = run(server, [Request(0.0, 600, 10), Request(0.0, 600, 10)])
    assert found.first_s[1] > found.last_s[0]


def test_a_cached_beginning_is_not_read() -> None:
    assert (
        run(SERVER, [Request(0.0, 8000, 1, 7900.0)]).first_s[0]
        < run(SERVER, [Request(0.0, 8000, 1)]).first_s[0] / 5
    )


@settings(max_examples=40, deadline=None)
@given(
    inputs=st.integers(1, 6000), outputs=st.integers(1, 800), cached=st.sampled_from([0.0, 0.5, 0.9]),
    places=st.sampled_from([1, 8, 64, 256]), gpu=st.sampled_from(["H100", "L40S", "L4"]),
)  # fmt: skip
def test_the_steady_state_is_what_a_long_run_comes_to(
    inputs: int, outputs: int, cached: float, places: int, gpu: str
) -> None:
    server = msgspec.structs.replace(
        SERVER, gpu=catalogue.gpu(gpu), engine=Engine(weights="fp8", kv="fp8", max_sequences=places)
    )
    load = Load(input_tokens=inputs, output_tokens=outputs, cached_share=cached, spread=0)
    shared = load.input_tokens - load.prefilled_tokens
    # Staggered lengths, so that answers do not march in step.
    lengths = [max(1, round(outputs * (0.5 + number % 41 / 40))) for number in range(1200)]
    requests = [Request(0.0, inputs, length, shared) for length in lengths]
    long_run = len(requests) / max(run(server, requests).last_s)
    # Its beginning and its end are not full.
    assert 0.6 < long_run / saturated(server, load).requests_per_s < 1.25


@pytest.mark.parametrize("gpu", ["H100", "L40S", "A100-40GB", "L4", "A10G"])
@pytest.mark.parametrize(("inputs", "outputs"), [(800, 200), (2000, 50), (200, 400)])
def test_between_its_beginning_and_its_end_a_long_run_is_the_steady_state(
    gpu: str, inputs: int, outputs: int
) -> None:
    """Where few answers fit, few steps read a prompt: the mean of such steps is longer than a step with the mean's tokens (22 % on the A10G)."""
    found = catalogue.gpu(gpu)
    server = Server(gpu=found, shape=SERVER.shape, engine=engine_for(found), efficiency=LEFT)
    draws = np.random.default_rng(1)
    lengths = np.maximum(1, np.round(outputs * draws.gamma(4, 1 / 4, 4000)))
    ends = np.sort(run(server, [Request(0.0, inputs, float(length)) for length in lengths]).last_s)
    measured = 2800 / (ends[3600] - ends[800])
    load = Load(input_tokens=inputs, output_tokens=outputs)
    assert measured == pytest.approx(saturated(server, load).requests_per_s, rel=0.07)


def test_nothing_is_lost_and_nobody_is_served_before_he_comes() -> None:
    requests = [Request(number / 30, 100 + 37 * number % 900, 1 + 13 * number % 300) for number in range(500)]
    found = run(SERVER, requests)
    for request, first, last in zip(requests, found.first_s, found.last_s, strict=True):
        assert request.arrival_s < first <= last


def test_waiting_grows_with_the_rate() -> None:
    rates = [saturated(SERVER, SUPPORT).requests_per_s * share for share in (0.05, 0.5, 0.9, 1.3)]
    found = [served(SERVER, SUPPORT, rate) for rate in rates]
    for waited in ("ttft_p95_ms", "between_p50_ms", "total_p95_ms"):
        values = [getattr(each, waited) for each in found]
        assert values == sorted(values)
    assert [each.stable for each in found] == [True, True, True, False]
    assert found[3].ttft_p95_ms > 1000  # past saturation the queue itself is what one waits for


def test_the_same_question_has_the_same_answer() -> None:
    assert served(SERVER, SUPPORT, 10) == served(SERVER, SUPPORT, 10)
    assert served(SERVER, SUPPORT, 10) != served(SERVER, SUPPORT, 10, seed=1)


def test_bunched_arrivals_wait_longer_and_turns_shorter() -> None:
    rate = 0.8 * saturated(SERVER, SUPPORT).requests_per_s
    bunched = msgspec.structs.replace(SUPPORT, burst=20)
    ttft = [
        served(SERVER, load, rate, turns=turns).ttft_p95_ms
        for load, turns in ((bunched, 1), (SUPPORT, 1), (SUPPORT, 8))
    ]
    assert ttft == sorted(ttft, reverse=True)


def test_lengths_that_vary_stretch_the_tail() -> None:
    alike = msgspec.structs.replace(SUPPORT, spread=0)
    assert served(SERVER, alike, 10).total_p95_ms < 0.7 * served(SERVER, SUPPORT, 10).total_p95_ms


def test_the_rate_within_a_target_keeps_it_and_little_more_breaks_it() -> None:
    target = Target(total_p95_ms=4000)
    rate = rate_within(SERVER, SUPPORT, target)
    assert 0 < rate < UTILISATION_MOST * saturated(SERVER, SUPPORT).requests_per_s
    assert target.met(served(SERVER, SUPPORT, rate))
    assert not target.met(served(SERVER, SUPPORT, 1.05 * rate))


@pytest.mark.parametrize("gpu", ["H100", "L40S"])
@pytest.mark.parametrize("allowed", [1.1, 1.4])
def test_replicas_that_take_turns_keep_what_one_alone_keeps(gpu: str, allowed: float) -> None:
    """They are asked the same, at steadier gaps."""
    server = msgspec.structs.replace(SERVER, gpu=catalogue.gpu(gpu))
    idle = served(server, SUPPORT, 0.01 * saturated(server, SUPPORT).requests_per_s)
    target = Target(total_p95_ms=allowed * idle.total_p95_ms)
    rate = rate_within(server, SUPPORT, target)
    assert all(target.met(served(server, SUPPORT, rate, turns=turns)) for turns in (1, 2, 3, 5, 20))


def test_what_is_asked_hangs_neither_on_the_rate_nor_on_turns_nor_on_bursts() -> None:
    bunched = msgspec.structs.replace(SUPPORT, burst=20)
    asked = {
        tuple((each.input_tokens, each.output_tokens) for each in _requests(load, rate, turns, 0))
        for load, rate, turns in ((SUPPORT, 3.0, 1), (SUPPORT, 30.0, 1), (SUPPORT, 3.0, 7), (bunched, 3.0, 1))
    }
    assert len(asked) == 1


def test_without_a_target_a_tenth_is_left_for_waves() -> None:
    assert rate_within(SERVER, SUPPORT, Target()) == pytest.approx(
        0.9 * saturated(SERVER, SUPPORT).requests_per_s
    )


def test_a_target_that_an_idle_gpu_breaks() -> None:
    impossible = Target(total_p95_ms=50)
    assert rate_within(SERVER, SUPPORT, impossible) == 0
    why = why_not_kept(SERVER, SUPPORT, impossible)
    assert re.search(
        r"no number of H100 keeps the target: even an idle one takes [\d,]+ ms in all where 50 are allowed",
        why,
    )
    with pytest.raises(ConfigError, match="ttft_p95_ms"):
        rate_within(SERVER, SUPPORT, Target(ttft_p95_ms=0))


@pytest.mark.parametrize("spread", [0.0, 0.5])
def test_one_place_is_a_queue_as_pollaczek_and_khinchine_have_it(spread: float) -> None:
    """M/G/1: the mean wait is λ E[S²] / 2(1 − ρ), S being what a request takes alone."""
    server, draws = msgspec.structs.replace(SERVER, engine=Engine(max_sequences=1)), np.random.default_rng(5)
    outputs = np.maximum(1, np.round(40 * np.exp(spread * draws.standard_normal(20_000))))
    takes = {tokens: run(server, [Request(0.0, 100, tokens)]).last_s[0] for tokens in np.unique(outputs)}
    alone = np.array([takes[tokens] for tokens in outputs])
    rate = 0.7 / alone.mean()
    arrivals = np.cumsum(draws.exponential(1 / rate, len(outputs)))
    requests = [Request(float(at), 100, float(tokens)) for at, tokens in zip(arrivals, outputs, strict=True)]
    waited = np.mean(np.array(run(server, requests).last_s) - arrivals - alone)
    assert waited == pytest.approx(rate * np.mean(alone**2) / 2 / (1 - 0.7), rel=0.08)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="requests_per_s"):
        served(SERVER, SUPPORT)
