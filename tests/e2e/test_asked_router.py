"""The router that asks a small model, from the fit to the bill: fitted through the command line, served by a gateway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.scripted import ScriptedUpstream, completion
from support.simulator import SimulatorProcess

JUDGE = {"model": "sim-nano"}
EASY = [{"role": "user", "content": "An easy question about invoice number 17."}]
HARD = [{"role": "user", "content": "A hard question about invoice number 18."}]


def outcomes(path: Path, count: int = 200) -> Path:
    """Rows of which the small model gets the easy half right."""
    rows = [
        {
            "id": f"r{at}",
            "input": f"An {kind} question about invoice number {at}.",
            "outcomes": {
                "mini": {"score": float(kind == "easy"), "cost_usd": 0.00001, "answer": "billing"},
                "frontier": {"score": 1.0, "cost_usd": 0.001},
            },
        }
        for at, kind in enumerate(("easy", "hard") * (count // 2))
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def script(simulator: SimulatorProcess) -> None:
    """The judge tells easy from hard; the small model and the frontier answer."""
    simulator.fault(match=JUDGE | {"contains": "easy question"}, answer="1")
    simulator.fault(match=JUDGE, answer="5")
    simulator.fault(match={"model": "sim-frontier-mini"}, answer="billing")
    simulator.fault(match={"model": "sim-frontier"}, answer="bug")


@pytest.fixture(scope="module")
def served(
    _simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GatewayProcess, dict[str, Any]]]:
    """A gateway whose router for `triage` asks `nano`, and what the fit said."""
    folder = tmp_path_factory.mktemp("asked")
    gateway = GatewayProcess(folder, CONFIG.format(sim=_simulator.base_url))
    script(_simulator)
    rows = outcomes(folder / "outcomes.jsonl")
    arguments = (
        "router",
        "fit",
        "--task",
        "triage",
        "--outcomes",
        str(rows),
        "--by",
        "nano",
        "--max-loss",
        "0.1",
    )
    fit = gateway.cli(*arguments)
    asked = len(_simulator.requests()["requests"])
    assert gateway.cli(*arguments)["router"] == fit["router"]
    assert len(_simulator.requests()["requests"]) == asked  # what was said once is kept
    _simulator.reset()
    with gateway:
        yield gateway, fit


@pytest.fixture
def client(
    served: tuple[GatewayProcess, dict[str, Any]], simulator: SimulatorProcess
) -> Iterator[openai.OpenAI]:
    script(simulator)
    with openai.OpenAI(base_url=f"{served[0].url}/v1", api_key=KEY, max_retries=0, timeout=20) as made:
        yield made
        simulator.clear_faults()
        made.chat.completions.create(model="nano", messages=EASY, max_tokens=2)  # closes its breaker


def ask(client: openai.OpenAI, messages: list[dict[str, str]], **more: Any) -> tuple[Any, str]:
    raw = client.chat.completions.with_raw_response.create(model="task/triage", messages=messages, **more)
    return raw, raw.headers["x-smallfirst-model"]


def test_the_fit_keeps_its_bound_and_says_who_is_asked(served: tuple[GatewayProcess, dict[str, Any]]) -> None:
    fit = served[1]
    assert fit["by"] == "nano"
    assert fit["kept"]
    assert 0.3 < fit["small_share"] < 0.7


def test_the_decision_follows_the_rating_and_the_question_is_billed(
    client: openai.OpenAI, served: tuple[GatewayProcess, dict[str, Any]], simulator: SimulatorProcess
) -> None:
    gateway = served[0]
    easy, model = ask(client, EASY)
    assert model == "mini"
    hard, model = ask(client, HARD, extra_headers={"x-smallfirst-explain": "1"})
    assert model == "frontier"
    told = json.loads(hard.headers["x-smallfirst-explain"])
    assert [(one["kind"], one["rung"]) for one in told["attempts"]] == [("route", -1), ("first", 1)]
    assert "the frontier is expected to gain" in told["steps"][0]["skipped"]
    for raw, rung, rating in ((easy, 0, 1.0), (hard, 1, 5.0)):
        call = gateway.call(raw.headers["x-smallfirst-call"])
        assert [(one["seq"], one["kind"], one["rung"]) for one in call["attempts"]] == [
            (0, "route", -1),
            (1, "first", rung),
        ]
        assert call["rung"] == rung
        assert call["decision"]["judgement"]["rating"] == rating
        route = call["attempts"][0]
        assert (route["model"], route["status"]) == ("nano", "ok")
        assert route["cost_nusd"] > 0
        assert not route["frontier"]
        assert call["cost_nusd"] == sum(one["cost_nusd"] for one in call["attempts"])
        assert call["overhead_ms"] < call["latency_ms"]
    assert gateway.bill()["simulated_nusd"] == simulator.invoice()["total_nusd"]
    again = json.loads(
        gateway.run(
            "explain", "--call", easy.headers["x-smallfirst-call"], "--config", str(gateway.path), "--json"
        ).stdout
    )
    assert again["same"]


def test_a_stream_is_decided_too(client: openai.OpenAI) -> None:
    raw, model = ask(client, EASY, stream=True)
    assert model == "mini"
    assert (
        "".join(chunk.choices[0].delta.content or "" for chunk in raw.parse() if chunk.choices) == "billing"
    )


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 500},
        {"status": 401},
        {"cut_before_body": True},
        {"garbage_json": True},
        {"hang_before_headers": True},
        {"answer": "quite hard"},
    ],
)
def test_a_router_model_that_fails_sends_the_call_to_the_frontier_and_no_error_to_the_client(
    client: openai.OpenAI,
    served: tuple[GatewayProcess, dict[str, Any]],
    simulator: SimulatorProcess,
    fault: dict[str, Any],
) -> None:
    simulator.clear_faults()
    simulator.fault(match=JUDGE, **fault)
    script(simulator)
    raw, model = ask(client, EASY)
    assert model == "frontier"
    assert raw.parse().choices[0].message.content == "bug"
    call = served[0].call(raw.headers["x-smallfirst-call"])
    assert [one["kind"] for one in call["attempts"]] == ["route", "first"]
    assert call["decision"]["judgement"]["unknown"]
    assert not call["outside_bound"]
    simulator.clear_faults()
    client.chat.completions.create(model="nano", messages=EASY, max_tokens=2)  # heals the breaker


def test_a_changed_meaning_of_the_asked_model_is_refused(
    served: tuple[GatewayProcess, dict[str, Any]], tmp_path: Path
) -> None:
    gateway = served[0]
    other = gateway.folder / "other.toml"
    text = gateway.path.read_text("utf-8").replace('id = "sim-nano"', 'id = "sim-nano-2"')
    other.write_text(text.replace('path = "state"', f'path = "{gateway.state}"'), "utf-8")
    refused = gateway.run("release", "build", "--config", str(other))
    assert refused.returncode == 1
    assert (
        "model 'nano', which was sim/sim-nano when the router was fitted and now is sim/sim-nano-2"
        in refused.stderr
    )


SCRIPTED = """
[providers.own]
base_url = "{url}/v1"
engine = "vllm"

