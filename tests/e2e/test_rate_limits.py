"""Rate limits as callers meet them: the official SDKs wait as they are told, and every response says where they stand."""

from __future__ import annotations

import asyncio
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

LIMITED = """
[keys.brisk]
secret = "env:BRISK"
tenant = "acme"
limits = { requests_per_minute = 120, burst_s = 0.5 }

[keys.words]
secret = "env:WORDS"
tenant = "acme"
limits = { tokens_per_minute = 3000, requests_per_minute = 1000 }

[keys.single]
secret = "env:SINGLE"
tenant = "acme"
limits = { calls_at_once = 1 }

[keys.often]
secret = "env:OFTEN"
tenant = "acme"
limits = { requests_per_minute = 100_000 }

[keys.crowd]
secret = "env:CROWD"
tenant = "acme"
limits = { requests_per_minute = 20 }

[tenants.shared]
limits = { requests_per_minute = 3 }

[keys.one]
secret = "env:ONE"
tenant = "shared"

[keys.two]
secret = "env:TWO"
tenant = "shared"

[keys.forgetful]
secret = "env:FORGETFUL"
tenant = "acme"
limits = { requests_per_minute = 6 }

[tasks.rare]
ladder = ["mini", "frontier"]
limits = { requests_per_minute = 2, tokens_per_minute = 200, burst_s = 60 }

[tasks.rare.cache]
exact = true
sampled = true
"""
KEYS = {
    name.upper(): f"sf-{name}-key"
    for name in ("brisk", "words", "single", "often", "one", "two", "forgetful", "crowd")
}
HELLO = [{"role": "user", "content": "hello"}]


@pytest.fixture(scope="module")
def limited(
    _simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    config = CONFIG.format(sim=_simulator.base_url) + LIMITED
    with GatewayProcess(tmp_path_factory.mktemp("limited"), config, environ=KEYS) as process:
        yield process
        assert "Traceback" not in process.log_text()


def sdk(gateway: GatewayProcess, key: str, *, max_retries: int = 0) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{gateway.url}/v1", api_key=KEYS.get(key, key), max_retries=max_retries, timeout=20
    )


def claude_sdk(gateway: GatewayProcess, key: str, *, max_retries: int = 0) -> anthropic.Anthropic:
    return anthropic.Anthropic(base_url=gateway.url, api_key=KEYS[key], max_retries=max_retries, timeout=20)


def ask(client: openai.OpenAI, model: str = "frontier", **fields: Any) -> Any:
    return client.chat.completions.with_raw_response.create(
        model=model, messages=HELLO, max_tokens=fields.pop("max_tokens", 20), **fields
    )


def let_in(call: Callable[[], Any]) -> Any:
    """What the call comes to once it is not refused for coming too fast any more."""
    for _ in range(50):
        try:
            return call()
        except openai.RateLimitError:
            time.sleep(0.1)
    pytest.fail("it is refused for good")


