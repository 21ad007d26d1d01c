"""What a plan is made of: precedence, sources, and every mistake named by its option."""

from __future__ import annotations

import datetime
import math
from decimal import Decimal

import pytest

from smallfirst.config.load import parse
from smallfirst.errors import ConfigError
from smallfirst.planning.costs.basis import basis_of
from smallfirst.planning.costs.inputs import Inputs, completed, read_inputs
from smallfirst.planning.costs.knobs import knobs_of
from smallfirst.planning.costs.own import use_of, with_latency
from smallfirst.planning.costs.plan import make_plan
from smallfirst.planning.costs.quote import read_quote, with_batch
from smallfirst.pricing.catalogue import Catalogue

LEAST = {"calls_per_day": 1e6, "input_tokens": 800.0, "output_tokens": 200.0, "frontier": "3/15"}
TODAY = datetime.date(2026, 11, 26)


def catalogue(config: str = "") -> Catalogue:
    return Catalogue(parse(config), on=TODAY, today=TODAY)


def test_the_given_wins_over_the_files_over_the_measured_over_the_assumed():
    inputs, sources = completed(
        Inputs(**LEAST),
        Inputs(calls_per_day=5.0, cache_hit_rate=0.4, ranges={"frontier_share": (0.1, 0.2)}),
        {
            "calls_per_day": (7.0, "seen"),
            "cache_hit_rate": (0.5, "seen"),
            "frontier_share": (0.25, "seen in 100 calls"),
        },
        file_name="plan.toml",
    )
    assert (inputs.calls_per_day, inputs.cache_hit_rate, inputs.frontier_share, inputs.batch_share) == (
        1e6,
        0.4,
        0.25,
        0.0,
    )
    kinds = {name: (source.kind, source.why) for name, source in sources.items()}
    assert kinds["calls_per_day"] == ("given", "")
    assert kinds["cache_hit_rate"] == ("given", "plan.toml")
    assert kinds["frontier_share"] == ("measured", "seen in 100 calls")
    assert kinds["batch_share"][0] == "assumed"
    assert inputs.ranges == {"frontier_share": (0.1, 0.2)}


