"""Adapters behind the gateway for real: deployed while it runs, moved to without losing a call, pinned by a release."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest
from support.deployed import deploy, record, spoil
from support.gateway import KEY, GatewayProcess
from support.simulator import SimulatorProcess
from support.tiny_adapter import opened_tiny_base, tiny_adapter
from support.tiny_base import tiny_base

from smallfirst.answering.attempt import Clock
from smallfirst.answering.decide import Decision, Step
from smallfirst.answering.offline import Purse, Wanted, open_bench
from smallfirst.config.load import load
from smallfirst.models.adapters.adapter import Form
from smallfirst.models.adapters.deployments import EMBEDDED, remove_deployment
from smallfirst.models.adapters.store import Adapter
from smallfirst.releases import LearnedHere
from smallfirst.releases.policy import policy_from_task
from smallfirst.wire.incoming import Incoming

pytestmark = pytest.mark.embedded

_CONFIG = """
[storage]
path = "state"

[providers.sim]
base_url = "{sim}/v1"
api_key = "env:SIM_KEY"
simulated = true

[providers.local]
kind = "embedded"

[models.frontier]
provider = "sim"
id = "sim-frontier"
prices = [{{ since = "2026-01-01", input = 2.5, output = 10 }}]

[models.plain]
provider = "local"
id = "{base}"
hourly_usd = "0"

[models.tuned]
provider = "local"
id = "{base}"
hourly_usd = "0"
adapter = "triage"

[models.merged]
provider = "local"
id = "{base}"
hourly_usd = "0"
adapter = "sorting"
form = "q8_0"

[tasks.triage]
contract = {{ type = "label", labels = ["billing", "bug", "how-to"] }}
ladder = ["tuned", "frontier"]