def test_openais_sdk_waits_as_it_is_told_and_its_error_says_for_how_long(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    with sdk(limited, "BRISK") as client, sdk(limited, "BRISK", max_retries=2) as patient:
        ask(client)
        with pytest.raises(openai.RateLimitError) as told:
            ask(client)
        error = told.value
        assert (error.code, error.type) == ("rate_limit_exceeded", "requests")
        assert "key 'brisk': 120 requests a minute" in error.message
        headers = error.response.headers
        assert 0 < int(headers["retry-after-ms"]) <= 500
        assert headers["retry-after"] == "1"
        assert headers["x-should-retry"] == "true"
        assert headers["x-ratelimit-limit-requests"] == "120"
        assert headers["x-ratelimit-remaining-requests"] == "0"
        assert ask(patient).retries_taken == 1


def test_anthropics_sdk_waits_as_it_is_told(limited: GatewayProcess, simulator: SimulatorProcess) -> None:
    with claude_sdk(limited, "BRISK") as client, claude_sdk(limited, "BRISK", max_retries=2) as patient:

        def message(by: anthropic.Anthropic) -> Any:
            return by.messages.with_raw_response.create(model="claude", max_tokens=20, messages=HELLO)

        message(patient)
        with pytest.raises(anthropic.RateLimitError) as told:
            message(client)
        assert told.value.body["error"]["type"] == "rate_limit_error"
        headers = told.value.response.headers
        assert 0 < int(headers["retry-after-ms"]) <= 500
        assert headers["anthropic-ratelimit-requests-limit"] == "120"
        assert headers["anthropic-ratelimit-requests-remaining"] == "0"
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", headers["anthropic-ratelimit-requests-reset"])
        assert message(patient).retries_taken == 1


def test_every_kind_of_response_says_where_its_caller_stands_and_not_what_the_upstream_said(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    with sdk(limited, "OFTEN") as client, claude_sdk(limited, "OFTEN") as claude:
        seen = [
            ask(client).headers,
            ask(client, "task/triage").headers,
            client.embeddings.with_raw_response.create(model="embed", input="hello").headers,
            client.completions.with_raw_response.create(model="frontier", prompt="hi", max_tokens=9).headers,
            client.responses.with_raw_response.create(model="sim-frontier", input="hello").headers,
        ]
        with client.chat.completions.with_streaming_response.create(
            model="frontier", messages=HELLO, stream=True
        ) as stream:
            seen.append(stream.headers)
            list(stream.iter_lines())
        with pytest.raises(openai.NotFoundError):
            ask(client, "nobody")
        simulator.fault(status=400, times=1)
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client)
        seen.append(refused.value.response.headers)
        for headers in seen:
            assert headers["x-ratelimit-limit-requests"] == "100000"
            assert re.fullmatch(r"\d+(ms|s)", headers["x-ratelimit-reset-requests"])
            assert "x-ratelimit-limit-tokens" not in headers
        headers = claude.messages.with_raw_response.create(
            model="claude", max_tokens=9, messages=HELLO
        ).headers
        assert headers["anthropic-ratelimit-requests-limit"] == "100000"
        assert "anthropic-ratelimit-tokens-limit" not in headers


def test_without_limits_the_upstreams_headers_pass(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    with sdk(limited, KEY) as client:
        headers = ask(client).headers
    assert headers["x-ratelimit-limit-requests"] == "10000"  # the simulator's own
    assert "x-ratelimit-remaining-requests" not in headers


def test_tokens_that_were_not_used_are_given_back_and_those_that_were_are_not(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    with sdk(limited, "WORDS") as client:
        used = 0
        for _ in range(4):  # of 3,000 tokens only one such call fits at a time
            answer = ask(client, max_tokens=2500)
            used += answer.parse().usage.total_tokens
            assert 0 <= 3000 - used - int(answer.headers["x-ratelimit-remaining-tokens"]) + 30 <= 60
        with pytest.raises(openai.RateLimitError, match=r"at most 3000 in at once.*max_tokens") as told:
            ask(client, max_tokens=5000)
        assert told.value.type == "tokens"
        assert told.value.response.headers["x-should-retry"] == "false"
        assert "retry-after" not in told.value.response.headers
        simulator.fault(status=500, times=3)
        with pytest.raises(openai.InternalServerError):
            ask(client, max_tokens=2500)
        simulator.clear_faults()
        stream = client.chat.completions.create(model="mini", messages=HELLO, max_tokens=2500, stream=True)
        with stream:  # the client leaves: what came is counted, the rest given back
            next(iter(stream))
        let_in(lambda: ask(client, "nano", max_tokens=2500))


def test_a_tenants_keys_share_its_limit_and_other_tenants_do_not(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    with sdk(limited, "ONE") as one, sdk(limited, "TWO") as two, sdk(limited, "OFTEN") as other:
        assert ask(one).headers["x-ratelimit-remaining-requests"] == "2"
        assert ask(two).headers["x-ratelimit-remaining-requests"] == "1"
        ask(one)
        with pytest.raises(openai.RateLimitError, match="tenant 'shared'"):
            ask(two)
        ask(other)


async def test_of_a_crowd_that_comes_at_once_as_many_get_in_as_may(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    async with openai.AsyncOpenAI(
        base_url=f"{limited.url}/v1", api_key=KEYS["CROWD"], max_retries=0, timeout=60
    ) as client:

        async def one(number: int) -> int:
            try:
                await client.embeddings.create(model="embed", input=f"{number}")
            except openai.RateLimitError:
                return 0
            return 1

        began_s = time.monotonic()
        let_in = sum(await asyncio.gather(*(one(number) for number in range(60))))
        assert 20 <= let_in <= 20 + (time.monotonic() - began_s) / 3  # one flows in every three seconds


def test_calls_at_once_are_counted_until_each_has_ended(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    simulator.fault(slow_ms=50, match={"stream": True})
    with sdk(limited, "SINGLE") as client:
        stream = client.chat.completions.create(model="frontier", messages=HELLO, stream=True)
        with pytest.raises(openai.RateLimitError, match="1 call under way"):
            ask(client)
        for _ in stream:
            pass
        let_in(
            lambda: ask(client)
        )  # the last byte may reach the client before the gateway has done with the call


def test_answers_from_the_cache_cost_a_request_and_a_refused_call_is_in_the_ledger(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    with sdk(limited, KEY) as client:
        first = ask(client, "task/rare", max_tokens=150)
        again = ask(client, "task/rare", max_tokens=150)
        assert again.headers["x-smallfirst-cache"] == "hit"
        left = [int(answer.headers["x-ratelimit-remaining-tokens"]) for answer in (first, again)]
        assert left[0] <= left[1]
        assert again.headers["x-ratelimit-remaining-requests"] == "0"
        with pytest.raises(openai.RateLimitError, match="task 'rare': 2 requests a minute") as told:
            ask(client, "task/rare", max_tokens=150)
        call = limited.call(told.value.response.headers["x-smallfirst-call"])
        assert (call["status"], call["http_status"], call["error"]) == ("refused", 429, "rate_limit_exceeded")
        assert call["attempts"] == []
        assert "task 'rare'" in call["decision"]["rate_limit"]
    _, metrics = limited.get("/metrics")
    assert b'smallfirst_rate_limited_requests_total{counted="requests",scope="task"} 1.0' in metrics


def test_a_lowered_limit_holds_after_a_reload_and_a_key_of_the_command_line_has_limits_too(
    limited: GatewayProcess, simulator: SimulatorProcess
) -> None:
    with sdk(limited, "FORGETFUL") as client:
        ask(client)
        limited.path.write_text(
            limited.path.read_text().replace("{ requests_per_minute = 6 }", "{ requests_per_minute = 2 }")
        )
        limited.process.send_signal(signal.SIGHUP)
        for _ in range(100):
            try:
                headers = ask(client).headers
            except openai.RateLimitError as error:
                headers = error.response.headers
            if headers["x-ratelimit-limit-requests"] == "2":
                break
            time.sleep(0.05)
        assert headers["x-ratelimit-limit-requests"] == "2"
    made = limited.cli("keys", "create", "cli", "--requests-per-minute", "1", "--tokens-per-minute", "5000")
    with sdk(limited, made["key"]) as client:
        for _ in range(50):
            try:
                headers = ask(client).headers
                break
            except openai.AuthenticationError:
                time.sleep(0.05)
        assert headers["x-ratelimit-limit-tokens"] == "5000"
        with pytest.raises(openai.RateLimitError, match="key 'cli': 1 request a minute"):
            ask(client)
