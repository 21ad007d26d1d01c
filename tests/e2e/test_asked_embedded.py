"""The embedded model as the one that a router asks: fitted and served for real."""

from __future__ import annotations

import json
import time
from pathlib import Path

import openai
import pytest
from support.embedded import WEIGHTS
from support.gateway import KEY, GatewayProcess
from support.simulator import SimulatorProcess

from smallfirst.models.weights import find

pytestmark = pytest.mark.embedded

_GATEWAY = """
[storage]
path = "state"

[providers.sim]
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
simulated = true

[providers.embedded]
kind = "embedded"

[models.frontier]
provider = "sim"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = 2.5, output = 10 }}]

[models.mini]
provider = "sim"
id = "sim-frontier-mini"
prices = [{{ since = "2026-01-01", input = 0.15, output = 0.6 }}]

[models.judge]
provider = "embedded"
id = "smollm2-135m"
hourly_usd = "0"

[tasks.answer]
ladder = ["mini", "frontier"]

[tasks.answer.router]
timeout_s = 30

[keys.test]
secret = "env:TEST_KEY"
"""


def test_it_rates_for_a_fit_and_behind_the_gateway(tmp_path: Path) -> None:
    assert find(WEIGHTS) is not None, f"fetch the weights first: smallfirst models pull {WEIGHTS}"
    rows = [
        {
            "input": f"What is {at} times {at + 3}?",
            "outcomes": {"mini": {"score": float(at % 4 > 0)}, "frontier": {"score": 1.0}},
        }
        for at in range(32)
    ]
    outcomes = tmp_path / "outcomes.jsonl"
    outcomes.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with SimulatorProcess() as simulator:
        gateway = GatewayProcess(tmp_path, _GATEWAY.format(sim=simulator.base_url))
        fit = gateway.cli(
            *("router", "fit", "--task", "answer", "--outcomes", str(outcomes), "--by", "judge"),
            *("--calibration-share", "0.2", "--budget-share", "0.9"),
        )
        assert fit["by"] == "judge"
        (kept,) = (gateway.state / "ratings").glob("*.jsonl")
        ratings = [json.loads(line)["rating"] for line in kept.read_bytes().split(b"\n") if line]
        assert len(ratings) == 32
        assert all(1 <= rating <= 5 for rating in ratings)
        assert len(set(ratings)) > 16  # of log-probabilities, not of five digits
        with gateway, openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, timeout=60) as client:
            deadline_s = time.monotonic() + 60
            while b"smallfirst_embedded_ready 1" not in gateway.get("/metrics")[1]:
                assert time.monotonic() < deadline_s
                time.sleep(0.1)
            raw = client.chat.completions.with_raw_response.create(
                model="task/answer", messages=[{"role": "user", "content": "What is 7 times 9?"}]
            )
            call = gateway.call(raw.headers["x-smallfirst-call"])
    route = call["attempts"][0]
    assert (route["kind"], route["model"], route["status"], route["rung"]) == ("route", "judge", "ok", -1)
    assert route["usage"]["output_tokens"] == 1
    assert route["cost_nusd"] == 0
    assert 1 <= call["decision"]["judgement"]["rating"] <= 5
