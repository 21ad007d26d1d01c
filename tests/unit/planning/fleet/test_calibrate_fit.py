"""A fit finds what made the measurements: requests served by the model at known costs, and given to it as if they had been measured."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from smallfirst.errors import ConfigError
from smallfirst.planning.fleet import Efficiency, Engine, Server, catalogue
from smallfirst.planning.fleet.batching import Request, run
from smallfirst.planning.fleet.calibrate.fit import Fit, fitted
from smallfirst.planning.fleet.calibrate.measure import machine
from smallfirst.planning.fleet.calibrate.point import EngineSeen, Point, Shot, Summary, summary_of
from smallfirst.planning.fleet.calibrate.replay import Replayed

TRUTH = Efficiency(
    bf16_share=0.4,
    fp8_share=0.4,
    bandwidth_share=0.6,
    layer_overhead_us=120,
    sequence_overhead_us=40,
    request_ms=5.0,
)
SERVER = Server(
    gpu=catalogue.gpu("A100-80GB"),
    shape=catalogue.model("llama-3.1-8b"),
    engine=Engine(batched_tokens=2048),
    efficiency=catalogue.efficiency(),
)
RATES = (1.0, 5.0, 12.0)
SECONDS, DRAIN_S = 20.0, 20.0
FIGURES = ("ttft_p50_ms", "between_p50_ms", "total_p50_ms", "output_tokens_per_s")


def served_point(server: Server, rate: float, *, noise: float = 0.0, cut: float = 1.0) -> Point:
    """A run as that server would have been measured: `noise` multiplies each wait, answers are `cut` of what was wanted."""
    draws = np.random.default_rng(round(10 * rate))
    count = round(rate * SECONDS)
    due = np.sort(draws.uniform(0, SECONDS, count))
    read, wanted = draws.integers(300, 1300, count), draws.integers(50, 350, count)
    written = np.maximum(1, wanted * cut).astype(int)
    found = run(server, [Request(*map(float, each)) for each in zip(due, read, written, strict=True)])
    shots, end_s = [], SECONDS + DRAIN_S
    for at in range(count):
        factor = np.exp(noise * draws.standard_normal())
        outside_s = server.efficiency.request_ms / 1000
        first = due[at] + factor * (outside_s + found.first_s[at] - due[at])
        last = first + factor * (found.last_s[at] - found.first_s[at])
        shot = Shot(
            float(due[at]),
            int(read[at]),
            int(written[at]),
            wanted_tokens=int(wanted[at]),
            sent_s=float(due[at]),
        )
        if first <= end_s:
            share = min(1.0, (end_s - first) / max(last - first, 1e-9))
            shot.first_s, shot.seen_s = float(first), float(min(last, end_s))
            shot.seen_tokens, shot.ended = 1 + int(share * (written[at] - 1)), bool(last <= end_s)
        shots.append(shot)
    return Point(rate_per_s=rate, seconds=SECONDS, warm_s=SECONDS / 5, ended_s=end_s, shots=tuple(shots))


def points_of(truth: Server, *, noise: float = 0.0, rates: tuple[float, ...] = RATES) -> list[Point]:
    return [served_point(truth, rate, noise=noise) for rate in rates]


def off(fit: Fit) -> dict[str, float]:
    return {name: max(abs(each.off(name)) for each in fit.compared) for name in FIGURES}


@pytest.fixture(scope="module")
def noisy() -> Fit:
    return fitted(points_of(msgspec.structs.replace(SERVER, efficiency=TRUTH), noise=0.03), SERVER)


def test_what_was_measured_is_described(noisy: Fit) -> None:
    assert max(off(noisy).values()) < 0.1
    assert noisy.median_off < 0.03
    assert not noisy.remarks


def test_the_parts_of_a_step_are_found(noisy: Fit) -> None:
    assert noisy.efficiency.bf16_share == pytest.approx(0.4, rel=0.15)
    left = msgspec.structs.replace(SERVER, efficiency=noisy.efficiency)
    truth = msgspec.structs.replace(SERVER, efficiency=TRUTH)
    for growing in (
        1,
        32,
        128,
    ):  # reading the weights and the overhead are paid together: their sum is what can be told
        assert step_s(left, growing) == pytest.approx(step_s(truth, growing), rel=0.1)


def step_s(server: Server, growing: int) -> float:
    from smallfirst.planning.fleet.roofline import step_costs

    costs = step_costs(server)
    kv_s = growing * server.shape.kv_bytes(900, "bf16") * costs.kv_s_per_byte
    return costs.step_s(growing=growing, prefilled=0, kv_s=kv_s, pairs_s=0)


def test_what_is_called_told_is_near_the_truth(noisy: Fit) -> None:
    told = [each for each in noisy.parameters if each.told]
    assert "bf16_share" in {each.name for each in told}
    for each in told:
        assert 1 / 1.65 < each.value / getattr(TRUTH, each.name) < 1.65, each.name


def test_another_load_is_foretold(noisy: Fit) -> None:
    """A rate that the fit has not seen."""
    truth = msgspec.structs.replace(SERVER, efficiency=TRUTH)
    seen = Replayed(served_point(truth, 9.0))
    said = seen.predicted(msgspec.structs.replace(SERVER, efficiency=noisy.efficiency))
    for name in FIGURES:
        assert getattr(said, name) == pytest.approx(getattr(seen.measured, name), rel=0.15), name


def test_an_unnamed_machine_is_what_it_does() -> None:
    """A truth in the catalogue's terms, fitted without knowing the GPU: its effective FLOP/s come out."""
    truth = msgspec.structs.replace(SERVER, efficiency=TRUTH)
    gpu, engine = machine("other", memory_gb=40, engine=SERVER.engine)
    fit = fitted(points_of(truth), msgspec.structs.replace(SERVER, gpu=gpu, engine=engine))
    assert max(off(fit).values()) < 0.1
    assert fit.gpu.bf16_tflops_per_s == pytest.approx(0.4 * SERVER.gpu.bf16_tflops_per_s, rel=0.15)
    assert (fit.efficiency.bf16_share, fit.efficiency.bandwidth_share) == (1.0, 1.0)
    again = Replayed(served_point(truth, 5.0))
    assert again.predicted(server_of(fit)).ttft_p50_ms == pytest.approx(
        fit.compared[1].predicted.ttft_p50_ms, rel=1e-6
    )


