"""Callers that name no task: `auto` is taken for one, or for none; through the official SDKs and a release that carries the classifier."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import anthropic
import openai
import pytest
from support import intents
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

EXTRA = """
[routing]
unclassified = "nano"

[keys.narrow]
secret = "env:NARROW_KEY"
tenant = "acme"
models = ["auto", "task/summary"]

[keys.shut]
secret = "env:SHUT_KEY"
tenant = "acme"
models = ["task/triage"]
"""
ENVIRON = {"NARROW_KEY": "sf-narrow", "SHUT_KEY": "sf-shut"}


@pytest.fixture(scope="module")
def untouched(_simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> GatewayProcess:
    """A gateway that is not started, and the classifier that its release will take up."""
    config = CONFIG.format(sim=_simulator.base_url) + EXTRA
    made = GatewayProcess(tmp_path_factory.mktemp("gateway"), config, environ=ENVIRON)
    path = intents.write(made.folder / "examples.jsonl", intents.examples(junk=True))
    report = made.cli("router", "intents", "--examples", str(path), "--note", "of the tests")
    assert report["tasks_without_examples"] == ["cross", "broken"]
    return made


@pytest.fixture(scope="module")
def gateway(untouched: GatewayProcess) -> Iterator[GatewayProcess]:
    with untouched as process:
        yield process


def ask(
    client: openai.OpenAI, text: str, *, system: str = "", **extra: object
) -> openai.types.chat.ChatCompletion:
    told = [{"role": "system", "content": system}] if system else []
    return client.chat.completions.with_raw_response.create(
        model="auto", messages=[*told, {"role": "user", "content": text}], **extra
    )


@pytest.mark.parametrize("system", [False, True])
@pytest.mark.parametrize("task", intents.ASKED)
def test_a_call_is_taken_for_its_task(
    client: openai.OpenAI, gateway: GatewayProcess, task: str, system: bool
) -> None:
    response = ask(client, intents.ASKED[task], system=intents.SYSTEM[task] if system else "")
    assert response.parse().model == "auto"
    call = gateway.call(response.headers["x-smallfirst-call"])
    assert call["task"] == task
    assert call["asked_model"] == "auto"
    assert call["decision"]["by"] == "intent"
    assert call["decision"]["begin"] == 0
    told = call["decision"]["intent"]
    assert told["nearest"][task] == told["probability"] > 0.5
    assert told["in_scope"] >= told["least"]


@pytest.mark.parametrize("stream", [False, True])
def test_what_is_none_of_the_tasks_goes_to_the_model_for_it(
    client: openai.OpenAI, gateway: GatewayProcess, stream: bool
) -> None:
    response = ask(client, "How tall is the Eiffel tower?", stream=stream)
    if stream:
        assert {chunk.model for chunk in response.parse()} == {"auto"}
    assert response.headers["x-smallfirst-model"] == "nano"
    assert "x-smallfirst-rung" not in response.headers
    call = gateway.call(response.headers["x-smallfirst-call"])
    assert (call["task"], call["model"], call["status"]) == ("", "nano", "ok")
    assert call["decision"]["by"] == "unclassified"
    told = call["decision"]["intent"]
    assert told["in_scope"] < told["least"]
    assert set(told["nearest"]) == set(intents.SYSTEM)


def test_the_other_dialect(claude: anthropic.Anthropic, gateway: GatewayProcess) -> None:
    said = claude.messages.with_raw_response.create(
        model="auto",
        max_tokens=50,
        system=intents.SYSTEM["extract"],
        messages=[{"role": "user", "content": intents.ASKED["extract"]}],
    )
    assert said.parse().model == "auto"
    assert gateway.call(said.headers["x-smallfirst-call"])["task"] == "extract"
    junk = claude.messages.with_raw_response.create(
        model="auto", max_tokens=50, messages=[{"role": "user", "content": "How tall is the Eiffel tower?"}]
    )
    assert junk.headers["x-smallfirst-model"] == "nano"


def test_what_was_named_is_not_reclassified(client: openai.OpenAI, gateway: GatewayProcess) -> None:
    header = ask(client, intents.ASKED["triage"], extra_headers={"x-smallfirst-task": "summary"})
    call = gateway.call(header.headers["x-smallfirst-call"])
    assert (call["task"], call["decision"]["by"]) == ("summary", "header")
    assert "intent" not in call["decision"]
    messages = [{"role": "user", "content": intents.ASKED["triage"]}]
    for model, task, by in (("mini", "", "direct"), ("task/summary", "summary", "model")):
        named = client.chat.completions.with_raw_response.create(model=model, messages=messages)
        call = gateway.call(named.headers["x-smallfirst-call"])
        assert (call["task"], call["decision"]["by"]) == (task, by)


def test_explain_shows_the_probabilities(client: openai.OpenAI) -> None:
    response = ask(client, intents.ASKED["summary"], extra_headers={"x-smallfirst-explain": "1"})
    told = json.loads(response.headers["x-smallfirst-explain"])
    assert (told["task"], told["by"]) == ("summary", "intent")
    assert told["intent"]["nearest"]["summary"] > 0.5
    response = ask(client, "How tall is the Eiffel tower?", extra_headers={"x-smallfirst-explain": "1"})
    told = json.loads(response.headers["x-smallfirst-explain"])
    assert (told["task"], told["by"]) == ("", "unclassified")


def test_a_key_is_not_taken_for_what_it_may_not_ask(gateway: GatewayProcess) -> None:
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sf-narrow", max_retries=0) as narrow:
        allowed = ask(narrow, intents.ASKED["summary"])
        assert gateway.call(allowed.headers["x-smallfirst-call"])["task"] == "summary"
        other = ask(narrow, intents.ASKED["triage"])
    call = gateway.call(other.headers["x-smallfirst-call"])
    assert (call["task"], call["model"], call["decision"]["by"]) == ("", "nano", "unclassified")
    assert call["decision"]["intent"]["why"] == "the key may not ask for task 'triage'"
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sf-shut", max_retries=0) as shut:
        with pytest.raises(openai.PermissionDeniedError, match="may not ask for 'auto'"):
            ask(shut, intents.ASKED["triage"])


def test_other_routes_have_no_tasks(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="'auto' is asked through chat completions or messages"):
        client.embeddings.create(model="auto", input="x")


def test_it_is_listed(client: openai.OpenAI, claude: anthropic.Anthropic) -> None:
    assert "auto" in {model.id for model in client.models.list()}
    assert client.models.retrieve("auto").owned_by == "smallfirst"
    assert "auto" in {model.id for model in claude.models.list()}


def test_explain_takes_the_call_for_a_task_and_goes_on(gateway: GatewayProcess) -> None:
    release = gateway.cli("release", "list")["releases"][0]["id"]
    for named in ("candidate", release[:12]):
        told = gateway.cli("explain", intents.ASKED["triage"], "--release", named)
        assert told["task"] == told["taken"]["task"] == "triage"
        assert told["taken"]["near"][0]["id"].startswith("triage-")
        assert [step["model"] for step in told["steps"]] == ["mini", "frontier"]
    none = gateway.cli("explain", "How tall is the Eiffel tower?", "--release", "candidate")
    assert none["task"] == ""
    assert none["taken"]["answered_by"] == "nano"
    config = ("--config", str(gateway.path))
    shown = gateway.run("explain", intents.ASKED["triage"], "--release", "candidate", *config)
    assert "taken for task triage" in shown.stdout
    shown = gateway.run("explain", "How tall is the Eiffel tower?", "--release", "candidate", *config)
    assert "none of the tasks" in " ".join(shown.stdout.split())
    refused = gateway.run("explain", "x", *config)  # baseline is live
    assert refused.returncode == 1
    assert "has no intent classifier" in refused.stderr


def test_the_release_carries_it_and_tells_of_it(gateway: GatewayProcess) -> None:
    release = gateway.cli("release", "list")["releases"][0]["id"]
    sha256 = gateway.cli("release", "show", release)["intents"]
    assert (gateway.state / "releases" / release / "weights" / f"{sha256}.safetensors").is_file()
    shown = gateway.run("release", "show", release, "--config", str(gateway.path)).stdout
    assert f"intent classifier {sha256[:12]} by wordllama" in " ".join(shown.split())


def test_baseline_takes_nothing_for_a_task(simulator: SimulatorProcess, tmp_path: Path) -> None:
    with GatewayProcess(tmp_path, CONFIG.format(sim=simulator.base_url), unproven=False) as process:
        with openai.OpenAI(base_url=f"{process.url}/v1", api_key=KEY, max_retries=0) as client:
            response = ask(client, intents.ASKED["triage"])
        assert response.headers["x-smallfirst-model"] == "frontier"  # the last of the first task's ladder
        call = process.call(response.headers["x-smallfirst-call"])
        assert (call["task"], call["decision"]["by"]) == ("", "unclassified")
        assert call["decision"]["intent"] == {"why": "what is served has no intent classifier"}


def test_an_embedder_that_fails_costs_the_call_nothing_but_its_task(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    made = GatewayProcess(tmp_path, CONFIG.format(sim=simulator.base_url))
    path = intents.write(tmp_path / "examples.jsonl", intents.examples(system=False))
    assert made.cli("router", "intents", "--examples", str(path), "--embedder", "model:embed")["accuracy"]
    with made as process, openai.OpenAI(base_url=f"{process.url}/v1", api_key=KEY, max_retries=0) as client:
        for fault, name in (
            ({"status": 500}, "UpstreamBroken"),
            ({"hang_before_headers": True}, "TimeoutError|Unreachable"),
        ):
            simulator.fault(match={"model": "sim-embed"}, **fault)
            response = ask(client, intents.ASKED["triage"])
            simulator.clear_faults()
            told = process.call(response.headers["x-smallfirst-call"])["decision"]
            assert told["by"] == "unclassified"
            assert re.search(rf"the intent classifier failed \(.*{name}", told["intent"]["why"])


def test_altered_weights_are_refused(untouched: GatewayProcess, gateway: GatewayProcess) -> None:
    release = gateway.cli("release", "list")["releases"][0]["id"]
    sha256 = gateway.cli("release", "show", release)["intents"]
    path = gateway.state / "releases" / release / "weights" / f"{sha256}.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    refused = gateway.run("explain", "x", "--release", release, "--config", str(gateway.path))
    path.write_bytes(data)
    assert refused.returncode == 1
    assert "were altered" in refused.stderr


def test_the_command_tells_people_and_names_what_is_wrong(untouched: GatewayProcess) -> None:
    config = ("--config", str(untouched.path))
    path = intents.write(untouched.folder / "more.jsonl", intents.examples())
    done = untouched.run("router", "intents", "--examples", str(path), *config)
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "3 tasks from 112 examples" in told
    assert "without examples, so never chosen: cross, broken" in told
    path.write_text('{"input": "x", "task": "summry"}\n')
    done = untouched.run("router", "intents", "--examples", str(path), *config)
    assert done.returncode == 1
    assert 'line 1: task: "summry" is not configured; did you mean "summary"?' in " ".join(
        done.stderr.split()
    )
