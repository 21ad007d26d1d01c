"""Which GPU: fleets by hand, the cheapest against all of them looked at one by one, and why one is left out."""

from __future__ import annotations

import math

import msgspec
import pytest

from smallfirst.errors import ConfigError
from smallfirst.planning.costs import which_gpu
from smallfirst.planning.costs.basis import basis_of, workload_of
from smallfirst.planning.costs.inputs import Inputs, completed
from smallfirst.planning.costs.machine import machine_of
from smallfirst.planning.costs.own import use_of
from smallfirst.planning.costs.plan import make_plan
from smallfirst.planning.costs.which_gpu import SIMULATED, choose_gpu

LEAST = {"calls_per_day": 1e6, "input_tokens": 800.0, "output_tokens": 200.0, "frontier": "3/15"}


def chosen(**fields):
    inputs, sources = completed(Inputs(**(LEAST | {"own": "llama-3.1-8b"} | fields)))
    with_gpu, found = choose_gpu(inputs, sources)
    assert found is not None
    return with_gpu, found, sources


def by_name(found):
    return {one.gpu: one for one in found.candidates}


def test_the_whole_catalogue_is_priced_as_a_hand_does_it():
    inputs, found, sources = chosen()
    # 800,000 calls a day of the small model are 9.26 a second, 27.8 in the busiest hour.
    for gpu, replicas, usd in (("H100", 2, 187.20), ("L40S", 4, 104.64), ("RTX-4090", 6, 77.76)):
        one = by_name(found)[gpu]
        peak = 0.8e6 / 86_400 * 3
        assert one.use.replicas == math.ceil(peak / one.use.planned_rps) + 1 == replicas
        assert one.day_usd == pytest.approx(replicas * one.usd_per_hour * 24) == pytest.approx(usd)
        assert one.million_small_calls_usd == pytest.approx(usd / 0.8)
        assert one.use.utilisation_peak == pytest.approx(peak / (replicas * one.use.saturated_rps))
    prices = [one.day_usd for one in found.candidates if not one.left_out]
    assert prices == sorted(prices)
    assert (found.chosen, inputs.gpu, inputs.gpus_per_replica) == ("RTX-4090", "RTX-4090", 1)
    assert sources["gpu"].kind == "chosen"
    assert sources["gpu"].why.startswith("the cheapest of RTX-4090, L40S, ")
    assert {one.gpu: one.left_out for one in found.candidates if one.left_out} == dict.fromkeys(
        ("L4", "A10G", "MI300X"), "no known price"
    )


def test_adapters_slow_every_gpu_as_the_factor_says():
    _, plain, _ = chosen(gpu="H100,L40S")
    _, slowed, _ = chosen(gpu="H100,L40S", lora_factor=1.2)
    for gpu, one in by_name(plain).items():
        ratio = one.use.saturated_rps / by_name(slowed)[gpu].use.saturated_rps
        assert 1.05 < ratio < 1.2  # of the layers' products alone
    with pytest.raises(ConfigError, match="--lora-factor"):
        chosen(gpu="H100,L40S", lora_factor=0.9)


def test_only_the_cheapest_are_simulated_and_fewer_where_calls_are_long(monkeypatch):
    simulated = [one.gpu for one in chosen()[1].candidates if one.use is not None and one.use.latency]
    assert simulated == ["RTX-4090", "L40S", "H100"]
    assert len(simulated) == SIMULATED
    monkeypatch.setattr(which_gpu, "LONG_TOKENS", 999)
    _, found, _ = chosen(gpu="H100,L40S,RTX-4090")
    assert [bool(one.use.latency) for one in found.candidates] == [True, False, False]
    assert not any(one.is_least for one in found.candidates)  # without a target their price is exact


@pytest.mark.parametrize("target", [{"latency_ms": 5500.0}, {"ttft_ms": 150.0}, {"ttft_ms": 1.0}])
def test_the_cheapest_that_keeps_the_target_is_the_one_that_a_look_at_each_finds(target):
    """Without a target, an RTX 4090 is the cheapest, and an L40S next."""
    names, day_usd = ("RTX-4090", "L40S", "H100-PCIe", "H200", "B200"), {}
    target = target | {"calls_per_day": 2e6}
    for name in names:
        inputs, sources = completed(Inputs(**(LEAST | target), own="llama-3.1-8b", gpu=name))
        work = workload_of(inputs)
        try:
            own = machine_of(inputs, work, sources)
        except ConfigError:
            continue
        day_usd[name] = float(use_of(own, work).replicas * own.replica_usd_per_day)
    if not day_usd:
        with pytest.raises(ConfigError, match="RTX-4090: cannot keep the latency target: even idle, p95 is"):
            chosen(gpu=",".join(names), **target)
        return
    inputs, found, _ = chosen(gpu=",".join(names), **target)
    assert inputs.gpu == found.chosen == min(day_usd, key=day_usd.__getitem__) != "RTX-4090"
    for name, one in by_name(found).items():
        if one.left_out:
            assert name not in day_usd
            assert "cannot keep the latency target" in one.left_out
        elif one.is_least:
            assert one.use.latency == ()
            assert day_usd[found.chosen] <= one.day_usd <= day_usd.get(name, math.inf)
        else:
            assert one.day_usd == pytest.approx(day_usd[name])
            assert one.use.latency[0].at == "peak, spare gone"


