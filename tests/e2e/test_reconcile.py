"""The simulator's invoice against the ledger, over sockets: equal to the nano-dollar where usage was reported, the rest named; `kill -9`, too."""

from __future__ import annotations

import asyncio
import csv
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp
import anthropic
import openai
import pytest
from support.gateway import KEY, GatewayProcess
from support.mixed_traffic import MIXED_CONFIG, SIMULATOR_OPTIONS, fault_rules, send
from support.simulator import SimulatorProcess

CALLS = 1200
TEXT = "The scanner does not charge on the dock."


@pytest.fixture
def invoice(tmp_path: Path) -> Path:
    return tmp_path / "invoice.jsonl"


@pytest.fixture
def upstream(invoice: Path) -> Iterator[SimulatorProcess]:
    with SimulatorProcess({**SIMULATOR_OPTIONS, "invoice": invoice}) as process:
        yield process


def gateway_of(upstream: SimulatorProcess, folder: Path, *, patient: bool = False) -> GatewayProcess:
    """`patient`: no upstream is too slow, however busy the machine is."""
    config = MIXED_CONFIG.replace("_s = 1.5", "_s = 20") if patient else MIXED_CONFIG
    return GatewayProcess(folder, config.format(sim=upstream.base_url))


def reconciled(gateway: GatewayProcess, invoice: Path, *options: str) -> dict[str, Any]:
    """What `smallfirst bill --reconcile` says; its exit status is that of what it says."""
    command = ["bill", "--reconcile", str(invoice), "--config", str(gateway.path), "--json", *options]
    done = gateway.run(*command)
    assert done.returncode in (0, 1), done.stderr
    told = json.loads(done.stdout)
    assert told["equal"] is (done.returncode == 0)
    return told


def kinds(told: dict[str, Any]) -> dict[str, int]:
    return {cause["kind"]: cause["count"] for cause in told["causes"]}


def test_mixed_traffic_is_equal_wherever_usage_was_reported(
    upstream: SimulatorProcess, invoice: Path, tmp_path: Path
) -> None:
    upstream.faults(*fault_rules())
    with gateway_of(upstream, tmp_path) as gateway:
        sent = asyncio.run(send(gateway.url, range(CALLS)))
        assert sum(sent.kinds.values()) == CALLS
        assert min(sent.ends[end] for end in ("200", "left", "502", "500", "429")) > 0
        upstream.wait_until(lambda state: state["in_flight"] == 0)
        assert gateway.stop() == 0
        assert "Traceback" not in gateway.log_text()
        out = tmp_path / "differing.csv"
        told = reconciled(gateway, invoice, "--csv", str(out))
    reported = told["reported"]
    assert reported["theirs_usd"] == reported["ours_usd"]
    assert reported["count"] > 0.8 * CALLS
    assert set(kinds(told)) <= {"estimated", "unknown-price"}
    assert kinds(told)["estimated"] <= told["ours_estimated"]
    by_cause = sum(Decimal(cause["difference_usd"]) for cause in told["causes"])
    assert by_cause == Decimal(told["difference_usd"])
    for name in ("input", "cache_read", "cache_write", "cache_write_1h", "output", "reasoning"):
        assert told["theirs"]["tokens"][name] > 0
    with out.open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == sum(kinds(told).values())
    assert {row["status"] for row in rows} >= {"broken", "cancelled", "timeout", "ok"}
    assert all(row["call"] for row in rows)  # whatever differs has a call of ours


def test_kill_9_loses_nothing_doubles_nothing_and_names_what_was_under_way(
    upstream: SimulatorProcess, invoice: Path, tmp_path: Path
) -> None:
    gateway = gateway_of(upstream, tmp_path).start()
    done = 0

    async def send_and_kill() -> None:
        nonlocal done

        def told(so_far: int) -> None:
            nonlocal done
            done = so_far
            if so_far == 120:
                gateway.process.kill()

        await send(gateway.url, range(220), told=told)

    asyncio.run(send_and_kill())
    assert gateway.wait() == -9
    upstream.wait_until(lambda state: state["in_flight"] == 0)
    told = reconciled(gateway, invoice)
    lost = [each for each in told["differing"] if each["status"] == "lost"]
    assert lost
    assert {each["kind"] for each in lost} == {"estimated"}
    assert set(kinds(told)) <= {"estimated", "unknown-price"}
    assert told["reported"]["theirs_usd"] == told["reported"]["ours_usd"]
    gateway.start("--release", "baseline")  # another gateway takes over, and changes nothing of it
    assert gateway.stop() == 0
    assert {**reconciled(gateway, invoice), "differing": 0} == {**told, "differing": 0}


async def _leave(gateway: GatewayProcess, path: str, body: dict[str, Any], *, after: bytes) -> None:
    """A client that leaves as soon as it has seen these bytes."""
    headers = {"authorization": f"Bearer {KEY}"}
    seen = b""
    async with (
        aiohttp.ClientSession() as session,
        session.post(gateway.url + path, json=body, headers=headers) as response,
    ):
        async for chunk in response.content.iter_any():
            seen += chunk
            if after in seen:
                response.close()
                return


def test_requests_that_break_off_can_be_found_in_their_providers_account(
    upstream: SimulatorProcess, invoice: Path, tmp_path: Path
) -> None:
    """The answer's id is kept of streams that were cut and left, the request's where an answer has none or cannot be read."""
    message: Any = [{"role": "user", "content": TEXT}]
    with gateway_of(upstream, tmp_path, patient=True) as gateway:
        client = openai.OpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0)
        claude = anthropic.Anthropic(base_url=gateway.url, api_key=KEY, max_retries=0)
        with client, claude:
            client.embeddings.create(model="embed", input=TEXT)
            client.post("/responses", cast_to=object, body={"model": "sim-frontier", "input": TEXT})
            upstream.fault(times=1, cut_after_chunks=2)
            with pytest.raises(openai.APIError):
                list(client.chat.completions.create(model="frontier", messages=message, stream=True))
            upstream.fault(times=1, cut_after_chunks=2)
            with (
                pytest.raises(anthropic.APIError),
                claude.messages.stream(model="claude", max_tokens=50, messages=message) as stream,
            ):
                stream.get_final_message()
            upstream.fault(times=3, garbage_json=True)
            with pytest.raises(openai.APIError):
                client.chat.completions.create(model="frontier", messages=message)
        stream_body = {"model": "claude", "max_tokens": 60, "stream": True, "messages": message}
        asyncio.run(_leave(gateway, "/v1/messages", stream_body, after=b"content_block_delta"))
        upstream.wait_until(lambda state: state["in_flight"] == 0)
        assert gateway.stop() == 0
        told = reconciled(gateway, invoice)
    assert told["theirs"]["count"] == told["ours"]["count"] == 8
    assert all(each["request_id"] and "by model and time" not in each["what"] for each in told["differing"])
    assert kinds(told)["unknown-price"] == 1  # what is relayed has no price, and is found all the same
