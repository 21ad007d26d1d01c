"""The embedded model for real: llama.cpp over SmolLM2 in a child process, its life and its death."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openai
import pytest
from support.embedded import WEIGHTS, EmbeddedThread
from support.gateway import KEY, GatewayProcess
from support.openai_endpoint_suite import Endpoint, OpenAIEndpointSuite, until, user
from support.simulator import SimulatorProcess

from smallfirst import limits
from smallfirst.errors import StateError
from smallfirst.models.llamacpp_child import keep_short
from smallfirst.models.weights import find

pytestmark = pytest.mark.embedded


@pytest.fixture(scope="module")
def weights() -> Path:
    path = find(WEIGHTS)
    assert path is not None, f"fetch the weights first: smallfirst models pull {WEIGHTS}"
    return path


@pytest.fixture(scope="module")
def embedded(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedThread]:
    with EmbeddedThread(weights, tmp_path_factory.mktemp("embedded")) as thread:
        yield thread


@pytest.fixture(scope="module")
def endpoint(embedded: EmbeddedThread) -> Endpoint:
    return Endpoint(
        base_url=embedded.base_url,
        model=WEIGHTS,
        key=embedded.server.key,
        engine="llamacpp",
        context_tokens=embedded.server.settings.context_tokens,
        running_metric="llamacpp:requests_processing",
    )


class TestEmbeddedEndpoint(OpenAIEndpointSuite):
    """The same tests that a real vLLM passes (tests/slow/test_vllm.py)."""

    @pytest.mark.parametrize(
        "fields",
        [
            {"response_format": {"type": "json_object", "schema": {"enum": ["yes"]}}},
            {"json_schema": {"enum": ["yes"]}},
            {"grammar": 'root ::= "\\"yes\\""'},
        ],
        ids=["json_object", "json_schema", "grammar"],
    )
    def test_other_fields_that_constrain(
        self, endpoint: Endpoint, client: openai.OpenAI, fields: dict[str, Any]
    ) -> None:
        answer = client.chat.completions.create(
            model=endpoint.model, messages=user("No?"), max_tokens=20, extra_body=fields
        )
        assert answer.choices[0].message.content == '"yes"'

    def test_a_grammar_that_cannot_be_read_is_refused(
        self, endpoint: Endpoint, client: openai.OpenAI
    ) -> None:
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(
                model=endpoint.model,
                messages=user("Hi"),
                max_tokens=4,
                extra_body={"grammar": "root ::= nothing"},
            )

    def test_a_prompt_that_is_too_long_says_by_how_much(
        self, endpoint: Endpoint, client: openai.OpenAI
    ) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            client.chat.completions.create(model=endpoint.model, messages=user("word " * 3000), max_tokens=4)
        error: Any = refused.value.body
        assert error["type"] == "exceed_context_size_error"
        assert error["n_ctx"] == endpoint.context_tokens
        assert error["n_prompt_tokens"] > 3000


def test_an_answer_ends_where_the_context_does(weights: Path, tmp_path: Path) -> None:
    with (
        EmbeddedThread(weights, tmp_path, context_tokens=256, slots=1) as thread,
        openai.OpenAI(base_url=thread.base_url, api_key=thread.server.key, max_retries=0) as client,
    ):
        answer = client.chat.completions.create(
            model=WEIGHTS, messages=user("word " * 200), max_tokens=5000, extra_body={"ignore_eos": True}
        )
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage is not None
    assert answer.usage.total_tokens == 256


def test_nobody_can_read_its_key_and_it_has_nobody_elses(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a provider's secret")
    with EmbeddedThread(weights, tmp_path) as thread:
        process = Path("/proc") / str(thread.pid)
        seen = (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
        assert thread.server.key.encode() not in seen
        assert b"a provider's secret" not in seen
        assert os.getpriority(os.PRIO_PROCESS, thread.pid) >= os.getpriority(os.PRIO_PROCESS, 0) + 5
        assert stat.S_IMODE(thread.log.stat().st_mode) == 0o600
        assert thread.server.key not in thread.log.read_text("utf-8")


def test_it_is_started_again_when_it_dies(weights: Path, tmp_path: Path) -> None:
    with EmbeddedThread(weights, tmp_path) as thread:
        first, url = thread.pid, thread.base_url
        os.kill(first, signal.SIGKILL)
        thread.wait_for(lambda: len(thread.events) == 3)
        assert thread.events[:2] == [url, None]
        assert thread.server.state == "ready"
        assert thread.server.restarts == 1
        assert thread.pid != first
        with openai.OpenAI(base_url=thread.base_url, api_key=thread.server.key, max_retries=0) as client:
            assert client.chat.completions.create(model=WEIGHTS, messages=user("Hi"), max_tokens=1).usage


def test_weights_that_cannot_be_loaded_are_an_error_with_the_logs_end(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.gguf"
    wrong.write_bytes(b"not weights at all")
    thread = EmbeddedThread(wrong, tmp_path)
    try:
        with pytest.raises(StateError, match=r"(?s)cannot load .*wrong\.gguf.*embedded\.log.*invalid magic"):
            thread.begin().ready()
        assert thread.server.state == "restarting"
        assert thread.server.base_url is None
    finally:
        thread.stop()


def test_what_never_starts_is_called_failed_and_mends_when_it_can(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "EMBEDDED_RESTART_FIRST_S", 0.01)
    monkeypatch.setattr(limits, "EMBEDDED_RESTART_MAX_S", 0.02)
    monkeypatch.setattr(limits, "EMBEDDED_RESTARTS", 2)
    path = tmp_path / "late.gguf"
    path.write_bytes(b"not yet")
    thread = EmbeddedThread(path, tmp_path).begin()
    try:
        thread.wait_for(lambda: thread.server.state == "failed")
        arriving = tmp_path / "arriving"
        arriving.symlink_to(weights)
        arriving.rename(path)
        thread.wait_for(lambda: thread.server.state == "ready")
    finally:
        thread.stop()


def test_stopping_while_it_starts_leaves_no_process(weights: Path, tmp_path: Path) -> None:
    thread = EmbeddedThread(weights, tmp_path).begin()
    thread.wait_for(lambda: thread.server.pid is not None)
    pid = thread.pid
    thread.stop()
    assert not _runs(pid)
    assert thread.server.state == "stopped"
    assert thread.events == []


_PARENT = """
import asyncio, sys
from pathlib import Path
from smallfirst.models.llamacpp import EmbeddedServer
from smallfirst.models.llamacpp_child import Settings

