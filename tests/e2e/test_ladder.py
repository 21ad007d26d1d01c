"""A task's ladder: the small model first, checked before its first byte is released, climbing when it will not do."""

from __future__ import annotations

import json

import anthropic
import openai
import pytest
from support.gateway import GatewayProcess
from support.simulator import SimulatorProcess

HELLO = [{"role": "user", "content": "The invoice was charged twice."}]
MINI = {"model": "sim-frontier-mini"}
FRONTIER = {"model": "sim-frontier"}


def answers(simulator: SimulatorProcess, mini: str, frontier: str) -> None:
    simulator.fault(match=MINI, answer=mini)
    simulator.fault(match=FRONTIER, answer=frontier)
    simulator.fault(match={"model": "sim-claude"}, answer=frontier)


def test_the_cheap_rung_answers(
    client: openai.OpenAI, simulator: SimulatorProcess, gateway: GatewayProcess
) -> None:
    answers(simulator, "billing", "bug")
    response = client.chat.completions.with_raw_response.create(model="task/triage", messages=HELLO)
    assert response.parse().choices[0].message.content == "billing"
    assert response.parse().model == "task/triage"
    assert response.headers["x-smallfirst-model"] == "mini"
    assert response.headers["x-smallfirst-rung"] == "0"
    assert response.headers["x-smallfirst-unproven"] == "1"
    call = gateway.call(response.headers["x-smallfirst-call"])
    assert (call["task"], call["model"], call["status"]) == ("triage", "mini", "ok")
    assert [(attempt["kind"], attempt["status"]) for attempt in call["attempts"]] == [("first", "ok")]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("task", ["triage", "cross"])
def test_an_unmet_contract_climbs_before_the_first_byte(
    client: openai.OpenAI, simulator: SimulatorProcess, gateway: GatewayProcess, stream: bool, task: str
) -> None:
    answers(simulator, "Billing, I think!", "billing")
    response = client.chat.completions.with_raw_response.create(
        model=f"task/{task}", messages=HELLO, stream=stream
    )
    parsed = response.parse()
    text = (
        "".join(chunk.choices[0].delta.content or "" for chunk in parsed if chunk.choices)
        if stream
        else parsed.choices[0].message.content
    )
    assert text == "billing"
    assert response.headers["x-smallfirst-rung"] == "1"
    attempts = gateway.call(response.headers["x-smallfirst-call"])["attempts"]
    assert [(attempt["kind"], attempt["status"]) for attempt in attempts] == [
        ("first", "unmet"),
        ("climb", "ok"),
    ]
    assert "not one of the 3 labels" in attempts[0]["reason"]
    assert attempts[0]["cost_nusd"] > 0


def test_json_is_checked_against_its_schema(client: openai.OpenAI, simulator: SimulatorProcess) -> None:
    answers(simulator, '{"n": "three"}', '{"n": 3}')
    done = client.chat.completions.create(model="task/extract", messages=HELLO)
    assert json.loads(done.choices[0].message.content) == {"n": 3}


def test_what_the_frontier_says_is_released_even_if_unmet_and_says_so(
    client: openai.OpenAI, simulator: SimulatorProcess
) -> None:
    answers(simulator, "no", "neither")
    response = client.chat.completions.with_raw_response.create(model="task/triage", messages=HELLO)
    assert response.parse().choices[0].message.content == "neither"
    assert response.headers["x-smallfirst-check"] == "unmet"


@pytest.mark.parametrize(
    ("fault", "status"),
    [
        ({"status": 500}, "refused"),
        ({"status": 429, "retry_after": 60}, "refused"),
        ({"status": 529}, "refused"),
        ({"garbage_json": True}, "broken"),
        ({"truncated_json": True}, "broken"),
        ({"cut_before_body": True}, "broken"),
        ({"hang_before_headers": True}, "timeout"),
        ({"status": 500, "body": "html"}, "refused"),
    ],
)
def test_a_failing_rung_climbs(
    client: openai.OpenAI,
    simulator: SimulatorProcess,
    gateway: GatewayProcess,
    fault: dict[str, object],
    status: str,
) -> None:
    simulator.fault(match=MINI, **fault)
    simulator.fault(match=FRONTIER, answer="bug")
    response = client.chat.completions.with_raw_response.create(model="task/triage", messages=HELLO)
    assert response.parse().choices[0].message.content == "bug"
    attempts = gateway.call(response.headers["x-smallfirst-call"])["attempts"]
    assert [(attempt["model"], attempt["kind"]) for attempt in attempts] == [
        ("mini", "first"),
        ("frontier", "climb"),
    ]
    assert attempts[0]["status"] in (status, "unreachable")
    simulator.clear_faults()
    for _ in range(2):  # heals the breaker that these failures add up in
        client.chat.completions.create(model="mini", messages=HELLO)


