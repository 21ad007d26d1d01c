"""Budgets at their limits, as clients meet them: small rungs alone, answers that fail their check, alarms over kill -9, reloads."""

from __future__ import annotations

import http.server
import json
import signal
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

from smallfirst.ledger import Ledger

SMALL, FRONTIER = {"model": "sim-frontier-mini"}, {"model": "sim-frontier"}
BUDGETS = """
[budget]
usd_per_month = 50
alarms = {{ webhook = "env:HOOK", secret = "env:HOOK_SECRET" }}

[providers.own]
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
engine = "vllm"
simulated = true

[models.own]
provider = "own"
id = "sim-nano"
hourly_usd = 0

[tasks.note]
ladder = [{{ model = "mini", sample = 0.0 }}, "frontier"]

[tasks.sort]
contract = {{ type = "label", labels = ["billing", "bug"] }}
ladder = [{{ model = "own", sample = 0.0, constrained = false }}, {{ model = "mini", sample = 0.0 }}, "frontier"]
cache = {{ exact = true, sampled = true }}

[tasks.alone]
ladder = ["frontier"]

[tenants.spent]
budget = {{ frontier_usd_per_day = 0, at_limit = "small" }}

[tenants.hard]
budget = {{ frontier_usd_per_day = 0 }}

[tenants.broke]
budget = {{ usd_per_day = 0, at_limit = "small" }}

[tenants.slow]
budget = {{ usd_per_day = "0.002" }}

[keys.spent]
secret = "env:SPENT_KEY"
tenant = "spent"

[keys.hard]
secret = "env:HARD_KEY"
tenant = "hard"

[keys.broke]
secret = "env:BROKE_KEY"
tenant = "broke"

[keys.slow]
secret = "env:SLOW_KEY"
tenant = "slow"
"""


class Hook(http.server.ThreadingHTTPServer):
    """A webhook of the operator's; `told` is what came."""

    def __init__(self) -> None:
        told: list[dict[str, Any]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base names it so)
                pass

        super().__init__(("127.0.0.1", 0), Handler)
        self.told = told
        self.url = f"http://127.0.0.1:{self.server_port}/hook"


@pytest.fixture(scope="module")
def hook() -> Iterator[Hook]:
    with Hook() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def budgeted(
    _simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory, hook: Hook
) -> Iterator[GatewayProcess]:
    folder = tmp_path_factory.mktemp("budgeted")
    environ = {f"{name.upper()}_KEY": f"sf-{name}-key" for name in ("spent", "hard", "broke", "slow")}
    environ |= {"HOOK": hook.url, "HOOK_SECRET": "s3cret"}
    config = (CONFIG + BUDGETS).format(sim=_simulator.base_url)
    with GatewayProcess(folder, config, environ=environ) as gateway:
        yield gateway


def client(gateway: GatewayProcess, tenant: str) -> openai.OpenAI:
    key = KEY if tenant == "acme" else f"sf-{tenant}-key"
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0)


def ask(gateway: GatewayProcess, tenant: str, model: str, text: str = "hello", **more: Any) -> Any:
    with client(gateway, tenant) as asked:
        return asked.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": text}], max_tokens=20, **more
        )


def refused(gateway: GatewayProcess, tenant: str, model: str) -> openai.RateLimitError:
    with pytest.raises(openai.RateLimitError) as error:
        ask(gateway, tenant, model)
    assert error.value.code == "budget_exceeded"
    return error.value


# Small rungs at the limit.


def test_at_the_limit_the_small_rung_answers_outside_the_bound_and_says_so(
    budgeted: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match=SMALL, answer="In short.")
    answer = ask(budgeted, "spent", "task/note")
    assert answer.parse().choices[0].message.content == "In short."
    assert answer.headers["x-smallfirst-model"] == "mini"
    assert answer.headers["x-smallfirst-at-limit"] == "the daily frontier budget of tenant 'spent'"
    call = budgeted.call(answer.headers["x-smallfirst-call"])
    assert call["outside_bound"]
    assert call["decision"]["at_limit"] == "the daily frontier budget of tenant 'spent'"
    assert [attempt["model"] for attempt in call["attempts"]] == ["mini"]  # the frontier was not asked
    within = ask(budgeted, "acme", "task/note")
    assert within.headers["x-smallfirst-model"] == "frontier"
    assert "x-smallfirst-at-limit" not in within.headers
    assert not budgeted.call(within.headers["x-smallfirst-call"])["outside_bound"]