def test_a_model_that_one_does_not_hold_is_put_on_the_fewest_that_do():
    inputs, found, sources = chosen(own="llama-3.3-70b", gpu="H100,h200,L40S,A100-80GB,h100")
    # 70.6 GB in FP8, or 141 GB where there is none: 0.9 of the memory, less 2 GB a GPU, is for weights and context.
    counts = {one.gpu: one.gpus_per_replica for one in found.candidates}
    assert counts == {"H100": 2, "H200": 1, "L40S": 2, "A100-80GB": 4}
    for one in found.candidates:
        assert one.use.gpus == one.gpus_per_replica * one.use.replicas
        assert one.day_usd == pytest.approx(one.use.gpus * one.usd_per_hour * 24)
    assert inputs.gpus_per_replica == counts[found.chosen]
    if inputs.gpus_per_replica != 1:
        assert sources["gpus_per_replica"].why == "the fewest that hold the model"


def test_gpus_per_replica_that_are_given_are_taken_as_they_are():
    inputs, found, sources = chosen(own="llama-3.3-70b", gpu="H100,H200", gpus_per_replica=1)
    assert by_name(found)["H100"].left_out == "one does not hold the model and one call"
    assert (inputs.gpu, sources["gpu"].why) == ("H200", "the only one that can be")
    four, _, sources = chosen(gpu="H100,L40S", gpus_per_replica=4)
    assert four.gpus_per_replica == 4
    assert sources["gpus_per_replica"].kind == "given"
    with pytest.raises(ConfigError, match="L40S: 2 of them do not hold the model and one call"):
        chosen(own="llama-3.3-70b", gpu="L40S,RTX-4090", precision="bf16", gpus_per_replica=2)


def test_gpus_of_the_users_own_are_compared_too(tmp_path):
    path = tmp_path / "gpus.toml"
    path.write_text(
        "[gpus.Ours]\nbf16_tflops_per_s = 1000\nmemory_gb = 80\nbandwidth_gb_per_s = 3000\noffers_usd_per_hour = [0.01]\n"
        "[gpus.Theirs]\nbf16_tflops_per_s = 1000\nmemory_gb = 80\nbandwidth_gb_per_s = 3000\n"
    )
    inputs, found, _ = chosen(gpu_file=str(path))
    assert inputs.gpu == "Ours"
    assert by_name(found)["Theirs"].left_out == "no known price"
    assert "H100" in by_name(found)


def test_there_is_no_choice_where_one_is_named_or_a_rate_is_given():
    for fields in (
        {},
        {"own": "llama-3.1-8b", "gpu": "H100"},
        {"own": "x", "rps_per_gpu": 35.0, "gpu_usd_per_hour": 2.0},
    ):
        inputs, sources = completed(Inputs(**LEAST, **fields))
        assert choose_gpu(inputs, dict(sources)) == (inputs, None)


def test_a_plan_without_calls_for_the_small_model_has_no_price_of_one():
    _, found, _ = chosen(gpu="H100,L40S", frontier_share=1.0)
    assert [one.million_small_calls_usd for one in found.candidates] == [None, None]
    assert [one.use.replicas for one in found.candidates] == [2, 2]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"gpu_usd_per_hour": 2.0}, "--gpu-usd-per-hour: is the price of one GPU: name it with --gpu"),
        ({"gpu": "H100,L40S", "gpu_usd_per_hour": 2.0}, "--gpu-usd-per-hour: is the price of one GPU"),
        ({"serverless_usd_per_gpu_second": 0.001}, "--serverless-usd-per-gpu-second: is the price of one"),
        ({"calibration": "mine"}, "--calibration: was measured on one GPU"),
        ({"gpu": "H100,L40S", "rps_per_gpu": 35.0}, "--rps-per-gpu: was measured on one GPU"),
        ({"gpu": " , "}, "--gpu: expected names, as H100,L40S"),
        ({"gpu": "H100,H1000"}, "no GPU 'H1000': did you mean H100"),
        ({"gpu": "L4,A10G"}, "--gpu: none of them can be planned with. L4: no known price; A10G: no known"),
        ({"gpus_per_replica": 3}, "--gpus-per-replica: expected 1, 2, 4 or 8, not 3"),
        ({"own": "lama"}, "no model 'lama'"),
        ({"input_tokens": 2e6}, "input_tokens: expected at most 1,000,000"),
    ],
)
def test_a_mistake_names_its_option(fields, told):
    with pytest.raises(ConfigError) as caught:
        chosen(**fields)
    assert str(caught.value).startswith(told)


def test_the_plan_is_made_with_the_chosen_one_and_has_the_comparison():
    inputs, sources = completed(Inputs(**LEAST, own="llama-3.1-8b", gpu="L40S,H100", ttft_ms=400.0))
    inputs, found = choose_gpu(inputs, sources)
    basis = basis_of(inputs, sources, None)  # prices are figures: no table is asked
    plan = make_plan(inputs, sources, basis, found)
    own, best = plan.named("own"), found.candidates[0]
    assert own.use == best.use
    assert own.parts_usd_per_day["gpus"] == best.day_usd
    assert plan.inputs.gpu == best.gpu == "L40S"
    told = msgspec.json.decode(msgspec.json.encode(plan))["which_gpu"]
    assert told["chosen"] == "L40S"
    assert [one["gpu"] for one in told["candidates"]] == ["L40S", "H100"]