def test_nothing_is_assumed_of_what_is_not_there():
    inputs, sources = completed(Inputs(**LEAST))
    assert (inputs.load, inputs.cold_start_s, inputs.restart_s) == (None, None, None)
    assert not {"load", "spare", "cold_start_s"} & set(sources)
    spot, _ = completed(Inputs(**LEAST, own="8b", rps_per_gpu=35, gpu_usd_per_hour=2, spot_price_factor=0.5))
    assert (spot.load, spot.spot_floor_share, spot.cold_start_s) == (0.7, 0.5, None)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"calls_per_day": None}, "--calls-per-day: needed, or `--from-ledger`"),
        ({"frontier": None}, "--frontier: needed"),
        ({"gpu": "H100"}, "--gpu: has no use without --own"),
        ({"ttft_ms": 200.0}, "--ttft-ms: has no use without --own"),
        ({"restart_s": 5.0}, "--restart-s: has no use without --spot-price-factor"),
        ({"batch_factor": 0.5}, "--batch-factor: has no use without --batch-share"),
        ({"own": "x", "rps_per_gpu": 0.0}, "--rps-per-gpu: expected a number from 1e-06"),
        ({"own": "x", "rps_per_gpu": float("nan")}, "--rps-per-gpu: expected a number"),
        (
            {"own": "x", "rps_per_gpu": 35.0, "load": 1.2},
            "--load: expected a number from 1e-06 to 1, not 1.2",
        ),
        (
            {"own": "x", "rps_per_gpu": 35.0, "gpus_per_replica": 0},
            "--gpus-per-replica: expected a number from 1 to 64",
        ),
        ({"target": -1.0}, "--target: expected a number"),
    ],
)
def test_a_mistake_names_its_option(fields, told):
    with pytest.raises(ConfigError) as caught:
        completed(Inputs(**(LEAST | fields)))
    assert str(caught.value).startswith(told)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"calls_per_day": float("inf")}, "--calls-per-day: expected a number, not inf"),
        ({"calls_per_day": 1e13}, "--calls-per-day: expected more than 0 and at most"),
        ({"cache_hit_rate": 1.5}, "--cache-hit-rate: expected a share in [0, 1], not 1.5"),
        ({"peak_factor": 0.5}, "--peak-factor: expected at least 1 and at most 10,000, not 0.5"),
        ({"hosted": "gpt-nine"}, "--hosted: no model 'gpt-nine' in the configuration or the price table"),
        ({"own": "x", "rps_per_gpu": 35.0}, "--gpu-usd-per-hour: what does an hour of the GPU cost?"),
        (
            {"own": "x", "rps_per_gpu": 35.0, "gpu_usd_per_hour": 2.0, "ttft_ms": 9.0},
            "--ttft-ms: needs the fleet model",
        ),
        ({"own": "llama-3.1-8b", "gpu": "A10G"}, "--gpu-usd-per-hour: the price of A10G is unknown"),
        (
            {"own": "llama-3.1-8b", "gpu": "H100", "latency_ms": 1.0},
            "--latency-ms: no number of H100 keeps the target",
        ),
        (
            {"own": "llama-3.1-8b", "gpu": "H100", "gpus_per_replica": 3},
            "--gpus-per-replica: expected 1, 2, 4 or 8, not 3",
        ),
        ({"batch_share": 0.5}, "--batch-factor: no price for batches of $3/$15 is known"),
    ],
)
def test_what_cannot_be_priced_names_its_option(fields, told, tmp_path):
    inputs, sources = completed(Inputs(**(LEAST | fields)))
    with pytest.raises(ConfigError) as caught:
        basis_of(inputs, sources, catalogue(), state=tmp_path)
    assert str(caught.value).startswith(told)


