"""Wrong requests get a clear error in their own dialect, with the path of what is wrong, and never a traceback."""

from __future__ import annotations

import json
import urllib.error
import urllib.request

import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

CHAT = "/v1/chat/completions"
GOOD = {"model": "frontier", "messages": [{"role": "user", "content": "hi"}]}


def post(
    gateway: GatewayProcess,
    path: str,
    body: object,
    *,
    key: str | None = KEY,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict]:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = (
        {"content-type": "application/json"}
        | ({"authorization": f"Bearer {key}"} if key is not None else {})
        | (headers or {})
    )
    request = urllib.request.Request(gateway.url + path, data=data, headers=sent)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, json.loads(response.read())
    except urllib.error.HTTPError as error:
        text = error.read().decode()
        assert "Traceback" not in text
        return error.code, json.loads(text)


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"model": 5}, "model"),
        ({"messages": "hi"}, "messages"),
        ({"messages": [{"role": 7, "content": "hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"content": "hi"}]}, "messages[0]"),
        ({"temperature": "hot"}, "temperature"),
        ({"max_tokens": 1.5}, "max_tokens"),
        ({"stream": "yes"}, "stream"),
        ({"n": "two"}, "n"),
        ({"n": 100}, "n"),
        ({"tools": {}}, "tools"),
        ({"stop": 5}, "stop"),
        ({"stream_options": []}, "stream_options"),
        ({"logprobs": "true"}, "logprobs"),
    ],
)
def test_a_wrong_type_is_named_by_its_path(
    gateway: GatewayProcess, change: dict[str, object], param: str
) -> None:
    status, answer = post(gateway, CHAT, GOOD | change)
    assert status == 400
    assert answer["error"]["type"] == "invalid_request_error"
    assert answer["error"]["param"].startswith(param)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"model": "frontier"}',
        b'{"model": "a", "messages": [], "messages": 5}',
        b"{" * 100_000,
        b"[" * 100_000,
    ],
)
def test_what_is_not_a_request_is_a_400(gateway: GatewayProcess, body: bytes) -> None:
    for path in (CHAT, "/v1/messages", "/v1/completions", "/v1/embeddings"):
        status, answer = post(gateway, path, body)
        assert status == 400, path
        assert answer["error"]["message"]


def test_a_deeply_nested_unknown_field_is_refused_not_a_crash(gateway: GatewayProcess) -> None:
    nested = (
        b'{"model": "frontier", "messages": [{"role": "user", "content": "hi"}], "x": '
        + b"[" * 5000
        + b"]" * 5000
        + b"}"
    )
    assert post(gateway, CHAT, nested)[0] == 400


def test_a_body_that_is_too_large_is_refused(simulator: SimulatorProcess, tmp_path) -> None:
    config = CONFIG.format(sim=simulator.base_url) + "\n[server]\nmax_body_bytes = 2048\n"
    with GatewayProcess(tmp_path, config) as gateway:
        assert post(gateway, CHAT, GOOD | {"x": "y" * 4000})[0] == 413
        assert post(gateway, CHAT, GOOD)[0] == 200


def test_an_unknown_model_names_the_nearest(gateway: GatewayProcess) -> None:
    status, answer = post(gateway, CHAT, GOOD | {"model": "frontire"})
    assert status == 404
    assert 'did you mean "frontier"?' in answer["error"]["message"]
    assert answer["error"]["code"] == "model_not_found"


def test_an_unknown_task_names_those_there_are(gateway: GatewayProcess) -> None:
    status, answer = post(gateway, CHAT, GOOD | {"model": "task/nope"})
    assert status == 404
    assert "triage" in answer["error"]["message"]


@pytest.mark.parametrize(
    "key", [None, "", "wrong", "sf-test-key ", "' OR 1=1 --", "sf-test-ke", "sf-test-keyy"]
)
def test_a_bad_key_is_a_401(gateway: GatewayProcess, key: str | None) -> None:
    if key == "sf-test-key ":
        assert post(gateway, CHAT, GOOD, key=key)[0] == 200  # HTTP's own blank space
        return
    status, answer = post(gateway, CHAT, GOOD, key=key)
    assert status == 401
    assert answer["error"]["code"] == "invalid_api_key"


def test_errors_speak_the_callers_dialect(gateway: GatewayProcess) -> None:
    status, answer = post(
        gateway,
        "/v1/messages",
        {"model": "claude", "max_tokens": "9", "messages": []},
        headers={"anthropic-version": "2023-06-01"},
    )
    assert status == 400
    assert answer["type"] == "error"
    assert answer["error"]["type"] == "invalid_request_error"
    status, answer = post(
        gateway,
        "/v1/messages",
        {"model": "nope", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]},
    )
    assert (status, answer["error"]["type"]) == (404, "not_found_error")


def test_unknown_paths_and_methods(gateway: GatewayProcess) -> None:
    assert gateway.get("/v1/chat/completions")[0] == 404
    assert gateway.get("/admin")[0] == 404
    assert gateway.get("/v1/models")[0] == 401
    assert gateway.get("/health") == (200, b'{"status":"ok"}')
    assert gateway.get("/ready")[0] == 200


@pytest.mark.parametrize("path", ["/v1/responses/../files", "/v1/responses//x", "/v1/responses/%2e%2e/files"])
def test_a_relayed_path_cannot_leave_its_prefix(gateway: GatewayProcess, path: str) -> None:
    assert post(gateway, path, {"model": "x"})[0] in (400, 404)


def test_a_callers_urls_and_engine_fields_reach_no_address(
    gateway: GatewayProcess, simulator: SimulatorProcess
) -> None:
    body = GOOD | {
        "api_base": "http://127.0.0.1:1/",
        "base_url": "http://127.0.0.1:1/",
        "user_config": {"api_base": "http://127.0.0.1:1"},
    }
    assert post(gateway, CHAT, body)[0] == 200


def test_secrets_are_in_no_log_and_no_answer(gateway: GatewayProcess, simulator: SimulatorProcess) -> None:
    simulator.fault(status=401, times=1)
    _, answer = post(gateway, CHAT, GOOD)
    seen = (
        json.dumps(answer)
        + gateway.log_text()
        + json.dumps(gateway.calls())
        + gateway.get("/metrics")[1].decode()
    )
    for secret in ("upstream-secret", KEY):
        assert secret not in seen
    for path in gateway.state.rglob("*"):
        if path.is_file():
            assert b"upstream-secret" not in path.read_bytes(), path
            assert KEY.encode() not in path.read_bytes(), path
