"""The kill switch: within a second in a gateway that runs, for calls under way, over restarts, and without a gateway."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anthropic
import openai
import pytest
from support.gateway import KEY, GatewayProcess
from support.simulator import SimulatorProcess

from smallfirst.ledger import Ledger
from smallfirst.stops import Kind, Stop, change_stops, stopped

FOLLOWED_S = 1.0


@pytest.fixture(autouse=True)
def lifted(gateway: GatewayProcess) -> Iterator[None]:
    yield
    if change_stops(gateway.state, lambda now: ())[0]:
        answered(gateway, "mini")


def stop(gateway: GatewayProcess, kind: Kind, name: str = "", *, cut: bool = False) -> None:
    """What `smallfirst stop` writes."""
    at_ms = int(time.time() * 1000)
    made = Stop(kind=kind, name=name, reason="hunter2", by="ops", since_ms=at_ms, cut_ms=at_ms * cut)
    change_stops(gateway.state, lambda now: stopped(now, made))


def ask(gateway: GatewayProcess, model: str) -> Any:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
        return client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": "hello"}], max_tokens=20
        )


def refusal(gateway: GatewayProcess, model: str, timeout_s: float = FOLLOWED_S) -> openai.APIStatusError:
    """What a stopped call is told, which it is within a second."""
    deadline = time.monotonic() + timeout_s
    while True:
        try:
            ask(gateway, model)
        except openai.PermissionDeniedError as error:
            assert error.code == "stopped"
            assert error.response.headers["x-should-retry"] == "false"
            return error
        assert time.monotonic() < deadline, "the stop was not followed within a second"


def answered(gateway: GatewayProcess, model: str) -> Any:
    """The answer of a call that is no longer stopped, which it is not within a second."""
    deadline = time.monotonic() + FOLLOWED_S
    while True:
        try:
            return ask(gateway, model)
        except openai.PermissionDeniedError:
            assert time.monotonic() < deadline, "the stop was not lifted within a second"


@pytest.mark.parametrize(
    ("kind", "name", "model", "words"),
    [
        ("tenant", "acme", "task/summary", "tenant 'acme'"),
        ("key", "test", "frontier", "key 'test'"),
        ("task", "summary", "task/summary", "task 'summary'"),
        ("model", "frontier", "gpt-4o", "model 'frontier'"),  # asked by an alias
        ("all", "", "mini", "this gateway"),
    ],
)
def test_a_stop_is_followed_names_its_scope_and_is_lifted(
    gateway: GatewayProcess, simulator: SimulatorProcess, kind: Kind, name: str, model: str, words: str
) -> None:
    ask(gateway, model)
    stop(gateway, kind, name)
    error = refusal(gateway, model)
    assert f"{words} is stopped by an operator" in error.message
    assert "hunter2" not in error.response.text
    change_stops(gateway.state, lambda now: ())
    answered(gateway, model)


def test_a_refused_call_is_recorded_and_asks_nobody(
    gateway: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.reset()
    stop(gateway, "all")
    error = refusal(gateway, "mini")
    asked = simulator.requests()["requests"]
    with pytest.raises(openai.PermissionDeniedError):
        ask(gateway, "task/summary")
    assert simulator.requests()["requests"] == asked
    call = gateway.call(error.response.headers["x-smallfirst-call"])
    assert (call["status"], call["error"], call["http_status"]) == ("refused", "stopped", 403)
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as claude:
        with pytest.raises(anthropic.PermissionDeniedError, match="this gateway is stopped by an operator"):
            claude.messages.create(
                model="claude", max_tokens=5, messages=[{"role": "user", "content": "hello"}]
            )


def test_ladders_pass_a_stopped_model_over_and_end_where_their_last_is_stopped(
    gateway: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match={"model": "sim-frontier-mini"}, answer="bug")
    simulator.fault(match={"model": "sim-frontier"}, answer="billing")
    assert ask(gateway, "task/triage").headers["x-smallfirst-model"] == "mini"
    stop(gateway, "model", "mini")
    refusal(gateway, "mini")
    answer = ask(gateway, "task/triage")
    assert answer.headers["x-smallfirst-model"] == "frontier"
    call = gateway.call(answer.headers["x-smallfirst-call"])
    assert call["decision"]["skipped"] == {"0": "stopped by an operator"}
    stop(gateway, "model", "frontier")
    assert "model 'frontier'" in refusal(gateway, "task/triage").message
    change_stops(gateway.state, lambda now: tuple(one for one in now if one.name != "mini"))
    answered(gateway, "mini")
    assert ask(gateway, "task/triage").headers["x-smallfirst-model"] == "mini"


def test_streams_under_way_go_on_unless_they_are_to_end_now_and_then_are_billed(
    gateway: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match={"model": "sim-claude"}, slow_ms=40, answer="and so on " * 200)
    seen: list[str] = []
    with anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as claude:
        with claude.messages.stream(
            model="claude", max_tokens=400, messages=[{"role": "user", "content": "a long story"}]
        ) as stream:
            call_id = stream.response.headers["x-smallfirst-call"]
            texts = stream.text_stream
            seen.append(next(texts))
            stop(gateway, "tenant", "acme")
            refusal(gateway, "mini")
            seen.append(next(texts))  # it goes on
            stop(gateway, "tenant", "acme", cut=True)
            with pytest.raises(anthropic.APIStatusError, match="tenant 'acme' is stopped by an operator"):
                seen.extend(texts)
    call = gateway.call(call_id)
    (attempt,) = call["attempts"]
    assert (call["status"], call["error"], attempt["status"]) == ("cut", "stopped", "cancelled")
    assert attempt["reason"] == "tenant 'acme' is stopped by an operator"
    assert attempt["usage"]["output_tokens"] >= 1
    assert attempt["cost_nusd"] > 0
    simulator.wait_until(lambda state: state["in_flight"] == 0)


def test_a_call_that_waits_for_its_answer_is_ended_too_and_told_so(
    gateway: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match={"model": "sim-frontier"}, hang_before_headers=True)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(ask, gateway, "frontier")
        simulator.wait_until(lambda state: state["in_flight"] == 1)
        stop(gateway, "model", "frontier", cut=True)
        with pytest.raises(openai.PermissionDeniedError, match="model 'frontier' is stopped by an operator"):
            waiting.result(timeout=5)
    simulator.wait_until(lambda state: state["in_flight"] == 0)


def test_the_commands_work_with_and_without_a_gateway_and_stops_hold_over_kill_9(
    gateway: GatewayProcess, simulator: SimulatorProcess
) -> None:
    gateway.cli("stop", "--model", "gpt-4o", "--reason", "first")  # an alias of `frontier`
    stop(gateway, "task", "summary")
    refusal(gateway, "frontier")
    gateway.kill()
    gateway.cli("stop", "--key", "test", "--reason", "second")
    gateway.cli("resume", "--model", "frontier")
    assert [(one["kind"], one["name"]) for one in gateway.cli("stops")] == [
        ("task", "summary"),
        ("key", "test"),
    ]
    gateway.start("--release", "baseline")
    assert "key 'test'" in refusal(gateway, "mini", 0).message
    gateway.cli("resume", "--key", "test")
    answered(gateway, "frontier")
    assert "task 'summary'" in refusal(gateway, "task/summary", 0).message
    with Ledger.read(gateway.state) as ledger:
        events = [event for event in ledger.queries.events() if event.kind in ("stop", "resume")]
    assert [(event.kind, event.detail["name"]) for event in reversed(events)] == [
        ("stop", "frontier"),
        ("stop", "test"),
        ("resume", "frontier"),
        ("resume", "test"),
    ]
    assert all(event.detail["by"] for event in events)
    assert events[-1].detail["reason"] == "first"
