"""What a model is trained on is what it is served with: the messages that the gateway sends, the ids that llama.cpp makes of them, the answers
that it decodes from them.
"""

from __future__ import annotations

import json
import random
import urllib.request
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from support.embedded import WEIGHTS, EmbeddedThread
from support.gateway import KEY, GatewayProcess
from support.simulator import SimulatorProcess
from support.tiny_adapter import opened_tiny_base
from support.tiny_base import tiny_base

from smallfirst.answering.constrain import constraint
from smallfirst.config.load import load
from smallfirst.contracts import Contract, LabelContract, TextContract
from smallfirst.datasets.example import Example
from smallfirst.models.adapters.adapter import AskedTold
from smallfirst.training.lora.asked import asked_for, messages_of
from smallfirst.training.lora.decode import Decoded, decode
from smallfirst.training.lora.rendering import Template

CONFIG = """
[storage]
path = "state"

[providers.sim]
kind = "openai"
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
simulated = true

[models.small]
provider = "sim"
id = "sim-nano"
prices = [{{ since = "2026-01-01", input = 1, output = 1 }}]

[models.frontier]
provider = "sim"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = 1, output = 1 }}]

[tasks.own]
ladder = ["small", "frontier"]
instructions = "Say what it is about."

[tasks.rung]
ladder = [{{ model = "small", instructions = "One word." }}, "frontier"]
instructions = "Say what it is about."

[tasks.bare]
ladder = ["small", "frontier"]

[keys.test]
secret = "env:TEST_KEY"
"""

USER = {"role": "user", "content": "Where is my card?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"n": 1}'}}
CONVERSATIONS: dict[str, list[dict[str, Any]]] = {
    "user": [USER],
    "system": [{"role": "system", "content": "Be brief."}, USER],
    "developer": [{"role": "developer", "content": "Be brief."}, USER],
    "turns": [USER, {"role": "assistant", "content": "Which?"}, {"role": "user", "content": "größe 卡"}],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}],
    "tools": [
        USER,
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "2"},
    ],
    "unknown": [USER | {"name": "ann", "x_unknown": {"b": 1, "a": 2}}],
}
LABELS = ("card", "card lost", "transfer failed", "top up", "größe", 'card "x"')
WORDS = ("card", "lost", "refund", "please", "my", "the", "rate", "is", "was", "now", "what", "thanks")


@pytest.fixture(scope="module")
def gateway(
    _simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    with GatewayProcess(
        tmp_path_factory.mktemp("gateway"), CONFIG.format(sim=_simulator.base_url)
    ) as process:
        yield process


@pytest.mark.parametrize("task", ["own", "rung", "bare"])
def test_examples_are_asked_as_the_gateway_asks(
    gateway: GatewayProcess, simulator: SimulatorProcess, task: str
) -> None:
    asked = asked_for(load(gateway.path), task, models=frozenset({"small"}))
    client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0)
    for name, messages in CONVERSATIONS.items():
        simulator.reset()
        client.chat.completions.create(model=f"task/{task}", messages=messages)  # pyright: ignore[reportArgumentType]
        (request,) = simulator.requests(detail=True)["requests"]
        sent = json.loads(request["body"])
        assert sent["model"] == "sim-nano"
        assert messages_of(Example(id=name, messages=messages, label="x"), asked) == sent["messages"], name


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedThread]:
    with EmbeddedThread(tiny_base(), tmp_path_factory.mktemp("embedded")) as thread:
        yield thread


def asked_examples(count: int) -> list[list[dict[str, Any]]]:
    numbers = random.Random(1)
    asked = AskedTold(default_instructions="Say which it is: " + ", ".join(LABELS))
    said = [" ".join(numbers.choices(WORDS, k=numbers.randint(2, 20))) for _ in range(count)]
    return [
        messages_of(Example(id="e", messages=[{"role": "user", "content": text}], label="card"), asked)
        for text in said
    ]


def served(
    server: EmbeddedThread, messages: list[dict[str, Any]], contract: Contract, max_tokens: int
) -> tuple[str, float]:
    body = {
        "model": WEIGHTS,
        "messages": messages,
        "temperature": 0,
        "max_tokens": max_tokens,
        "logprobs": True,
    }
    request = urllib.request.Request(
        f"{server.base_url}/chat/completions",
        data=json.dumps(body | constraint(contract, "llamacpp")).encode(),
        headers={"authorization": f"Bearer {server.server.key}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as response:
        choice = json.load(response)["choices"][0]
    return choice["message"]["content"], sum(one["logprob"] for one in choice["logprobs"]["content"])


def local(messages: list[list[dict[str, Any]]], contract: Contract, max_tokens: int) -> list[Decoded]:
    base = opened_tiny_base()
    tokenizer = base.tokenizer()
    prompts = [Template(tokenizer).prompt(one) for one in messages]
    return decode(base.model(), tokenizer, prompts, contract, max_tokens=max_tokens)


@pytest.mark.embedded
@pytest.mark.parametrize(
    ("contract", "max_tokens", "least"),
    [(LabelContract(LABELS), 16, 99), (LabelContract(LABELS, "several"), 16, 95), (TextContract(), 4, 90)],
    ids=["one", "several", "text"],
)
def test_answers_are_those_of_llama_cpp(
    server: EmbeddedThread, contract: Contract, max_tokens: int, least: int
) -> None:
    """A random model is sure of nothing: in a long answer two tokens are often about as likely, and rounding chooses between them."""
    asked = asked_examples(100)
    pairs = [
        (served(server, messages, contract, max_tokens), own)
        for messages, own in zip(asked, local(asked, contract, max_tokens), strict=True)
    ]
    same = [(theirs[1], own.logprob) for theirs, own in pairs if theirs[0] == own.text]
    assert len(same) >= least
    near = [abs(theirs - own) < 0.1 for theirs, own in same]
    assert sum(near) >= least - 9  # it tells no probability of a token that ends within a character
    assert len({own.text for _, own in pairs}) > 2


@pytest.mark.embedded
def test_prompts_are_those_of_llama_cpp(server: EmbeddedThread) -> None:
    """By how many tokens it counted: an id more or less in the template would show."""
    tokenizer = opened_tiny_base().tokenizer()
    client = openai.OpenAI(base_url=server.base_url, api_key=server.server.key)
    for name in ("user", "system", "turns", "parts"):
        messages: Any = CONVERSATIONS[name]
        answer = client.chat.completions.create(model=WEIGHTS, messages=messages, max_tokens=1)
        assert answer.usage is not None
        assert answer.usage.prompt_tokens == len(Template(tokenizer).prompt(messages)), name
