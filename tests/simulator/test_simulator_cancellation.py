"""Clients that leave: generation stops, and what was made is charged."""

import asyncio
from typing import Any

import anthropic
import openai
import pytest
from support.simulator import SimulatorProcess

from smallfirst.simulator.connection import Connection

USER: Any = [{"role": "user", "content": "Tell me about parcels, scanners and invoices."}]


def idle(state: dict[str, Any]) -> bool:
    return state["in_flight"] == 0


def charged(slow: SimulatorProcess) -> dict[str, Any]:
    """The line of the only request, once it is over."""
    slow.wait_until(idle)
    (line,) = slow.invoice()["lines"]
    return line


async def leave(slow: SimulatorProcess, *, stream: bool, dialect: str) -> None:
    """Begin a call and drop it while it is being answered."""
    if dialect == "anthropic":
        client: Any = anthropic.AsyncAnthropic(base_url=slow.base_url, api_key="k", max_retries=0)
        create = client.messages.create(model="sim-claude", max_tokens=200, messages=USER, stream=stream)
    else:
        client = openai.AsyncOpenAI(base_url=f"{slow.base_url}/v1", api_key="k", max_retries=0)
        create = client.chat.completions.create(model="sim-frontier", messages=USER, stream=stream)
    async with client:
        task = asyncio.ensure_future(create)
        if stream:
            chunks = await task
            for _ in range(4):
                await anext(chunks)
            await chunks.close()
        else:
            await asyncio.to_thread(slow.wait_until, lambda state: state["in_flight"] == 1)
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


@pytest.mark.parametrize("dialect", ["openai", "anthropic"])
@pytest.mark.parametrize("stream", [True, False])
async def test_a_client_that_leaves_is_charged_for_what_was_made(
    slow: SimulatorProcess, dialect: str, stream: bool
) -> None:
    slow.reset()
    slow.fault(answer="word " * 150)  # almost four seconds of it
    await leave(slow, stream=stream, dialect=dialect)
    line = charged(slow)
    assert line["outcome"] == "cancelled"
    assert line["usage_reported"] is False
    assert line["input_tokens"] > 0
    assert 0 < line["output_tokens"] < 150
    (record,) = slow.requests()["requests"]
    assert record["state"] == "cancelled"
    assert record["cancelled_at"] == record["finished_at"]


def test_hanging_before_headers_is_free_and_ends_with_the_client(slow: SimulatorProcess) -> None:
    slow.reset()
    slow.fault(hang_before_headers=True)
    with (
        openai.OpenAI(base_url=f"{slow.base_url}/v1", api_key="k", max_retries=0, timeout=1.0) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        client.chat.completions.create(model="sim-frontier", messages=USER)
    line = charged(slow)
    assert (line["outcome"], line["cost_nusd"]) == ("cancelled", 0)


def test_hanging_after_chunks(simulator: SimulatorProcess) -> None:
    simulator.fault(hang_after_chunks=2)
    with (
        openai.OpenAI(base_url=f"{simulator.base_url}/v1", api_key="k", max_retries=0, timeout=1.0) as client,
        pytest.raises(openai.APITimeoutError),
    ):
        list(client.chat.completions.create(model="sim-frontier", messages=USER, stream=True))
    line = charged(simulator)
    assert line["outcome"] == "cancelled"
    assert 2 <= line["output_tokens"] <= 10


def test_a_stopping_server_drops_hanging_clients_and_ends_well() -> None:
    with SimulatorProcess() as process:
        process.fault(hang_after_chunks=1)
        with openai.OpenAI(base_url=f"{process.base_url}/v1", api_key="k", max_retries=0) as client:
            chunks = client.chat.completions.create(model="sim-frontier", messages=USER, stream=True)
            next(chunks)
            assert process.stop() == 0
            with pytest.raises(openai.APIConnectionError):
                list(chunks)


async def test_a_reset_that_comes_after_the_client_has_left_is_none() -> None:
    class Closed:
        """A transport whose socket is gone."""

        def is_closing(self) -> bool:
            return True

        def get_extra_info(self, name: str) -> None:
            raise ValueError("negative file descriptor")

        def close(self) -> None:
            pass

    async def disconnected() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        raise AssertionError("nothing can be sent")

    connection = Connection({"simulator.transport": Closed()}, disconnected, send)
    await connection.cut(reset=True)
    assert connection.gone.is_set()
