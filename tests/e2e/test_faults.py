"""What breaks, and what a client, the upstream and the ledger then see."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time

import anthropic
import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

HELLO = [
    {
        "role": "user",
        "content": "Tell me at length about scanners, docks and printers, and how they are cleaned.",
    }
]


def latest(gateway: GatewayProcess, **wanted: object) -> dict:
    """The newest call that is as wanted, once the importer has it."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for call in gateway.calls()[:3]:
            if all(call[name] == value for name, value in wanted.items()):
                return gateway.call(call["id"])
        time.sleep(0.1)
    raise AssertionError(f"no call with {wanted}: {gateway.calls()[:3]}")


def test_a_client_that_leaves_a_stream_closes_the_upstream_and_is_billed_for_what_came(
    client: openai.OpenAI, simulator: SimulatorProcess, gateway: GatewayProcess
) -> None:
    simulator.fault(slow_ms=50, times=1)
    stream = client.chat.completions.create(model="frontier", messages=HELLO, stream=True)
    for _ in range(4):
        next(iter(stream))
    stream.close()
    state = simulator.wait_until(lambda state: state["in_flight"] == 0)
    assert state["requests"][-1]["state"] == "cancelled"
    call = latest(gateway, status="cancelled")
    attempt = call["attempts"][0]
    assert (attempt["status"], attempt["usage_source"]) == ("cancelled", "estimated")
    assert attempt["cost_nusd"] > 0


def test_a_client_that_leaves_before_its_answer_closes_the_upstream_too(
    simulator: SimulatorProcess, gateway: GatewayProcess
) -> None:
    simulator.fault(hang_before_headers=1.9, times=1)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=0.5) as impatient:
        with pytest.raises(openai.APITimeoutError):
            impatient.chat.completions.create(model="frontier", messages=HELLO)
    simulator.wait_until(lambda state: state["in_flight"] == 0)
    assert latest(gateway, status="cancelled")["attempts"][0]["status"] == "cancelled"


@pytest.mark.parametrize(
    "fault",
    [
        {"cut_after_chunks": 2},
        {"silent_end": 2},
        {"error_event_after_chunks": 2, "slow_ms": 30},
        {"hang_after_chunks": 2},
    ],
)
def test_a_stream_that_breaks_ends_with_an_error_event_and_is_billed(
    client: openai.OpenAI, simulator: SimulatorProcess, gateway: GatewayProcess, fault: dict[str, object]
) -> None:
    simulator.fault(times=1, **fault)
    stream = client.chat.completions.create(model="frontier", messages=HELLO, stream=True)
    with pytest.raises(openai.APIError):
        list(stream)
    call = latest(gateway, status="cut")
    assert call["attempts"][0]["status"] in ("broken", "timeout")
    assert call["attempts"][0]["usage_source"] == "estimated"
    assert call["attempts"][0]["cost_nusd"] > 0


@pytest.mark.parametrize("model", ["claude", "frontier"])
def test_a_stream_that_breaks_for_the_anthropic_sdk(
    claude: anthropic.Anthropic, simulator: SimulatorProcess, model: str
) -> None:
    simulator.fault(times=1, cut_after_chunks=2)
    with (
        pytest.raises(anthropic.APIError),
        claude.messages.stream(model=model, max_tokens=300, messages=HELLO) as stream,
    ):
        list(stream.text_stream)


