"""The ledger against the simulator's own invoice, and budgets that hold under a crowd."""

from __future__ import annotations

import asyncio

import anthropic
import openai
from support.gateway import CONFIG, KEY, GatewayProcess
from support.simulator import SimulatorProcess

WORDS = "The scanner that we bought in spring does not charge on the dock, whatever cable we try."


async def mixed_traffic(gateway: GatewayProcess, count: int) -> None:
    """Calls of every kind: both dialects, streams, cached prefixes, reasoning, tools, retries, half-nano prices."""
    async with (
        openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client,
        anthropic.AsyncAnthropic(base_url=gateway.url, api_key=KEY, max_retries=0) as claude,
    ):

        async def one(number: int) -> None:
            text = f"{WORDS} Ticket {number}."
            messages = [{"role": "user", "content": text}]
            kind = number % 9
            if kind == 0:
                await client.chat.completions.create(model="frontier", messages=messages)
            elif kind == 1:
                stream = await client.chat.completions.create(model="nano", messages=messages, stream=True)
                async for _ in stream:
                    pass
            elif kind == 2:
                system = {"role": "system", "content": "You know our products. " * 600}
                await client.chat.completions.create(model="mini", messages=[system, *messages])
            elif kind == 3:
                await client.chat.completions.create(
                    model="frontier", messages=messages, reasoning_effort="low"
                )
            elif kind == 4:
                block = {
                    "type": "text",
                    "text": "You know our products. " * 600,
                    "cache_control": {"type": "ephemeral"},
                }
                await claude.messages.create(
                    model="claude", max_tokens=100, messages=messages, system=[block]
                )
            elif kind == 5:
                async with claude.messages.stream(
                    model="frontier", max_tokens=100, messages=messages
                ) as stream:
                    await stream.get_final_message()
            elif kind == 6:  # marked in OpenAI's dialect, cached by Anthropic
                part = {
                    "type": "text",
                    "text": "You know our customers. " * 600,
                    "cache_control": {"type": "ephemeral", "ttl": "1h"},
                }
                system = {"role": "system", "content": [part]}
                await client.chat.completions.create(model="claude", messages=[system, *messages])
            elif kind == 7:
                await client.embeddings.create(model="embed", input=text)
            else:
                await client.chat.completions.create(model="claude", messages=messages, max_tokens=7)

        await asyncio.gather(*(one(number) for number in range(count)))


async def test_the_bill_equals_the_invoice_to_the_nano_dollar(
    simulator: SimulatorProcess, gateway: GatewayProcess
) -> None:
    simulator.reset()
    before = gateway.bill()["simulated_nusd"]
    simulator.fault(status=500, match={"nth": [3, 40, 41]})
    await mixed_traffic(gateway, 160)
    invoice = simulator.invoice()
    for _ in range(50):
        spent = gateway.bill()["simulated_nusd"] - before
        if spent == invoice["total_nusd"]:
            break
        await asyncio.sleep(0.1)
    assert spent == invoice["total_nusd"] > 0
    assert sum(line["reasoning_tokens"] for line in invoice["lines"]) > 0
    assert sum(line["cache_read_tokens"] for line in invoice["lines"]) > 0
    assert sum(line["cache_write_tokens"] for line in invoice["lines"]) > 0
    assert sum(line["cache_write_1h_tokens"] for line in invoice["lines"]) > 0
    client = next(section for section in gateway.bill()["sections"] if section["origin"] == "client")
    assert client["total"]["prompt_cache_saved_nusd"] != 0


async def test_sixty_four_clients_do_not_overshoot_a_nearly_spent_budget(
    simulator: SimulatorProcess, tmp_path
) -> None:
    config = CONFIG.format(sim=simulator.base_url).replace(
        "[tenants.acme]", '[tenants.acme]\nbudget = { usd_per_day = "0.02" }'
    )
    with GatewayProcess(tmp_path, config) as gateway:
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:

            async def one(number: int) -> str:
                try:
                    await client.chat.completions.create(
                        model="frontier",
                        messages=[{"role": "user", "content": f"{WORDS} {number}"}],
                        max_tokens=50,
                    )
                except openai.RateLimitError as error:
                    assert error.code == "budget_exceeded"
                    assert "tenant 'acme'" in error.message
                    assert error.response.headers["x-should-retry"] == "false"
                    return "refused"
                return "answered"

            results = [
                result
                for _ in range(6)
                for result in await asyncio.gather(*(one(number) for number in range(64)))
            ]
        assert {"answered", "refused"} == set(results)
        assert gateway.stop() == 0
        spent = gateway.bill()["attempts_nusd"]
        assert 0 < spent <= 20_000_000
        gateway.start("--release", "baseline")  # what was spent today is remembered
        async with openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0) as client:
            refused = 0
            for number in range(30):
                try:
                    await client.chat.completions.create(
                        model="frontier",
                        messages=[{"role": "user", "content": f"{WORDS} {number}"}],
                        max_tokens=2000,
                    )
                except openai.RateLimitError:
                    refused += 1
        assert refused