[keys.test]
secret = "env:TEST_KEY"
"""


@pytest.fixture(scope="module")
def simulator() -> Iterator[SimulatorProcess]:
    with SimulatorProcess() as process:
        yield process


class House:
    """A gateway over the tiny base, and a client of it."""

    def __init__(self, folder: Path, simulator: SimulatorProcess) -> None:
        self.base = str(tiny_base())
        text = _CONFIG.format(sim=simulator.base_url, base=self.base)
        self.gateway = GatewayProcess(folder, text, unproven=False)
        self.state = folder / "state"

    def adapter(self, seed: int, task: str = "triage") -> Adapter:
        return tiny_adapter(self.state, task=task, seed=seed, strength=3.0)

    def deploy(self, adapter: Adapter, form: Form = "lora") -> None:
        deploy(adapter, opened_tiny_base(), calls_it=self.base, form=form)

    def undeploy(self, adapter: Adapter) -> None:
        remove_deployment(self.state, adapter.id, EMBEDDED)

    def ask(self, model: str, text: str = "My invoice is wrong.") -> str:
        with openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key=KEY, max_retries=0) as client:
            answer = client.chat.completions.create(
                model=model,
                messages=[{"role": "user", "content": text}],
                max_tokens=12,
                temperature=0,
            )
        return str(answer.choices[0].message.content)

    def until(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, self.gateway.log_text()
            time.sleep(0.05)

    def ready(self, model: str = "plain") -> None:
        self.until(lambda: _tried(lambda: self.ask(model)) is not None)

    def log(self) -> str:
        """As it was before it was broken into lines."""
        return " ".join(self.gateway.log_text().split())

    def children(self) -> list[int]:
        """The processes of the embedded servers."""
        found = Path(f"/proc/{self.gateway.pid}/task/{self.gateway.pid}/children").read_text().split()
        return [int(pid) for pid in found]


@pytest.fixture
def house(tmp_path: Path, simulator: SimulatorProcess) -> Iterator[House]:
    house = House(tmp_path, simulator)
    yield house
    if house.gateway._process is not None:
        house.gateway.stop()


def test_adapters_come_and_go_under_load_and_no_call_is_lost(house: House) -> None:
    one, two = house.adapter(1), house.adapter(2)
    house.deploy(one)
    house.gateway.start()
    house.ready()
    plain, first = house.ask("plain"), house.ask("tuned")
    assert plain != first
    with _Load(house, "tuned") as answers:
        house.until(lambda: len(answers.given) > 3)
        house.deploy(two)  # the newest of the task answers who names no release
        house.until(lambda: answers.last not in ("", first))
        second = answers.last
        house.undeploy(two)
        house.until(lambda: answers.last == first)
    assert answers.failed == []
    assert second not in (plain, first)
    assert set(answers.given) == {first, second}
    assert house.ask("plain") == plain
    house.until(lambda: len(house.children()) == 1)  # the ones that it moved away from have ended
    house.undeploy(one)
    house.until(lambda: _tried(lambda: house.ask("tuned")) is None)
    with pytest.raises(openai.APIStatusError, match="no adapter 'triage' is served as lora at embedded"):
        house.ask("tuned")
    assert house.ask("plain") == plain  # and nobody who asked for an adapter got this
    house.gateway.process.send_signal(signal.SIGHUP)
    house.deploy(two)
    house.until(lambda: _tried(lambda: house.ask("tuned")) == second)


def test_what_cannot_be_loaded_or_was_altered_changes_nothing(house: House) -> None:
    one, broken, altered = house.adapter(1), house.adapter(2), house.adapter(3)
    house.deploy(one)
    house.gateway.start()
    house.ready()
    first = house.ask("tuned")
    (child,) = house.children()
    record(broken, spoil(broken), calls_it=house.base)
    house.until(lambda: "what was deployed is not served" in house.log())
    assert "goes on as it was" in house.log()
    assert house.ask("tuned") == first
    house.undeploy(broken)
    house.deploy(altered)
    house.until(lambda: house.ask("tuned") != first)
    os.truncate(altered.forms / "lora.gguf", 1000)
    house.undeploy(one)  # a change, at which everything is looked at again
    house.until(lambda: "was altered, or is gone" in house.log())
    house.until(lambda: _tried(lambda: house.ask("tuned")) is None)
    assert house.ask("plain")
    assert child not in house.children()


def test_a_merged_adapter_has_a_server_of_its_own(house: House) -> None:
    house.gateway.start()
    house.ready()
    plain = house.ask("plain")
    assert _tried(lambda: house.ask("merged")) is None
    one, two = house.adapter(1, "sorting"), house.adapter(2, "sorting")
    house.deploy(one, "q8_0")
    house.until(lambda: _tried(lambda: house.ask("merged")) is not None)
    first = house.ask("merged")
    assert first != plain
    house.deploy(two, "q8_0")
    house.until(lambda: _tried(lambda: house.ask("merged")) not in (None, first))
    assert len(house.children()) == 3  # what a release pins may be either of them
    house.undeploy(two)
    house.until(lambda: _tried(lambda: house.ask("merged")) == first)
    house.until(lambda: len(house.children()) == 2)
    assert house.ask("plain") == plain


def test_a_release_pins_its_adapter(house: House) -> None:
    one, two = house.adapter(1), house.adapter(2)
    refused = house.gateway.run("release", "build", "--config", str(house.gateway.path))
    assert refused.returncode != 0
    assert "smallfirst adapters deploy" in refused.stderr
    assert "--to embedded" in refused.stderr
    chosen = max(
        one, two, key=lambda adapter: adapter.id
    )  # the newest of the task; of the same moment, by its name
    house.deploy(chosen)
    release = house.gateway.cli("release", "build")["id"]
    house.gateway.start("--release", release, "--unproven", "the tests")
    house.ready()
    label = house.ask("task/triage")
    assert label in ("billing", "bug", "how-to")
    house.until(lambda: bool(house.gateway.calls()))
    (call,) = [call for call in house.gateway.calls() if call["task"] == "triage"]
    attempts = house.gateway.call(call["id"])["attempts"]
    assert attempts[0]["model"] == "tuned"
    assert attempts[0]["upstream_model"] == chosen.manifest.served_name


async def test_commands_ask_what_each_policy_pins(house: House) -> None:
    """As `eval` and `gate` do: without a gateway, with a server of their own that has all that is deployed."""
    adapters = [house.adapter(seed) for seed in (1, 2)]
    for adapter in adapters:
        house.deploy(adapter)
    config = load(house.gateway.path)
    policies = []
    for adapter in adapters:
        models = config.models | {
            "tuned": msgspec.structs.replace(config.models["tuned"], adapter=adapter.id)
        }
        pinning = msgspec.structs.replace(config, models=models)
        policies.append(policy_from_task("triage", pinning, LearnedHere(house.state)))
    wanted = [Wanted(policy) for policy in policies]
    environ = {"SIM_KEY": "upstream-secret"}
    body = {"model": "task/triage", "messages": [{"role": "user", "content": "My invoice is wrong."}]}
    decision = Decision(task="triage", steps=(Step(0, "tuned"), Step(1, "frontier")))
    asked = []
    async with open_bench(
        config, wanted, state=house.state, base=house.gateway.folder, environ=environ
    ) as bench:
        for policy in policies:
            answer = await bench.answerer.answer(
                Incoming("chat", json.dumps(body).encode()), policy, decision, account=Purse(), clock=Clock()
            )
            assert answer.model.name == "tuned"
            record = answer.attempting.record
            assert record is not None
            asked.append(record.upstream_model)
    assert asked == [adapter.manifest.served_name for adapter in adapters]


class _Load:
    """Clients that ask again and again, until the block is left."""

    def __init__(self, house: House, model: str) -> None:
        self.given: list[str] = []
        self.failed: list[Exception] = []
        self._house = house
        self._model = model
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(2)]

    @property
    def last(self) -> str:
        return self.given[-1] if self.given else ""

    def __enter__(self) -> _Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _ask(self) -> None:
        while not self._over.is_set():
            try:
                self.given.append(self._house.ask(self._model))
            except openai.OpenAIError as error:
                self.failed.append(error)


def _tried(ask: Callable[[], str]) -> str | None:
    """The answer; None where it is refused."""
    try:
        return ask()
    except openai.APIStatusError:
        return None
