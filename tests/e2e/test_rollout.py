"""A canary over real processes: watched by the controller that `serve` starts, gone live or rolled back by itself, and ended by its lease where
there is no controller.
"""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from support.gateway import KEY, GatewayProcess
from support.simulator import SimulatorProcess
from support.verdicts import verdict_on

from smallfirst.config import load
from smallfirst.gate.rollout_seen import look
from smallfirst.gate.rollout_stage import TaskStanding
from smallfirst.ledger import Ledger
from smallfirst.releases import Channels, Verdicts, change_channels, read_channels
from smallfirst.releases.verdict import Disagreement

CONFIG = """
[storage]
path = "state"

[providers.sim]
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
simulated = true

[models.frontier]
provider = "sim"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = 2.5, output = 10 }}]

[models.mini]
provider = "sim"
id = "sim-frontier-mini"
prices = [{{ since = "2026-01-01", input = 0.15, output = 0.6 }}]

[tasks.triage]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["mini", "frontier"]
margin = 0.05
latency_ms = 30000  # a busy machine is no alarm
rollout = {{ pairs = 1.0, explore = 0.0, drop = 0.3 }}

[keys.test]
secret = "env:TEST_KEY"
"""


@pytest.fixture
def serving(simulator: SimulatorProcess, tmp_path: Path) -> Iterator[GatewayProcess]:
    """A gateway with some calls of the baseline behind it. The frontier says billing; the small model says bug where a message has it."""
    simulator.fault(match={"model": "sim-frontier-mini", "contains": "odd"}, answer="bug")
    simulator.fault(answer="billing")
    gateway = GatewayProcess(tmp_path, CONFIG.format(sim=simulator.base_url), unproven=False)
    gateway.start("--controller")
    try:
        send(gateway, 120)
        yield gateway
    finally:
        gateway.stop()
    assert "Traceback" not in gateway.log_text()
    log = gateway.state / "controller.log"
    assert not log.exists() or "Traceback" not in log.read_text()


def send(gateway: GatewayProcess, count: int, *, odd: float = 0.0) -> list[str]:
    """So many calls, each of a conversation of its own, `odd` of them with what the small model gets wrong; the channels that answered."""

    async def all_of_them() -> list[str]:
        turns = asyncio.Semaphore(8)
        client = openai.AsyncOpenAI(base_url=f"{gateway.url}/v1", api_key=KEY, max_retries=0, timeout=20)

        async def one(number: int) -> str:
            word = "odd" if number % 10 < odd * 10 else "even"
            async with turns:
                response = await client.chat.completions.with_raw_response.create(
                    model="task/triage",
                    messages=[{"role": "user", "content": f"{word} {number} {time.monotonic_ns()}"}],
                )
            return response.headers["x-smallfirst-channel"]

        async with client:
            return await asyncio.gather(*[one(number) for number in range(count)])

    return asyncio.run(all_of_them())


def prove(gateway: GatewayProcess) -> str:
    """Builds the candidate and gives it a passing verdict that found one disagreement in ten; its id."""
    name = gateway.cli("release", "build")["id"]
    verdict = verdict_on(name, gateway.state, load(gateway.path))
    found = Disagreement(mean=0.1, bounds=((1.0, 0.1),), examples=1000)
    tasks = tuple(msgspec.structs.replace(task, disagreement=found) for task in verdict.tasks)
    Verdicts(gateway.state).save(msgspec.structs.replace(verdict, tasks=tasks))
    return name


