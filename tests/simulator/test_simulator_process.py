"""The program itself: how it starts, what it refuses, what it tells, and what it does not import."""

import ast
import http.client
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from support.simulator import SimulatorProcess

from smallfirst.simulator.__main__ import main
from smallfirst.simulator.settings import parse_settings

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "smallfirst" / "simulator"
USER: Any = [{"role": "user", "content": "hello there"}]


def test_it_imports_nothing_else_of_smallfirst() -> None:
    for path in PACKAGE.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                assert node.level <= 1, path
                assert not (node.level == 0 and (node.module or "").startswith("smallfirst")), path
            elif isinstance(node, ast.Import):
                assert not any(alias.name.startswith("smallfirst") for alias in node.names), path


def test_running_it_loads_no_module_of_the_product() -> None:
    code = (
        "import smallfirst.simulator.app, sys;"
        "own = [name for name in sys.modules if name.startswith('smallfirst.')];"
        "print([name for name in own if not name.startswith('smallfirst.simulator')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parents[1]
    )
    assert done.stdout.strip() == "[]"


def test_a_port_in_use_is_one_line_and_status_2(
    simulator: SimulatorProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    port = simulator.base_url.rsplit(":", 1)[1]
    assert main(["--port", port]) == 2
    assert (
        capsys.readouterr().err == f"simulator: cannot listen on 127.0.0.1:{port}: Address already in use\n"
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sede = 1", "sede: unknown entry"),
        ("seed = 'x'", "seed: expected a whole number"),
        ("[latency]\nttft_ms = -1", "latency.ttft_ms: expected a number that is not negative"),
        ("[tasks.a]\nmarker = 'x'\naccuracy = 2", "tasks.a.accuracy: expected a number in [0, 1]"),
        ("[tasks.a]\naccuracy = 0.5", "tasks.a: missing 1 required positional argument: 'marker'"),
        ("[rates]\nerror_rate = 3", "rates.error_rate: expected a number in [0, 1]"),
        ("tasks = 1", "tasks: expected a table"),
    ],
)
def test_a_wrong_config_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    (tmp_path / "sim.toml").write_text(text)
    assert main(["--port", "0", "--config", str(tmp_path / "sim.toml")]) == 2
    assert capsys.readouterr().err.startswith(f"simulator: {message}")


def test_settings_from_a_table() -> None:
    settings = parse_settings({"seed": 4, "aliases": {"gpt-4o": "sim-frontier"}, "latency": {"ttft_ms": 5}})
    assert (settings.seed, settings.aliases["gpt-4o"], settings.latency.ttft_ms) == (4, "sim-frontier", 5)


def test_a_configured_key_is_the_only_one() -> None:
    with SimulatorProcess({"api_key": "right"}) as process:
        for key, allowed in (("right", True), ("wrong", False)):
            with (
                openai.OpenAI(base_url=f"{process.base_url}/v1", api_key=key, max_retries=0) as chat,
                anthropic.Anthropic(base_url=process.base_url, api_key=key, max_retries=0) as claude,
            ):
                if allowed:
                    assert chat.chat.completions.create(model="sim-nano", messages=USER)
                    assert claude.messages.create(model="sim-claude", max_tokens=9, messages=USER)
                    continue
                with pytest.raises(openai.AuthenticationError) as refused:
                    chat.chat.completions.create(model="sim-nano", messages=USER)
                assert refused.value.code == "invalid_api_key"
                with pytest.raises(anthropic.AuthenticationError) as refused_too:
                    claude.messages.create(model="sim-claude", max_tokens=9, messages=USER)
                body: Any = refused_too.value.body
                assert body["error"]["type"] == "authentication_error"


def test_what_arrived_can_be_seen_without_keys(simulator: SimulatorProcess, chat: openai.OpenAI) -> None:
    chat.chat.completions.create(model="sim-nano", messages=USER, extra_body={"unknown_field": [1]})
    (request,) = simulator.requests(detail=True)["requests"]
    assert json.loads(request["body"])["unknown_field"] == [1]
    assert request["headers"]["authorization"] == "***"
    assert request["started_at"] is not None
    assert request["finished_at"] >= request["started_at"] >= request["received_at"]
    assert "body" not in simulator.requests()["requests"][0]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_unknown_paths_are_errors_in_the_callers_dialect(simulator: SimulatorProcess, method: str) -> None:
    host = simulator.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    connection.request(method, "/v1/nothing", headers={"anthropic-version": "2023-06-01"})
    response = connection.getresponse()
    assert (response.status, json.loads(response.read())["error"]["type"]) == (404, "not_found_error")
    connection.close()


ODD: list[dict[str, Any]] = [
    {"model": "\ud800"},
    {"tools": [1]},
    {"response_format": {"type": "json_schema", "json_schema": {"schema": {"properties": [1]}}}},
    {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"schema": {"minimum": "x", "type": "number"}},
        }
    },
    {"n": 10**9},
    {"stop": [1]},
    {"messages": [{"role": "user", "content": [1]}]},
    {"messages": [{"role": "user", "content": 5}]},
    {"stream_options": []},
]


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: next(iter(odd)))
def test_odd_fields_are_refused_and_the_books_stay_readable(
    simulator: SimulatorProcess, odd: dict[str, Any]
) -> None:
    host = simulator.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    body = json.dumps({"model": "sim-frontier", "messages": USER, **odd})
    connection.request("POST", "/v1/chat/completions", body, {"authorization": "Bearer k"})
    response = connection.getresponse()
    assert response.status in (400, 404)
    assert json.loads(response.read())["error"]["message"]
    connection.close()
    assert simulator.invoice()["total_nusd"] == 0
    assert simulator.requests(detail=True)["in_flight"] == 0


def test_a_schema_that_explodes_is_answered_anyway(chat: openai.OpenAI) -> None:
    node = {"type": "object", "properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}, "required": ["a", "b"]}
    shape: Any = {"type": "json_schema", "json_schema": {"name": "tree", "schema": node}}
    answer = chat.chat.completions.create(model="sim-nano", messages=USER, response_format=shape)
    assert json.loads(answer.choices[0].message.content or "")


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"model": 3}', b"\xff\xfe", b'{"messages": "x"}'])
def test_bodies_that_are_no_requests_are_400(simulator: SimulatorProcess, body: bytes) -> None:
    host = simulator.base_url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    for path in ("/v1/chat/completions", "/v1/messages", "/v1/embeddings", "/v1/responses"):
        connection.request(
            "POST", path, body, {"authorization": "Bearer k", "anthropic-version": "2023-06-01"}
        )
        response = connection.getresponse()
        assert response.status == 400, (path, response.read())
        assert json.loads(response.read())["error"]["message"]
    connection.close()
    assert simulator.invoice()["total_nusd"] == 0