@pytest.mark.parametrize(
    "framing",
    [
        {"split_bytes": 1},
        {"split_bytes": 7, "line_ending": "\r\n"},
        {"split_bytes": 3, "line_ending": "\r"},
        {"bom": True, "comments": True},
        {"multi_line_data": True},
        {"no_space": True, "split_bytes": 11},
    ],
)
@pytest.mark.parametrize("model", ["frontier", "claude"])
def test_text_is_the_same_however_the_stream_is_framed(
    client: openai.OpenAI, simulator: SimulatorProcess, framing: dict[str, object], model: str
) -> None:
    simulator.fault(answer="Zürich – naïve 漢字 🙂 and\na second line\twith a tab", times=1, **framing)
    chunks = client.chat.completions.create(model=model, messages=HELLO, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == "Zürich – naïve 漢字 🙂 and\na second line\twith a tab"


@pytest.mark.parametrize("fault", [{"no_usage": True}, {"usage_null_choices": True}])
def test_usage_may_be_missing_or_oddly_wrapped(
    client: openai.OpenAI, simulator: SimulatorProcess, gateway: GatewayProcess, fault: dict[str, object]
) -> None:
    simulator.fault(times=1, **fault)
    response = client.chat.completions.with_raw_response.create(model="frontier", messages=HELLO, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in response.parse() if chunk.choices)
    attempt = gateway.call(response.headers["x-smallfirst-call"])["attempts"][0]
    assert attempt["usage_source"] == ("estimated" if "no_usage" in fault else "reported")
    assert attempt["cost_nusd"] > 0


@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_what_may_pass_is_tried_again_and_each_attempt_is_kept(
    client: openai.OpenAI, simulator: SimulatorProcess, gateway: GatewayProcess, status: int
) -> None:
    simulator.fault(status=status, times=1)
    response = client.chat.completions.with_raw_response.create(model="frontier", messages=HELLO)
    attempts = gateway.call(response.headers["x-smallfirst-call"])["attempts"]
    assert [(attempt["kind"], attempt["status"]) for attempt in attempts] == [
        ("first", "refused"),
        ("retry", "ok"),
    ]
    assert attempts[0]["cost_nusd"] == 0


def test_when_retries_are_exhausted_the_sdk_is_told_not_to_add_its_own(
    simulator: SimulatorProcess, gateway: GatewayProcess
) -> None:
    simulator.fault(status=429, retry_after_ms=1)
    before = len(simulator.requests()["requests"])
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=2) as eager:
        with pytest.raises(openai.RateLimitError) as caught:
            eager.chat.completions.create(model="frontier", messages=HELLO)
    assert caught.value.response.headers["x-should-retry"] == "false"
    assert len(simulator.requests()["requests"]) - before == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_refusals_are_passed_on_once(client: openai.OpenAI, simulator: SimulatorProcess, status: int) -> None:
    simulator.fault(status=status, message="no, because", times=1)
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="frontier", messages=HELLO)
    assert caught.value.status_code == status
    assert "no, because" in str(caught.value)


def test_refusals_cross_dialects(claude: anthropic.Anthropic, simulator: SimulatorProcess) -> None:
    simulator.fault(status=400, message="no, because", times=1)
    with pytest.raises(anthropic.BadRequestError, match="no, because"):
        claude.messages.create(model="frontier", max_tokens=9, messages=HELLO)


@pytest.mark.parametrize(
    "fault",
    [
        {"garbage_json": True},
        {"truncated_json": True},
        {"wrong_content_type": True},
        {"status": 200, "body": "html"},
    ],
)
def test_garbage_is_an_error_of_the_upstreams(
    client: openai.OpenAI, simulator: SimulatorProcess, fault: dict[str, object]
) -> None:
    simulator.fault(**fault)
    stream = "wrong_content_type" in fault
    with pytest.raises(openai.InternalServerError) as caught:
        list(
            client.chat.completions.create(model="nano", messages=HELLO, stream=True)
        ) if stream else client.chat.completions.create(model="nano", messages=HELLO)
    assert caught.value.status_code == 502


def test_a_hung_upstream_is_a_timeout(client: openai.OpenAI, simulator: SimulatorProcess) -> None:
    simulator.fault(hang_before_headers=True, times=1)
    with pytest.raises(openai.InternalServerError) as caught:
        client.chat.completions.create(model="claude", messages=HELLO)
    assert caught.value.status_code == 504
    assert simulator.wait_until(lambda state: state["in_flight"] == 0)


def test_a_breaker_opens_and_refuses_at_once(simulator: SimulatorProcess, tmp_path) -> None:
    config = CONFIG.format(sim=simulator.base_url)
    with (
        GatewayProcess(tmp_path, config) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=30) as client,
    ):
        for _ in range(5):
            with pytest.raises(openai.APIStatusError):
                client.chat.completions.create(model="gone", messages=HELLO)
        with pytest.raises(openai.InternalServerError, match="circuit breaker"):
            client.chat.completions.create(model="gone", messages=HELLO)
        status, text = gateway.get("/metrics")
        assert status == 200
        assert 'smallfirst_endpoint_up{endpoint="http://127.0.0.1:9/v1"} 0.0' in text.decode()