def soon(holds: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline_s = time.monotonic() + within_s
    while not holds():
        assert time.monotonic() < deadline_s, "not in time"
        time.sleep(0.05)


def channels(gateway: GatewayProcess) -> Channels:
    return read_channels(gateway.state)


def events(gateway: GatewayProcess, kind: str) -> list[dict[str, Any]]:
    with Ledger.read(gateway.state) as ledger:
        return [event.detail for event in ledger.queries.events(kind=kind)]


def standing(gateway: GatewayProcess) -> TaskStanding | None:
    """The one task of the one rollout, once a controller has looked."""
    (rollout,) = look(gateway.state, load(gateway.path)).rollouts
    return rollout.tasks[0] if rollout.tasks else None


def counted(gateway: GatewayProcess) -> tuple[int, int]:
    """Pairs and calls."""
    found = standing(gateway)
    return (found.pairs, found.calls) if found else (0, 0)


def test_a_good_canary_goes_live_by_itself_and_a_bad_one_is_rolled_back(serving: GatewayProcess) -> None:
    name = prove(serving)
    serving.cli("release", "promote", name, "--canary", "50%,100%")
    soon(lambda: standing(serving) is not None)
    soon(lambda: "canary" in send(serving, 10))

    def at_stage_two() -> bool:
        send(serving, 60)
        now = channels(serving)
        return now.canary is None or now.canary.stage == 1

    soon(at_stage_two, 60)
    soon(lambda: bool(events(serving, "canary-advanced")))
    assert events(serving, "canary-advanced")[0]["share"] == 1.0

    def is_live() -> bool:
        send(serving, 60)
        return channels(serving).live.release == name

    soon(is_live, 60)
    soon(lambda: bool(events(serving, "canary-live")))
    soon(lambda: serving.cli("rollout", "status")["last"]["how"] == "live")
    assert set(send(serving, 10)) == {"live"}

    # Another candidate, whose verdict promised the same and which gets most calls wrong.
    text = serving.path.read_text()
    serving.path.write_text(text.replace("margin = 0.05", "margin = 0.06"))
    serving.process.send_signal(signal.SIGHUP)
    other = prove_against(serving, name)
    serving.cli("release", "promote", other, "--canary", "100%")

    def is_over() -> bool:
        send(serving, 20, odd=0.7)
        return channels(serving).canary is None

    soon(is_over, 60)
    assert channels(serving).live.release == name
    soon(lambda: bool(events(serving, "canary-rolled-back")))
    (told,) = events(serving, "canary-rolled-back")
    assert told["release"] == other
    assert told["why"][0].startswith("triage: quality 0.")
    soon(lambda: serving.cli("rollout", "status")["last"]["how"] == "rolled-back")
    refused = serving.run("release", "promote", other, "--config", str(serving.path))
    assert "rolled back as a canary" in " ".join(refused.stderr.split())  # its evidence is refuted


def prove_against(gateway: GatewayProcess, live: str) -> str:
    name = gateway.cli("release", "build")["id"]
    verdict = verdict_on(name, gateway.state, load(gateway.path), comparator=live)
    found = Disagreement(mean=0.1, bounds=((1.0, 0.1),), examples=1000)
    tasks = tuple(msgspec.structs.replace(task, disagreement=found) for task in verdict.tasks)
    Verdicts(gateway.state).save(msgspec.structs.replace(verdict, tasks=tasks))
    return name


def test_a_controller_that_is_killed_counts_nothing_twice_and_without_one_the_lease_ends_the_canary(
    serving: GatewayProcess,
) -> None:
    serving.stop()
    serving.start()
    name = prove(serving)
    serving.cli("release", "promote", name, "--canary", "100%")
    command = [sys.executable, "-m", "smallfirst.gate.controller"]
    command += ["--config", str(serving.path), "--state", str(serving.state)]

    def controller() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, env=serving.environ)

    process = controller()
    soon(lambda: standing(serving) is not None)
    send(serving, 30, odd=0.1)
    soon(lambda: counted(serving) == (30, 30))
    process.kill()
    process.wait()
    send(serving, 20)
    process = controller()
    soon(lambda: counted(serving) == (50, 50))
    process.kill()
    process.wait()
    begin = channels(serving).canary
    assert begin is not None

    def nearly_over(now: Channels) -> Channels:
        assert now.canary is not None
        over = msgspec.structs.replace(now.canary, lease_until_ms=int(time.time() * 1000) + 300)
        return msgspec.structs.replace(now, canary=over)

    change_channels(serving.state, nearly_over)
    soon(lambda: set(send(serving, 3)) == {"live"})
    assert "no controller renews it" in serving.cli("rollout", "status")["rollouts"][0]["note"]
    process = controller()  # and with one again the canary goes on where it was
    soon(lambda: set(send(serving, 3)) == {"canary"})
    serving.cli("release", "rollback")
    soon(lambda: set(send(serving, 3)) == {"live"})
    soon(lambda: [event["release"] for event in events(serving, "canary-withdrawn")] == [name])
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0