def server_of(fit: Fit) -> Server:
    return Server(gpu=fit.gpu, shape=SERVER.shape, engine=fit.engine, efficiency=fit.efficiency)


def test_what_the_rates_do_not_tell_stays_and_is_said() -> None:
    """One quiet rate tells nothing of what answers cost each other."""
    fit = fitted(points_of(msgspec.structs.replace(SERVER, efficiency=TRUTH), rates=(0.5,)), SERVER)
    told = {each.name: each.told for each in fit.parameters}
    assert not told["sequence_overhead_us"]
    assert any("its limit is extrapolated" in remark for remark in fit.remarks)


def test_an_endpoint_that_is_no_such_engine_is_told() -> None:
    """Waits that have nothing to do with the load: no efficiency explains them."""
    points = []
    for point in points_of(msgspec.structs.replace(SERVER, efficiency=TRUTH), rates=(1.0, 2.0, 4.0)):
        for shot in point.shots:
            assert shot.first_s is not None
            late_s = 8.0 if point.rate_per_s == 2.0 else 0.0
            shot.first_s, shot.seen_s = shot.first_s + late_s, shot.seen_s + late_s
        points.append(point)
    fit = fitted(points, SERVER)
    assert any("does not describe this endpoint well" in remark for remark in fit.remarks)


def test_a_slot_bound_that_was_not_named_is_told() -> None:
    bound = msgspec.structs.replace(
        SERVER, engine=Engine(batched_tokens=2048, max_sequences=16), efficiency=TRUTH
    )
    seen = EngineSeen(running_mean=15.5, running_most=16, waiting_mean=20, waiting_most=40, kv_usage_most=0.1)
    points = [msgspec.structs.replace(each, engine=seen) for each in points_of(bound, rates=(2.0, 8.0))]
    assert any("is --max-sequences 256 what it has?" in remark for remark in fitted(points, SERVER).remarks)
    assert not any(
        "--max-sequences" in remark and "is --max" in remark for remark in fitted(points, bound).remarks
    )


def test_shorter_answers_and_failures_are_told() -> None:
    truth = msgspec.structs.replace(SERVER, efficiency=TRUTH)
    points = [served_point(truth, rate, cut=0.5) for rate in (1.0, 4.0)]
    points[1].shots[-1].error = "HTTP 503"
    remarks = " ".join(fitted(points, SERVER).remarks)
    assert "shorter than was asked" in remarks
    assert "1 requests failed" in remarks


def test_nothing_measured_is_nothing_to_fit() -> None:
    point = served_point(SERVER, 1.0)
    for shot in point.shots:
        shot.error = "HTTP 500"
    with pytest.raises(ConfigError, match="nothing to fit to"):
        fitted([point], SERVER)


def test_a_replay_by_what_made_it_is_what_was_measured() -> None:
    """Given up included: the model's unfinished answers end where the measured ones did."""
    truth = msgspec.structs.replace(SERVER, efficiency=TRUTH)
    point = served_point(truth, 40.0)
    measured, said = summary_of(point), Replayed(point).predicted(truth)
    assert measured.given_up > 50
    for name in Summary.__struct_fields__:
        assert getattr(said, name) == pytest.approx(getattr(measured, name), rel=0.01, abs=0.5), name
