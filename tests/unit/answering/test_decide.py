"""Which rungs are asked, and why the others are not."""

import asyncio
import json

from smallfirst.answering.decide import decide, draw
from smallfirst.config.schema import Config, Model, Provider, Rung, Task
from smallfirst.contracts import LabelContract
from smallfirst.models import Catalogue
from smallfirst.releases.policy import policy_from_task
from smallfirst.wire.incoming import Incoming


def reasons(
    small: Model = Model(provider="p"),
    rung: Rung = Rung(model="small"),
    *,
    busy: int = 0,
    broken: bool = False,
    **body: object,
) -> dict[str, str]:
    task = Task(ladder=(rung, "large"), contract=LabelContract(labels=("a", "b")))
    config = Config(
        providers={
            "p": Provider(base_url="http://127.0.0.1:1/v1"),
            "q": Provider(base_url="http://127.0.0.1:2/v1"),
        },
        models={"small": small, "large": Model(provider="q")},
        tasks={"t": task},
    )
    catalogue = Catalogue(config, {})
    catalogue.get("small").in_flight = busy
    if broken:
        for _ in range(5):
            catalogue.get("small").endpoints.all[0].breaker.failure()
    request = {"model": "task/t", "messages": [{"role": "user", "content": "hello there"}]} | body
    incoming = Incoming("chat", json.dumps(request).encode())
    decision = asyncio.run(decide(policy_from_task("t", config), incoming, catalogue))
    assert decision.asked[-1] == 1
    return {step.model: step.skipped for step in decision.steps}


def test_the_cheapest_is_asked_first() -> None:
    assert reasons() == {"small": "", "large": ""}


def test_tools_need_a_model_that_has_them() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
    assert "tools" in reasons(Model(provider="p", tools=False), tools=tools)["small"]
    assert reasons(tools=tools)["small"] == ""


def test_a_context_must_be_long_enough() -> None:
    assert "context of 10" in reasons(Model(provider="p", context_tokens=10))["small"]
    assert reasons(Model(provider="p", context_tokens=1000))["small"] == ""
    assert "context of 1000" in reasons(Model(provider="p", context_tokens=1000), max_tokens=990)["small"]


def test_several_choices_a_full_model_and_an_open_breaker() -> None:
    assert "several choices" in reasons(n=2)["small"]
    assert "2 calls in flight" in reasons(Model(provider="p", concurrency=2), busy=2)["small"]
    assert "circuit breaker" in reasons(broken=True)["small"]


def test_the_sample_is_a_share_of_calls_and_the_same_for_the_same_call() -> None:
    begun = 0
    for number in range(400):
        first = reasons(rung=Rung(model="small", sample=0.25), user=f"u{number}")["small"]
        assert first == reasons(rung=Rung(model="small", sample=0.25), user=f"u{number}")["small"]
        begun += not first
    assert 60 <= begun <= 140


def test_a_draw_is_in_the_unit_interval() -> None:
    draws = [
        draw(Incoming("chat", b'{"model":"m","messages":[{"role":"user","content":"%d"}]}' % number))
        for number in range(100)
    ]
    assert all(0 <= one < 1 for one in draws)
    assert len(set(draws)) == 100