[models.judge]
provider = "own"
id = "judge-8b"
prices = [{{ since = "2026-01-01", input = 0.1, output = 0.1 }}]
"""


def test_eval_measures_an_asked_router_against_a_learned_one(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        easy = "easy question" in body["messages"][0]["content"]
        return 200, completion(
            "1" if easy else "4", first={"1": -0.1 if easy else -3.0, "4": -3.0 if easy else -0.1}
        )

    with ScriptedUpstream(answer) as upstream:
        gateway = GatewayProcess(tmp_path, SCRIPTED.format(url=upstream.base_url))
        fit, test = outcomes(tmp_path / "fit.jsonl"), outcomes(tmp_path / "test.jsonl", 60)
        figures = gateway.cli(
            *(
                "router",
                "eval",
                "--fit",
                str(fit),
                "--test",
                str(test),
                "--small",
                "mini",
                "--frontier",
                "frontier",
            ),
            *("--by", "judge", "--max-loss", "0.1"),
        )
    assert figures["by"] == "judge"
    assert figures["apgr"] > 0.7
    assert figures["auroc"] == 1
    assert figures["decision_us_p50"] > 100
    assert figures["router_cost_usd_per_1000"] == pytest.approx(91 * 0.1 / 1e6 * 1000, rel=1e-6)
    assert figures["small_share"] == 0.5
    assert figures["loss"] == 0


def test_a_model_that_cannot_be_asked_is_an_error_with_its_reason(tmp_path: Path) -> None:
    with ScriptedUpstream(lambda _: (401, {"error": {"message": "wrong key"}})) as upstream:
        gateway = GatewayProcess(tmp_path, SCRIPTED.format(url=upstream.base_url))
        rows = outcomes(tmp_path / "fit.jsonl")
        common = ("--outcomes", str(rows), "--config", str(gateway.path))
        unknown = gateway.run("router", "fit", "--task", "t", "--by", "nobody", *common)
        refused = gateway.run("router", "fit", "--task", "t", "--by", "judge", "--concurrency", "1", *common)
    assert (unknown.returncode, refused.returncode) == (1, 1)
    assert "model 'nobody' is not in [models]" in unknown.stderr
    assert "judge does not say how hard a call is: wrong key" in " ".join(refused.stderr.split())