def test_sigterm_drains_streams_and_ends_them_cleanly(simulator: SimulatorProcess, tmp_path) -> None:
    config = CONFIG.format(sim=simulator.base_url)
    gateway = GatewayProcess(tmp_path, config).start()
    simulator.fault(slow_ms=30, answer="word " * 40)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=30) as client:
        stream = client.chat.completions.create(model="frontier", messages=HELLO, stream=True)
        first = next(iter(stream))
        gateway.process.send_signal(signal.SIGTERM)
        text = (first.choices[0].delta.content or "") + "".join(
            chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices
        )
    assert text.split() == ["word"] * 40
    assert gateway.wait() == 0
    assert gateway.calls()[0]["status"] == "ok"


def test_a_drain_that_takes_too_long_ends_streams_with_an_error_event(
    simulator: SimulatorProcess, tmp_path
) -> None:
    config = CONFIG.format(sim=simulator.base_url) + "\n[server]\ndrain_s = 1\n"
    gateway = GatewayProcess(tmp_path, config).start()
    simulator.fault(slow_ms=100, answer="word " * 400)
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=30) as client:
        stream = client.chat.completions.create(model="frontier", messages=HELLO, stream=True)
        next(iter(stream))
        gateway.process.send_signal(signal.SIGTERM)
        with pytest.raises(openai.APIError, match="stopping"):
            list(stream)
    assert gateway.wait() == 0
    call = gateway.calls()[0]
    assert call["status"] == "cut"
    assert call["error"] == "shutdown"


def test_a_port_in_use_is_one_line(gateway: GatewayProcess, tmp_path) -> None:
    port = gateway.url.rsplit(":", 1)[1]
    other = GatewayProcess(tmp_path, gateway.path.read_text("utf-8"))
    done = other.run("serve", "--config", str(other.path), "--port", port)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_second_gateway_on_the_same_state_is_refused(gateway: GatewayProcess) -> None:
    done = gateway.run("serve", "--config", str(gateway.path), "--port", "0")
    assert done.returncode == 1
    assert str(gateway.pid) in done.stderr
    assert "Traceback" not in done.stderr


def raw_exchange(gateway: GatewayProcess, data: bytes) -> bytes:
    host, port = gateway.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=5) as connection:
        connection.sendall(data)
        connection.settimeout(5)
        received = b""
        while chunk := connection.recv(65536):
            received += chunk
            if b"\r\n\r\n" in received and b"HTTP/1.1 " in received:
                break
        return received


@pytest.mark.parametrize(
    "host", ["evil.example", "127.0.0.1/x?", "x/#", "a b", "", "127.0.0.1:99999999", "user@127.0.0.1"]
)
@pytest.mark.parametrize("path", ["/v1/models", "/health", "/metrics", "/v1/chat/completions"])
def test_host_header_tricks_are_refused(gateway: GatewayProcess, host: str, path: str) -> None:
    answer = raw_exchange(
        gateway, f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
    )
    assert answer.startswith(b"HTTP/1.1 400")


def test_many_clients_that_leave_at_any_moment_leave_nothing_behind(
    simulator: SimulatorProcess, gateway: GatewayProcess
) -> None:
    simulator.fault(slow_ms=5, answer="word " * 50)
    body = json.dumps({"model": "frontier", "messages": HELLO, "stream": True}).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    host, port = gateway.url.removeprefix("http://").split(":")

    def leave_after(seconds: float) -> None:
        with socket.create_connection((host, int(port))) as connection:
            connection.sendall(head + body)
            time.sleep(seconds)

    threads = [threading.Thread(target=leave_after, args=(0.012 * number,)) for number in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    simulator.wait_until(lambda state: state["in_flight"] == 0)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and b"smallfirst_calls_in_flight 0.0" not in gateway.get("/metrics")[1]:
        time.sleep(0.05)
    metrics = gateway.get("/metrics")[1].decode()
    assert "smallfirst_calls_in_flight 0.0" in metrics
    assert f'smallfirst_endpoint_in_flight{{endpoint="{simulator.base_url}/v1"}} 0.0' in metrics
    assert "Traceback" not in gateway.log_text()