@pytest.mark.parametrize("path", ["chat/completions", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_each_dialect_is_told_streamed_and_whole(
    budgeted: GatewayProcess, simulator: SimulatorProcess, path: str, stream: bool
) -> None:
    simulator.fault(match=SMALL, answer="In short.")
    body = {"model": "task/note", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 20}
    request = urllib.request.Request(
        f"{budgeted.url}/v1/{path}",
        json.dumps(body | {"stream": stream}).encode(),
        {"authorization": "Bearer sf-spent-key"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert b"short" in answer.read()
    assert answer.headers["x-smallfirst-at-limit"] == "the daily frontier budget of tenant 'spent'"
    assert ("event-stream" in answer.headers["content-type"]) is stream
    assert budgeted.call(answer.headers["x-smallfirst-call"])["outside_bound"]


def test_the_cheapest_that_keeps_the_contract_answers_and_what_fails_its_check_is_not_released(
    budgeted: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match={"model": "sim-nano"}, answer="no label")
    simulator.fault(match=SMALL, answer="bug", times=1)
    answer = ask(budgeted, "spent", "task/sort")
    assert answer.parse().choices[0].message.content == "bug"
    call = budgeted.call(answer.headers["x-smallfirst-call"])
    assert [(one["model"], one["status"]) for one in call["attempts"]] == [("own", "unmet"), ("mini", "ok")]
    simulator.fault(match=SMALL, answer="no label either")
    error = refused(budgeted, "spent", "task/sort")
    assert "the daily frontier budget of tenant 'spent' does not allow this call" in error.message
    call = budgeted.call(error.response.headers["x-smallfirst-call"])
    assert (call["status"], call["error"]) == ("error", "budget_exceeded")
    assert [one["status"] for one in call["attempts"]] == ["unmet", "unmet"]


def test_what_was_answered_at_the_limit_is_not_kept_for_others(
    budgeted: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(match={"model": "sim-nano"}, answer="bug")
    for _ in range(2):
        answer = ask(budgeted, "spent", "task/sort", "the same again")
        assert answer.headers["x-smallfirst-cache"] == "miss"


def test_an_own_rung_is_always_free_to_answer(budgeted: GatewayProcess, simulator: SimulatorProcess) -> None:
    simulator.fault(match={"model": "sim-nano"}, answer="billing")
    assert ask(budgeted, "broke", "task/sort").headers["x-smallfirst-model"] == "own"
    assert "daily budget of tenant 'broke'" in refused(budgeted, "broke", "task/note").message


@pytest.mark.parametrize(
    ("tenant", "model"),
    [("spent", "frontier"), ("spent", "task/alone"), ("hard", "task/note"), ("hard", "task/sort")],
)
def test_without_a_small_rung_or_without_leave_the_call_is_refused(
    budgeted: GatewayProcess, tenant: str, model: str
) -> None:
    error = refused(budgeted, tenant, model)
    assert f"the daily frontier budget of tenant '{tenant}' does not allow this call" in error.message
    assert error.response.headers["x-should-retry"] == "false"


def test_a_relayed_path_whose_price_nobody_can_give_says_so(budgeted: GatewayProcess) -> None:
    with client(budgeted, "acme") as asked, pytest.raises(openai.PermissionDeniedError) as refused:
        asked.responses.create(model="sim-frontier", input="hi")
    assert "what /v1/responses costs is not known here, so the monthly budget of this gateway" in str(
        refused.value
    )


def test_a_relayed_path_that_is_free_passes_under_a_budget_and_costs_nothing(
    budgeted: GatewayProcess,
) -> None:
    with anthropic.Anthropic(base_url=budgeted.url, api_key=KEY, max_retries=0) as asked:
        counted = asked.messages.with_raw_response.count_tokens(
            model="sim-claude", messages=[{"role": "user", "content": "How long is this?"}]
        )
    assert counted.parse().input_tokens > 0
    call = budgeted.call(counted.headers["x-smallfirst-call"])
    assert (call["status"], call["cost_nusd"]) == ("ok", 0)


# Alarms, restarts and reloads.


def alarms(gateway: GatewayProcess, tenant: str) -> list[tuple[float, bool]]:
    with Ledger.read(gateway.state) as ledger:
        details = [event.detail for event in reversed(ledger.queries.events(kind="budget-alarm"))]
    return [(detail["at"], detail["refused"]) for detail in details if detail["name"] == tenant]


def until(holds: Any, timeout_s: float = 10.0) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := holds()):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return found


def test_alarms_reach_the_webhook_once_over_kill_9_and_a_reload_lowers_the_limit(
    budgeted: GatewayProcess, hook: Hook
) -> None:
    while True:
        try:
            ask(budgeted, "slow", "frontier")
        except openai.RateLimitError:
            break
    until(lambda: (1.0, True) in alarms(budgeted, "slow"))
    told = alarms(budgeted, "slow")
    assert told[0] == (0.5, False)
    until(lambda: len([one for one in hook.told if one["name"] == "slow"]) == len(told))
    budgeted.kill()
    budgeted.start()
    refused(budgeted, "slow", "frontier")
    assert alarms(budgeted, "slow") == told
    text = budgeted.path.read_text("utf-8")
    budgeted.path.write_text(text.replace('usd_per_day = "0.002"', 'usd_per_day = "0.001"'), "utf-8")
    budgeted.process.send_signal(signal.SIGHUP)
    until(lambda: (1.0, False) in alarms(budgeted, "slow"))
    until(lambda: len([one for one in hook.told if one["name"] == "slow"]) == len(alarms(budgeted, "slow")))
    ids = [one["id"] for one in hook.told]
    assert len(ids) == len(set(ids))
    (standing,) = [one for one in budgeted.cli("budgets")["budgets"] if one["name"] == "slow"]
    assert standing["spent_nusd"] > standing["limit_nusd"] == 1_000_000
    assert {alarm["delivery"] for alarm in standing["alarms"]} == {"sent"}


def test_metrics_tell_no_names(budgeted: GatewayProcess) -> None:
    status, body = budgeted.get("/metrics")
    lines = [line for line in body.decode().splitlines() if line.startswith("smallfirst_budget")]
    assert status == 200
    assert any(
        line.startswith('smallfirst_budget_limit_usd{models="all",period="month",scope="gateway"} 50')
        for line in lines
    )
    assert not any("slow" in line or "acme" in line for line in lines)
