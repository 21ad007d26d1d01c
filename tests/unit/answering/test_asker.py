"""A router's question is an attempt like any other: how it is asked, and how it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from support.scripted import Answer, ScriptedUpstream, completion

from smallfirst.answering.asker import Asker
from smallfirst.answering.attempt import Clock
from smallfirst.answering.offline import Purse, offline_answerer
from smallfirst.config.schema import Config, Model, PriceOverride, Provider
from smallfirst.errors import ConfigError, UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamTimeout
from smallfirst.ledger.records import Attempt
from smallfirst.routing.judgement import Question, Said

QUESTION = Question(model="judge", text="How hard?", choices=("1", "2", "3", "4", "5"))
PRICE = PriceOverride(since="2026-01-01", input=Decimal(1), output=Decimal(2))


def ask(
    tmp_path: Path, answer: Answer, *, timeout_s: float = 5.0, **provider: Any
) -> tuple[Said | UpstreamError, list[Attempt], list[dict[str, Any]]]:
    """What is said, or the error; the attempts that were paid, and the requests that were made."""
    with ScriptedUpstream(answer) as upstream:
        config = Config(
            providers={"p": Provider(base_url=f"{upstream.base_url}/v1", **provider)},
            models={"judge": Model(provider="p", id="judge-1", prices=(PRICE,))},
        )

        async def once() -> tuple[Said | UpstreamError, list[Attempt]]:
            purse = Purse()
            async with offline_answerer(
                config, "judge", state=tmp_path, base=tmp_path, environ={}
            ) as answerer:
                asker = Asker(answerer, task="t", account=purse, clock=Clock(), timeout_s=timeout_s)
                try:
                    return await asker(QUESTION), purse.attempts
                except UpstreamError as error:
                    return error, purse.attempts

        said, attempts = asyncio.run(once())
        return said, attempts, upstream.bodies


def always(status: int, body: Mapping[str, Any]) -> Answer:
    return lambda _: (status, body)


def test_an_engine_of_ones_own_is_held_to_a_digit_and_tells_its_alternatives(tmp_path: Path) -> None:
    first = {"2": -0.2, "3": -1.9}
    said, attempts, bodies = ask(tmp_path, always(200, completion("2", first=first)), engine="vllm")
    assert said == Said(text="2", first=tuple(first.items()))
    assert bodies == [
        {
            "model": "judge-1",
            "messages": [{"role": "user", "content": "How hard?"}],
            "max_tokens": 1,
            "temperature": 0,
            "structured_outputs": {"choice": ["1", "2", "3", "4", "5"]},
            "logprobs": True,
            "top_logprobs": 20,
        }
    ]
    (attempt,) = attempts
    assert (attempt.kind, attempt.rung, attempt.status, attempt.frontier) == ("route", -1, "ok", False)
    assert attempt.cost_nusd == 90 * 1000 + 2000


def test_llamacpp_is_given_a_grammar(tmp_path: Path) -> None:
    _, _, bodies = ask(tmp_path, always(200, completion("2")), engine="llamacpp")
    assert bodies[0]["grammar"] == 'root ::= "1" | "2" | "3" | "4" | "5"'


def test_a_hosted_model_is_asked_plainly(tmp_path: Path) -> None:
    said, _, bodies = ask(tmp_path, always(200, completion("2", first={"2": -0.2})))
    assert said == Said(text="2")
    assert set(bodies[0]) == {"model", "messages", "max_tokens", "temperature"}
    assert bodies[0]["max_tokens"] == 2


def test_a_refusal_is_told_and_costs_nothing(tmp_path: Path) -> None:
    said, attempts, bodies = ask(tmp_path, always(500, {"error": {"message": "down"}}))
    assert isinstance(said, UpstreamRefused)
    assert len(bodies) == 1  # nothing is tried twice
    assert [(one.status, one.cost_nusd) for one in attempts] == [("refused", 0)]


def test_an_answer_that_is_none_is_billed_as_broken(tmp_path: Path) -> None:
    said, attempts, _ = ask(tmp_path, always(200, {"choices": []}))
    assert isinstance(said, UpstreamBroken)
    assert attempts[0].status == "broken"


def test_a_slow_one_is_not_waited_for(tmp_path: Path) -> None:
    def slowly(_: object) -> tuple[int, Mapping[str, Any]]:
        time.sleep(2.0)
        return 200, completion("1")

    began_s = time.monotonic()
    said, attempts, _ = ask(tmp_path, slowly, timeout_s=0.1)
    assert isinstance(said, UpstreamTimeout)
    assert "0.1 s" in str(said)
    assert (attempts[0].status, attempts[0].usage_source) == ("timeout", "estimated")
    assert attempts[0].latency_ms < 1900
    assert time.monotonic() - began_s < 5


def test_a_label_head_cannot_be_asked(tmp_path: Path) -> None:
    config = Config(providers={"h": Provider(kind="head")}, models={"judge": Model(provider="h")})

    async def once() -> None:
        async with offline_answerer(config, "judge", state=tmp_path, base=tmp_path, environ={}):
            raise AssertionError

    with pytest.raises(ConfigError, match="label head"):
        asyncio.run(once())
