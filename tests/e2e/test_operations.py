"""What an operator does while calls are answered: reload, keys, kill -9."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

HELLO = [{"role": "user", "content": "The dock does not charge."}]
KILLS = int(os.environ.get("SMALLFIRST_KILLS", "6"))


def client_of(gateway: GatewayProcess, key: str = KEY) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=key, max_retries=0, timeout=20)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def wait_for_log(gateway: GatewayProcess, text: str) -> None:
    wait_until(lambda: text in " ".join(gateway.log_text().split()))


def test_a_reload_takes_up_addresses_and_models_and_keeps_what_was_released(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    config = CONFIG.format(sim=simulator.base_url)
    with GatewayProcess(tmp_path, config) as gateway, client_of(gateway) as client:
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(model="fresh", messages=HELLO)
        changed = config.replace(
            "[models.mini]", '[models.fresh]\nprovider = "sim"\nid = "sim-nano"\n\n[models.mini]'
        )
        changed = changed.replace('labels = ["billing", "bug", "how-to"]', 'labels = ["other", "labels"]')
        gateway.path.write_text(changed)
        gateway.process.send_signal(signal.SIGHUP)
        wait_for_log(gateway, "the configuration was reloaded")
        assert client.chat.completions.create(model="fresh", messages=HELLO).model == "fresh"
        simulator.fault(answer="billing")
        response = client.chat.completions.with_raw_response.create(model="task/triage", messages=HELLO)
        assert (
            response.headers["x-smallfirst-model"] == "mini"
        )  # `billing` is still a label of what is served


def test_a_bad_file_keeps_the_running_configuration_and_says_so(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    config = CONFIG.format(sim=simulator.base_url)
    with GatewayProcess(tmp_path, config) as gateway, client_of(gateway) as client:
        gateway.path.write_text(
            config.replace('id = "sim-frontier"\n', 'id = "sim-frontier"\nprovidre = 5\n', 1)
        )
        gateway.process.send_signal(signal.SIGHUP)
        wait_for_log(gateway, 'did you mean "provider"?')
        assert client.chat.completions.create(model="frontier", messages=HELLO).choices


def test_keys_are_made_and_revoked_while_it_runs(simulator: SimulatorProcess, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, CONFIG.format(sim=simulator.base_url)) as gateway:
        made = gateway.cli("keys", "create", "second", "--tenant", "other")
        with client_of(gateway, made["key"]) as client:

            def let_in() -> bool:
                try:
                    client.chat.completions.create(model="frontier", messages=HELLO)
                except openai.AuthenticationError:
                    return False
                return True

            wait_until(let_in)
            assert gateway.run("keys", "revoke", "second", "--config", str(gateway.path)).returncode == 0
            wait_until(lambda: not let_in())
        assert not any(
            made["key"].encode() in path.read_bytes() for path in gateway.state.rglob("*") if path.is_file()
        )


def test_after_kill_nine_every_answer_is_in_the_ledger_once_and_every_request_is_accounted_for(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    """Clients note the call ids whose whole answer they received; the gateway is killed at any moment, again and again."""
    simulator.reset()
    simulator.fault(slow_ms=1)
    gateway = GatewayProcess(tmp_path, CONFIG.format(sim=simulator.base_url))
    answered: list[str] = []

    def send(url: str, streams: bool) -> None:
        with openai.OpenAI(base_url=f"{url}/v1", api_key=KEY, max_retries=0, timeout=5) as client:
            while True:
                try:
                    response = client.chat.completions.with_raw_response.create(
                        model="frontier", messages=HELLO, stream=streams
                    )
                    parsed = response.parse()
                    if streams:
                        list(parsed)
                except openai.APIError:
                    return
                answered.append(response.headers["x-smallfirst-call"])

    for round_number in range(KILLS):
        gateway.start("--release", "baseline")
        threads = [
            threading.Thread(target=send, args=(gateway.url, streams))
            for streams in (False, True, False, True)
        ]
        for thread in threads:
            thread.start()
        time.sleep(0.15 + 0.037 * (round_number % 7))
        gateway.kill()
        for thread in threads:
            thread.join()
    gateway.start("--release", "baseline")
    gateway.stop()
    recorded = [call["id"] for call in gateway.calls()]
    assert len(recorded) == len(set(recorded))
    assert set(answered) <= set(recorded)
    assert answered
    sent = len(simulator.requests()["requests"])
    assert sum(section["total"]["attempts"] for section in gateway.bill()["sections"]) >= sent