async def main():
    server = EmbeddedServer(
        Settings(weights=sys.argv[1], name="m", context_tokens=256), Path(sys.argv[2]),
        on_ready=lambda url: None, on_gone=lambda: None,
    )
    server.start()
    await server.ready()
    print(server.pid, flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


def test_it_dies_with_its_parent(weights: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _PARENT, str(weights), str(tmp_path / "log")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert _runs(pid)
        parent.kill()
    assert until(lambda: not _runs(pid), 5)


def test_a_log_that_grows_is_cut_to_its_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "log"
    lines = [f"line {number}\n".encode() for number in range(1000)]
    with path.open("ab", buffering=0) as log:
        log.write(b"".join(lines))
        keep_short(path, 1_000_000, kept_bytes=100)
        assert path.read_bytes() == b"".join(lines)
        keep_short(path, 5000, kept_bytes=100)
        assert path.read_bytes() == b"".join(lines[-11:])
        log.write(b"more\n")
    assert path.read_bytes() == b"".join(lines[-11:]) + b"more\n"
    path.unlink()
    keep_short(path, 5000, kept_bytes=100)


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

[models.small]
provider = "embedded"
id = "smollm2-135m"
context_tokens = 512
hourly_usd = "0"

[tasks.triage]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["small", "frontier"]

[keys.test]
secret = "env:TEST_KEY"
"""


def test_behind_the_gateway_it_answers_and_while_it_is_gone_the_ladder_climbs(
    weights: Path, tmp_path: Path
) -> None:
    with (
        SimulatorProcess() as simulator,
        GatewayProcess(tmp_path, _GATEWAY.format(sim=simulator.base_url)) as gateway,
        openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=60) as client,
    ):
        assert until(lambda: b"smallfirst_embedded_ready 1" in gateway.get("/metrics")[1], 60)

        def ask() -> tuple[str, str | None]:
            raw = client.chat.completions.with_raw_response.create(
                model="task/triage", messages=user("The app crashes when I log in."), max_tokens=20
            )
            return raw.headers["x-smallfirst-model"], raw.parse().choices[0].message.content

        model, said = ask()
        assert model == "small"
        assert said in ("billing", "bug", "how-to")
        child = _child_of(gateway.pid)
        os.kill(child, signal.SIGKILL)
        assert ask()[0] == "frontier"
        assert until(lambda: ask()[0] == "small", 30)
    assert not _runs(child)


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def _child_of(parent: int) -> int:
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text("utf-8").rsplit(")", 1)[1].split()
            command = (path.parent / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == parent and b"llamacpp_child" in command:
            return int(path.parent.name)
    raise AssertionError("the gateway has no embedded model's process")
