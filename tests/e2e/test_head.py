"""A label head as a model, over real sockets: asked directly in both dialects, and as the cheapest rung of a task."""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Iterator

import anthropic
import openai
import pytest
from support.gateway import CONFIG, GatewayProcess
from support.simulator import SimulatorProcess

HEADS = """
[providers.heads]
kind = "head"

[models.triage-head]
provider = "heads"
id = "sort"

[models.untrained]
provider = "heads"
id = "nobody"

[tasks.sort]
contract = { type = "label", labels = ["billing", "bug", "how-to"] }
ladder = ["triage-head", "frontier"]
"""
INVOICE = [{"role": "user", "content": "I was charged twice on my invoice"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}


THINGS = [
    "last month",
    "since Monday",
    "for my team",
    "on the mobile app",
    "again",
    "in the EU",
    "for order 77",
    "today",
]
SAID = {
    "billing": ["I was charged twice on my invoice", "Please refund my payment", "Wrong VAT on the bill"],
    "bug": ["The app crashes with an error", "The page stays blank", "Export fails with exception 500"],
    "how-to": ["How do I invite a colleague", "Where can I change my password", "How can I add a filter"],
}


def train(gateway: GatewayProcess, *, examples: int) -> str:
    """The hash of a head for the task `sort`, trained on so many examples of each sentence."""
    rows = [
        {"id": f"{label}-{sentence}-{thing}", "input": f"{sentence} {thing}", "label": label}
        for label, sentences in SAID.items()
        for sentence in sentences
        for thing in THINGS[:examples]
    ]
    data = gateway.folder / "examples.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return gateway.cli("train", "sort", "--data", str(data), "--embedder", "wordllama")["head"]


@pytest.fixture(scope="module")
def untouched(_simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory) -> GatewayProcess:
    """A gateway that is not started."""
    return GatewayProcess(tmp_path_factory.mktemp("gateway"), CONFIG.format(sim=_simulator.base_url) + HEADS)


@pytest.fixture(scope="module")
def head(untouched: GatewayProcess) -> str:
    """The hash of the head that is there when the release is built."""
    return train(untouched, examples=7)


@pytest.fixture(scope="module")
def gateway(untouched: GatewayProcess, head: str) -> Iterator[GatewayProcess]:
    with untouched as process:
        yield process


@pytest.mark.parametrize("stream", [False, True])
def test_asked_directly_it_says_its_label(client: openai.OpenAI, stream: bool) -> None:
    response = client.chat.completions.with_raw_response.create(
        model="triage-head", messages=INVOICE, stream=stream
    )
    answer = response.parse()
    if stream:
        chunks = list(answer)
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "billing"
        assert {chunk.model for chunk in chunks} == {"triage-head"}
        return
    assert answer.choices[0].message.content == "billing"
    assert answer.choices[0].logprobs is None
    assert answer.model == "triage-head"
    assert answer.usage.total_tokens == 0
    assert response.headers["x-smallfirst-cost-usd"] == "0.000000000"


@pytest.mark.parametrize("stream", [False, True])
def test_its_confidence_can_be_asked_for(client: openai.OpenAI, stream: bool) -> None:
    answer = client.chat.completions.create(
        model="triage-head", messages=INVOICE, stream=stream, logprobs=True
    )
    chunks = list(answer) if stream else [answer]
    (logprobs,) = (
        choice.logprobs for chunk in chunks for choice in chunk.choices if choice.logprobs is not None
    )
    assert logprobs.content[0].token == "billing"
    assert 1 / 3 < math.exp(logprobs.content[0].logprob) <= 1


def test_the_other_dialect_is_translated(claude: anthropic.Anthropic) -> None:
    said = claude.messages.create(model="triage-head", max_tokens=9, messages=INVOICE)
    assert (said.content[0].text, said.stop_reason, said.model) == ("billing", "end_turn", "triage-head")
    assert (said.usage.input_tokens, said.usage.output_tokens) == (0, 0)
    with claude.messages.stream(model="triage-head", max_tokens=9, messages=INVOICE) as stream:
        assert stream.get_final_text() == "billing"


def test_what_it_cannot_do_is_refused(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="a label head does not answer /embeddings"):
        client.embeddings.create(model="triage-head", input="x")
    with pytest.raises(openai.BadRequestError, match="a label head does not answer /completions"):
        client.completions.create(model="triage-head", prompt="x")
    with pytest.raises(openai.BadRequestError, match="n: a label head gives one answer"):
        client.chat.completions.create(model="triage-head", messages=INVOICE, n=2)
    for _ in range(8):  # none of this says anything of its health
        with pytest.raises(openai.NotFoundError, match="no label head is loaded for 'nobody'"):
            client.chat.completions.create(model="untrained", messages=INVOICE)


@pytest.mark.parametrize("stream", [False, True])
def test_it_is_the_cheapest_rung(
    client: openai.OpenAI, gateway: GatewayProcess, head: str, stream: bool
) -> None:
    response = client.chat.completions.with_raw_response.create(
        model="task/sort", messages=INVOICE, stream=stream
    )
    answer = response.parse()
    text = (
        "".join(chunk.choices[0].delta.content or "" for chunk in answer)
        if stream
        else answer.choices[0].message.content
    )
    assert text == "billing"
    assert (response.headers["x-smallfirst-rung"], response.headers["x-smallfirst-model"]) == (
        "0",
        "triage-head",
    )
    (attempt,) = gateway.call(response.headers["x-smallfirst-call"])["attempts"]
    assert (attempt["status"], attempt["endpoint"], attempt["upstream_model"]) == (
        "ok",
        "in process",
        head,
    )
    assert (attempt["cost_nusd"], attempt["price_version"], attempt["usage_source"]) == (
        0,
        "in-process",
        "reported",
    )


def test_a_call_with_tools_is_not_put_to_it(client: openai.OpenAI, simulator: SimulatorProcess) -> None:
    simulator.fault(match={"model": "sim-frontier"}, answer="bug")
    response = client.chat.completions.with_raw_response.create(
        model="task/sort", messages=INVOICE, tools=[TOOL]
    )
    assert response.headers["x-smallfirst-rung"] == "1"


def test_nothing_that_a_caller_names_is_loaded(client: openai.OpenAI, head: str) -> None:
    for name in (head, "sort", "../state/artifacts/x"):
        with pytest.raises(openai.NotFoundError, match="is not configured"):
            client.chat.completions.create(model=name, messages=INVOICE)


def test_a_new_head_answers_from_the_next_reload_on_and_what_is_released_stays(
    client: openai.OpenAI, gateway: GatewayProcess, head: str
) -> None:
    newer = train(gateway, examples=8)
    assert newer != head

    def answered_by(model: str) -> str:
        response = client.chat.completions.with_raw_response.create(model=model, messages=INVOICE)
        return gateway.call(response.headers["x-smallfirst-call"])["attempts"][0]["upstream_model"]

    assert answered_by("triage-head") == head
    gateway.process.send_signal(signal.SIGHUP)
    deadline = time.monotonic() + 10
    while answered_by("triage-head") != newer:
        assert time.monotonic() < deadline
    assert answered_by("task/sort") == head


def test_the_metrics_and_the_list_of_models_tell_of_it(
    client: openai.OpenAI, gateway: GatewayProcess
) -> None:
    told = gateway.get("/metrics")[1].decode()
    assert "smallfirst_label_heads_ready" in told
    models = {model["name"]: model for model in gateway.cli("models", "list")["models"]}
    assert models["triage-head"]["weights"].startswith(str(gateway.state / "artifacts"))
    assert models["untrained"]["weights"] is None
    assert models["triage-head"]["price"]["version"] == "in-process"
