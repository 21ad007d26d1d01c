"""Whatever happens to calls, nothing of theirs stays set aside: neither money nor a place among the calls under way."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import aiohttp
import openai
import pytest
from support.gateway import CONFIG, GatewayProcess
from support.simulator import SimulatorProcess

from smallfirst.ledger import Ledger
from smallfirst.limits import STOPS_EVERY_S
from smallfirst.money import format_usd
from smallfirst.stops import Stop, change_stops

AT_ONCE = 12
ENOUGH = {"200": 80, "left": 40, "429": 5, "403": 10}
CHAOS = """
[keys.chaos]
secret = "env:CHAOS_KEY"
tenant = "chaos"
budget = {{ usd_per_day = 1000, usd_total = 1000 }}
limits = {{ calls_at_once = 12, tokens_per_minute = 10_000_000_000, requests_per_minute = 100_000 }}

[tenants.chaos]
budget = {{ frontier_usd_per_month = "0.05", at_limit = "small" }}

[tasks.shared]
ladder = ["frontier"]
cache = {{ exact = true }}
"""
FAULTS: list[dict[str, Any]] = [
    {"status": 500},
    {"status": 429, "retry_after_ms": 20},
    {"status": 400},
    {"reset": True, "cut_after_chunks": 2},
    {"cut_before_body": True},
    {"no_usage": True, "slow_ms": 5},
    {"garbage_json": True},
    {"error_event_after_chunks": 1},
    {"hang_before_headers": 0.2},
    {"silent_end": 2},
    {"answer": "bug"},
]
HEADERS = {"authorization": "Bearer sf-chaos-key"}
MODELS = (
    "task/triage", "task/summary", "task/cross", "task/broken", "task/extract", "task/shared", "frontier", "claude", "embed"
)  # fmt: skip


@pytest.fixture(scope="module")
def chaotic(
    _simulator: SimulatorProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GatewayProcess]:
    config = (CONFIG + CHAOS).format(sim=_simulator.base_url)
    folder = tmp_path_factory.mktemp("chaotic")
    with GatewayProcess(folder, config, environ={"CHAOS_KEY": "sf-chaos-key"}) as process:
        yield process
        assert "Traceback" not in process.log_text()


class Crowd:
    """Clients that ask all kinds of things at once, and often leave before they are answered."""

    def __init__(self, gateway: GatewayProcess, simulator: SimulatorProcess) -> None:
        self._gateway = gateway
        self._simulator = simulator
        self._drawn = random.Random(7)
        self.ended: Counter[str] = Counter()

    async def run(self) -> None:
        """Until enough has happened of everything."""
        numbers = itertools.count()
        async with asyncio.timeout(60), aiohttp.ClientSession(self._gateway.url, headers=HEADERS) as http:
            upheaval = [asyncio.create_task(self._trouble()), asyncio.create_task(self._stops())]
            # Two more than may be let in.
            await asyncio.gather(*(self._go_on(http, numbers) for _ in range(AT_ONCE + 2)))
            for task in upheaval:
                task.cancel()
        change_stops(self._gateway.state, lambda now: ())

    async def _go_on(self, http: aiohttp.ClientSession, numbers: Iterator[int]) -> None:
        while any(self.ended[how] < count for how, count in ENOUGH.items()):
            await self._one(http, next(numbers))

    async def _one(self, http: aiohttp.ClientSession, number: int) -> None:
        drawn = self._drawn
        path, body = self._request(drawn.choice(MODELS), number)
        patience_s = drawn.choice((0.005, 0.02, 0.05, 0.2, 30, 30, 30))
        try:
            async with asyncio.timeout(patience_s), http.post(path, json=body) as response:
                await response.read()
                self.ended[str(response.status)] += 1
                if response.status in (403, 429):
                    await asyncio.sleep(0.1)  # as long as it is of no use to ask again
        except TimeoutError:
            self.ended["left"] += 1
        except aiohttp.ClientError:  # its answer was cut
            self.ended["cut"] += 1

    def _request(self, model: str, number: int) -> tuple[str, dict[str, Any]]:
        drawn = self._drawn
        if model == "embed":
            return "/v1/embeddings", {"model": model, "input": f"text {number}"}
        text = f"question {drawn.randrange(4)}" if model == "task/shared" else f"question {number}"
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": text}]}
        body |= {"stream": drawn.random() < 0.5, "max_tokens": drawn.choice((5, 50, 300)), "temperature": 0}
        return drawn.choice(("/v1/chat/completions", "/v1/messages")), body

    async def _trouble(self) -> None:
        """Upstreams that are slow, and now and then fail."""
        for fault in itertools.cycle(FAULTS):
            await asyncio.to_thread(self._simulator.clear_faults)
            await asyncio.to_thread(self._simulator.fault, times=1, **fault)
            await asyncio.to_thread(self._simulator.fault, slow_ms=3)
            await asyncio.sleep(0.02)

    async def _stops(self) -> None:
        """An operator who ends calls under way, and lets them go on."""
        while True:
            await asyncio.sleep(0.5)
            now_ms = int(time.time() * 1000)
            stop = Stop(kind="tenant", name="chaos", since_ms=now_ms, cut_ms=now_ms)
            change_stops(self._gateway.state, lambda now, made=stop: (made,))
            await asyncio.sleep(0.3)
            change_stops(self._gateway.state, lambda now: ())


def test_after_calls_that_fail_climb_and_are_left_nothing_is_set_aside_and_every_place_is_free(
    chaotic: GatewayProcess, simulator: SimulatorProcess
) -> None:
    crowd = Crowd(chaotic, simulator)
    asyncio.run(crowd.run())
    simulator.clear_faults()
    simulator.wait_until(lambda state: state["in_flight"] == 0)
    time.sleep(2 * STOPS_EVERY_S)  # the last stop is lifted
    assert _told_sums(chaotic)[1:] == ("$0", "$1,000.00")
    _every_place_is_free(chaotic, simulator)
    _kill_in_the_middle(chaotic, simulator)
    spent_nusd = _spent(chaotic)
    standings = [one for one in chaotic.cli("budgets")["budgets"] if one["name"] == "chaos"]
    assert all(one["spent_nusd"] <= one["limit_nusd"] for one in standings)
    assert {one["spent_nusd"] for one in standings if one["scope"] == "key"} == {spent_nusd}
    assert [one["spent_nusd"] for one in standings if one["frontier"]] == [_spent(chaotic, frontier=True)]
    chaotic.start()
    assert _told_sums(chaotic) == (format_usd(spent_nusd), "$0", "$1,000.00")


def _kill_in_the_middle(gateway: GatewayProcess, simulator: SimulatorProcess) -> None:
    """`kill -9` while models are asked: what was set aside for them counts as spent."""
    simulator.fault(hang_before_headers=True)
    before = simulator.requests()["in_flight"]

    async def ask(http: aiohttp.ClientSession) -> None:
        body = {"model": "nano", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 1000}
        with contextlib.suppress(aiohttp.ClientError):
            await http.post("/v1/chat/completions", json=body)

    async def together() -> None:
        async with aiohttp.ClientSession(gateway.url, headers=HEADERS) as http:
            asked = [asyncio.create_task(ask(http)) for _ in range(3)]
            await asyncio.to_thread(simulator.wait_until, lambda state: state["in_flight"] == before + 3)
            await asyncio.to_thread(gateway.kill)
            await asyncio.gather(*asked)

    asyncio.run(together())
    simulator.clear_faults()
    lost = [call for call in gateway.calls() if call["status"] == "lost"]
    assert len(lost) == 3
    assert all(call["cost_nusd"] >= 1000 * 150.5 for call in lost)  # nano's $0.1505 per million


def _told_sums(gateway: GatewayProcess) -> tuple[str, ...]:
    """What is spent, set aside and allowed of the key's budget, as a call that asks for too much is told."""
    with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="sf-chaos-key", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError) as refused:
            client.chat.completions.create(
                model="frontier", messages=[{"role": "user", "content": "hi"}], max_tokens=200_000_000
            )
    told = re.search(
        r"daily budget of key 'chaos' .*: (\S+) spent and (\S+) set aside of (\S+);", refused.value.message
    )
    assert told is not None, refused.value.message
    return told.groups()


def _spent(gateway: GatewayProcess, *, frontier: bool = False) -> int:
    """What all attempts cost, one by one; or those of frontier models alone."""
    with Ledger.read(gateway.state) as ledger:
        calls = [ledger.queries.call(call["id"]) for call in gateway.calls()]
    attempts = [attempt for call in calls for attempt in call.attempts]
    return sum(one.cost_nusd or 0 for one in attempts if one.frontier or not frontier)


def _every_place_is_free(gateway: GatewayProcess, simulator: SimulatorProcess) -> None:
    simulator.fault(match={"model": "sim-nano"}, hang_before_headers=1)
    body = {"model": "nano", "messages": [{"role": "user", "content": "hi"}], "max_tokens": 5}

    async def ask(http: aiohttp.ClientSession) -> int:
        async with http.post("/v1/chat/completions", json=body) as response:
            return response.status

    async def together() -> list[int]:
        async with aiohttp.ClientSession(gateway.url, headers=HEADERS) as http:
            return await asyncio.gather(*(ask(http) for _ in range(AT_ONCE + 1)))

    assert sorted(asyncio.run(together())) == [*[200] * AT_ONCE, 429]