def test_a_file_is_read_or_names_itself_and_its_field(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(
        'calls_per_day = 1_000_000\nfrontier = "3/15"\nranges = { frontier_share = [0.1, 0.3] }\n'
    )
    assert read_inputs(path) == Inputs(
        calls_per_day=1e6, frontier="3/15", ranges={"frontier_share": (0.1, 0.3)}
    )
    for text, told in (
        ("calls = 3", "unknown field `calls`"),
        ('calls_per_day = "many"', "$.calls_per_day"),
        ("ranges = { load = [0.1] }", "$.ranges"),
        ("= 3", ""),
    ):
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            read_inputs(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert told in str(caught.value)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError):
        read_inputs(path)


# Prices by name.


def test_a_model_of_the_table_has_its_price_of_the_day_and_its_batches():
    quote = read_quote(
        "anthropic/claude-sonnet-5-5", option="--frontier", input_tokens=800, catalogue=catalogue()
    )
    assert (quote.price.input, quote.price.output) == (Decimal(2), Decimal(10))
    assert quote.version.startswith("genai-prices-")
    assert quote.checked is not None
    assert quote.batch is not None
    assert quote.batch.output == Decimal(5)
    assert with_batch(quote, 0.9, option="--batch-factor").batch.output == Decimal(9)
    assert quote.times(2).price.input == Decimal(4)


CONFIG = """
[providers.mine]
kind = "openai"
base_url = "http://127.0.0.1:9/v1"
[models.small]
provider = "mine"
[[models.small.prices]]
since = "2026-01-01"
input = 0.2
output = 0.8
cache_read = 0.02
per_call = 0.0001
[models.dark]
provider = "mine"
[models.own]
provider = "mine"
hourly_usd = 2.5
"""


def test_a_configured_model_has_the_configurations_price():
    quote = read_quote("small", option="--hosted", input_tokens=800, catalogue=catalogue(CONFIG))
    assert quote.version == "config/models.small@2026-01-01"
    assert float(quote.price.call(1000, 100, cached_share=0.5)) == pytest.approx(
        0.0001 + 0.0001 + 0.00001 + 0.00008
    )


def test_an_unknown_price_is_an_error_and_never_zero():
    for name, told in (("dark", "the price of dark is unknown"), ("own", "own is billed by the hour")):
        with pytest.raises(ConfigError) as caught:
            read_quote(name, option="--hosted", input_tokens=800, catalogue=catalogue(CONFIG))
        assert str(caught.value).startswith(f"--hosted: {told}")


def test_a_long_prompt_is_priced_at_its_own_tier():
    short, long = (
        read_quote("anthropic/claude-haiku-5-5", option="--x", input_tokens=tokens, catalogue=catalogue())
        for tokens in (800, 150_000)
    )
    assert long.price.input > short.price.input


def test_a_modelled_fleet_has_rates_latencies_and_a_dated_price():
    inputs, sources = completed(Inputs(**LEAST, own="llama-3.1-8b", gpu="h100", ttft_ms=400.0))
    own = basis_of(inputs, sources, catalogue()).own
    assert own is not None
    assert own.usd_per_hour == pytest.approx(3.90)  # the middle of six offers
    assert sources["gpu_usd_per_hour"].kind == "assumed"
    assert "2026-11" in sources["gpu_usd_per_hour"].why
    work = basis_of(inputs, sources, catalogue()).workload
    assert own.latency is not None
    assert 0 < own.latency(work, 5.0, 1).ttft_p50_ms < own.latency(work, 5.0, 1).total_p95_ms
    assert own.rate(work).planned_rps == pytest.approx(0.7 * own.rate(work).saturated_rps)
    assert own.rate(work).bound == "70% load"


def test_a_target_that_is_stricter_than_the_load_is_kept_at_the_peak_with_the_spare_gone():
    inputs, sources = completed(Inputs(**LEAST, own="llama-3.1-8b", gpu="L40S", latency_ms=6000.0))
    basis = basis_of(inputs, sources, catalogue())
    assert basis.own is not None
    use = with_latency(use_of(basis.own, basis.workload), basis.own, basis.workload)
    assert use.bound == "latency target"
    assert use.planned_rps < 0.7 * use.saturated_rps
    peak, mean = use.latency
    assert mean.total_p95_ms < peak.total_p95_ms <= 6000
    assert use.replicas - use.spare == math.ceil(use.peak_rps / use.planned_rps)


@pytest.mark.parametrize(("tokens", "gpu"), [(25_000, "A10G"), (40, "H100"), (300_000, "H100")])
def test_inputs_are_varied_only_as_far_as_the_gpu_and_the_fleet_model_go(tokens, gpu):
    """One and a half times these prompts, or a hundredth of them, is what no engine could be asked: the plan is made all the same."""
    given = LEAST | {
        "input_tokens": float(tokens),
        "own": "llama-3.1-8b",
        "gpu": gpu,
        "gpu_usd_per_hour": 1.0,
    }
    inputs, sources = completed(Inputs(**given))
    plan = make_plan(inputs, sources, basis_of(inputs, sources, catalogue()))
    varied = {swing.range.name: swing.range for swing in plan.sensitivity.swings}["input_tokens"]
    assert 1 <= varied.low <= tokens <= varied.high <= 1_000_000


def test_an_assumed_price_is_varied_over_what_was_offered_and_a_given_one_is_not():
    for given, ends in (({}, (2.40, 12.29)), ({"gpu_usd_per_hour": 2.0}, (1.5, 4.0))):
        inputs, sources = completed(Inputs(**LEAST, own="llama-3.1-8b", gpu="H100", **given))
        knobs = {knob.range.name: knob.range for knob in knobs_of(basis_of(inputs, sources, catalogue()))}
        assert (knobs["gpu_usd_per_hour"].low, knobs["gpu_usd_per_hour"].high) == ends