def test_an_unreachable_rung_climbs(client: openai.OpenAI, simulator: SimulatorProcess) -> None:
    simulator.fault(match=FRONTIER, answer="bug")
    response = client.chat.completions.with_raw_response.create(model="task/broken", messages=HELLO)
    assert response.headers["x-smallfirst-model"] == "frontier"


def test_text_streams_are_relayed_as_they_come(client: openai.OpenAI, simulator: SimulatorProcess) -> None:
    simulator.fault(match=MINI, slow_ms=30)
    stream = client.chat.completions.create(model="task/summary", messages=HELLO, stream=True)
    first = next(iter(stream))
    assert first.model == "task/summary"
    assert simulator.requests()["in_flight"] == 1
    stream.close()


def test_the_task_can_be_named_by_a_header_in_either_dialect(
    client: openai.OpenAI, claude: anthropic.Anthropic, simulator: SimulatorProcess
) -> None:
    answers(simulator, "how-to", "bug")
    header = {"x-smallfirst-task": "triage"}
    done = client.chat.completions.create(model="anything", messages=HELLO, extra_headers=header)
    assert done.choices[0].message.content == "how-to"
    assert done.model == "anything"
    said = claude.messages.create(model="anything", max_tokens=9, messages=HELLO, extra_headers=header)
    assert said.content[0].text == "how-to"


def test_explain_tells_why(client: openai.OpenAI, simulator: SimulatorProcess) -> None:
    answers(simulator, "nonsense", "bug")
    header = {"x-smallfirst-explain": "1"}
    response = client.chat.completions.with_raw_response.create(
        model="task/triage", messages=HELLO, extra_headers=header
    )
    told = json.loads(response.headers["x-smallfirst-explain"])
    assert told["task"] == "triage"
    assert [step["model"] for step in told["steps"]] == ["mini", "frontier"]
    assert [attempt["status"] for attempt in told["attempts"]] == ["unmet", "ok"]


def test_several_choices_go_to_the_frontier(client: openai.OpenAI, simulator: SimulatorProcess) -> None:
    answers(simulator, "billing", "bug")
    response = client.chat.completions.with_raw_response.create(model="task/triage", messages=HELLO, n=2)
    assert response.headers["x-smallfirst-model"] == "frontier"
    assert len(response.parse().choices) == 2


def test_bodies_are_kept_only_where_a_task_says_so_and_redacted(
    client: openai.OpenAI, simulator: SimulatorProcess, gateway: GatewayProcess
) -> None:
    simulator.fault(answer="It is about INV-204417.")
    messages = [{"role": "user", "content": "What is INV-123456?"}]
    kept = client.chat.completions.with_raw_response.create(model="task/summary", messages=messages).headers[
        "x-smallfirst-call"
    ]
    other = client.chat.completions.with_raw_response.create(model="frontier", messages=messages).headers[
        "x-smallfirst-call"
    ]
    gateway.call(other)
    shown = gateway.cli("calls", "show", kept, "--bodies")
    text = json.dumps(shown["bodies"])
    assert "[redacted]" in text
    assert "INV-123456" not in text
    assert "INV-204417" not in text
    assert not gateway.cli("calls", "show", other, "--bodies").get("bodies")


def test_baseline_asks_the_frontier_and_needs_no_reason(
    simulator: SimulatorProcess, gateway: GatewayProcess, tmp_path
) -> None:
    answers(simulator, "billing", "bug")
    config = gateway.path.read_text("utf-8")
    with (
        GatewayProcess(tmp_path, config, unproven=False) as baseline,
        openai.OpenAI(base_url=f"{baseline.url}/v1", api_key="sf-test-key") as client,
    ):
        response = client.chat.completions.with_raw_response.create(model="task/triage", messages=HELLO)
        assert response.headers["x-smallfirst-model"] == "frontier"
        assert response.headers["x-smallfirst-release"] == "baseline"
        assert "x-smallfirst-unproven" not in response.headers


def test_a_release_without_a_reason_is_not_served(gateway: GatewayProcess) -> None:
    release = gateway.cli("release", "build")["id"]
    refused = gateway.run("serve", "--config", str(gateway.path), "--release", release, "--port", "0")
    assert refused.returncode == 1
    assert "another gateway" in refused.stderr or "no passing verdict" in refused.stderr
