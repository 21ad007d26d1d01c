"""A real vLLM is measured: it takes what is asked, tells what is read, and the fleet's model is fitted to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.embedded import WEIGHTS
from support.vllm import VllmProcess
from typer.testing import CliRunner

from smallfirst.cli.plan import app
from smallfirst.planning.fleet.calibrate.point import summary_of
from smallfirst.planning.fleet.calibrate.saved import CALIBRATIONS
from smallfirst.training.lora.base import open_base

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def vllm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[VllmProcess]:
    with VllmProcess(tmp_path_factory.mktemp("vllm")) as running:
        yield running


def test_a_cpu_is_calibrated_and_planned_with(vllm: VllmProcess, tmp_path: Path) -> None:
    environ = {"COLUMNS": "80", "VLLM_KEY": vllm.key}
    shape = ["--model-config", str(open_base(f"embedded:{WEIGHTS}").folder / "config.json")]
    to = ["--endpoint", vllm.base_url, "--model", WEIGHTS, "--api-key-env", "VLLM_KEY", *shape]
    load = ["--input-tokens", "120", "--output-tokens", "12", "--rates", "0.3,1.5", "--seconds", "20"]
    served = ["--gpu", "other", "--max-sequences", "2", "--batched-tokens", "2048"]
    state = ["--state", str(tmp_path)]
    done = CliRunner().invoke(app, ["calibrate", *to, *load, *served, "--save", "cpu", *state], env=environ)
    assert done.exit_code == 0, done.output
    kept = CALIBRATIONS.load(tmp_path, "cpu")
    assert kept.kv_tokens is not None
    assert kept.kv_tokens > 2048
    quiet = summary_of(kept.points[0])
    assert quiet.failed == 0
    assert quiet.input_tokens == pytest.approx(120, rel=0.25)
    ended = [shot for point in kept.points for shot in point.shots if shot.ended]
    assert ended
    assert all(shot.output_tokens == shot.wanted_tokens for shot in ended)  # it takes `ignore_eos`
    assert kept.points[0].engine is not None
    assert kept.points[0].engine.running_most is not None
    assert kept.fit is not None
    assert kept.fit.gpu.bandwidth_gb_per_s > 0
    work = ["--calls-per-day", "1000", "--input-tokens", "120", "--output-tokens", "12", "--frontier", "3/15"]
    own = [
        "--own",
        "smollm2-135m",
        *shape,
        "--gpu",
        "other",
        "--gpu-usd-per-hour",
        "0.1",
        "--calibration",
        "cpu",
    ]
    planned = CliRunner().invoke(app, ["compare", *work, *own, *state, "--json"])
    assert planned.exit_code == 0, planned.output
    assert "the calibration cpu" in json.dumps(json.loads(planned.stdout)["plan"])
