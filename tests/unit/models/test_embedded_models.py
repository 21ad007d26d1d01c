"""What embedded models are asked for by while their servers come and go: nobody is sent to a server that lacks what he asks for, and nothing
that is deployed is out of reach for a moment.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.exported_adapter import GGUF, exported_adapter

from smallfirst.config.schema import Config, Model, Provider
from smallfirst.errors import StateError
from smallfirst.models import embedded_line, embedded_plan
from smallfirst.models.adapters.deployments import (
    EMBEDDED,
    Deployment,
    add_deployment,
    deployments,
    remove_deployment,
)
from smallfirst.models.embedded import EmbeddedModels
from smallfirst.models.llamacpp_child import Settings

CONFIG = Config(
    providers={"local": Provider(kind="embedded")},
    models={
        "tuned": Model(provider="local", id="base.gguf", adapter="triage"),
        "merged": Model(provider="local", id="base.gguf", adapter="sorting", form="q8_0"),
    },
)


class Scripted:
    """A server that starts when it is let. `asked` is what is asked of it still: it finishes when nothing is."""

    all: list[Scripted]
    broken: set[str]
    may_start: asyncio.Event

    def __init__(
        self,
        settings: Settings,
        log: Path,
        *,
        on_ready: Callable[[str], None],
        on_gone: Callable[[], None],
        key: str,
    ) -> None:
        self.settings = settings
        self.state = "stopped"
        self.base_url: str | None = None
        self.error = ""
        self.answered = asyncio.Event()
        self.answered.set()
        self._on_ready, self._on_gone = on_ready, on_gone
        self._task: asyncio.Task[None] | None = None
        Scripted.all.append(self)

    @property
    def adapters(self) -> list[str]:
        return [name for name, _ in self.settings.adapters]

    def start(self) -> None:
        self.state = "running"
        self._task = asyncio.create_task(self._begin())

    async def ready(self) -> str:
        assert self._task is not None
        await self._task
        if self.base_url is None:
            raise StateError("it does not start")
        return self.base_url

    async def finish(self, limit_s: float) -> None:
        try:
            async with asyncio.timeout(limit_s):
                await self.answered.wait()
            self.state = "finished"
        finally:
            await self.stop()

    async def stop(self) -> None:
        self.base_url = None
        self.state = "finished" if self.state == "finished" else "stopped"

    async def _begin(self) -> None:
        await Scripted.may_start.wait()
        if not Scripted.broken.intersection((self.settings.name, *self.adapters)):
            self.base_url = f"http://127.0.0.1:{10_000 + len(Scripted.all)}/v1"
            self._on_ready(self.base_url)


class House:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.models = EmbeddedModels(CONFIG, state, base=state)

    @property
    def running(self) -> list[Scripted]:
        return [server for server in Scripted.all if server.state == "running"]

    def served(self, wanted: str = "triage") -> Deployment | None:
        form = "lora" if wanted == "triage" else "q8_0"
        return self.models.reach.served.newest(wanted, form, "base.gguf", (EMBEDDED,))

    async def started(self) -> None:
        self.models.start()
        await self.models.started()

    async def seen(self, look: Callable[[], Any]) -> list[Any]:
        """What there was to see while the deployments were followed, each once."""
        Scripted.may_start.clear()
        seen: list[Any] = []
        following = asyncio.create_task(self.models.follow())
        while not seen or not following.done():
            await asyncio.sleep(0.001)
            if (now := look()) not in seen:
                seen.append(now)
            Scripted.may_start.set()
        await following
        return seen if look() in seen else [*seen, look()]


@pytest.fixture
async def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[House]:
    (tmp_path / "base.gguf").write_bytes(GGUF)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    monkeypatch.setattr(embedded_line, "EmbeddedServer", Scripted)
    Scripted.all, Scripted.broken, Scripted.may_start = [], set(), asyncio.Event()
    Scripted.may_start.set()
    house = House(tmp_path)
    yield house
    await house.models.stop()
    assert house.running == []


def new(house: House, seed: int, *, merged: bool = False) -> Deployment:
    told: dict[str, Any] = {"form": "q8_0", "task": "sorting"} if merged else {}
    _, deployment = exported_adapter(house.state, seed, **told)
    add_deployment(house.state, deployment)
    return deployment


async def test_no_file_is_hashed_on_the_event_loop(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    really = embedded_plan.gguf_sha256

    def hashed(path: Path) -> str:
        threads.append(threading.current_thread())
        return really(path)

    monkeypatch.setattr(embedded_plan, "gguf_sha256", hashed)
    new(house, 1)
    house.models = EmbeddedModels(CONFIG, house.state, base=house.state)
    await house.started()
    new(house, 2)
    await house.models.follow()
    assert len(threads) >= 4
    assert threading.main_thread() not in threads


async def test_one_that_is_deployed_again_is_served_all_the_while(house: House) -> None:
    one = new(house, 1)
    house.models = EmbeddedModels(CONFIG, house.state, base=house.state)
    await house.started()
    add_deployment(house.state, msgspec.structs.replace(one, at_ms=99))
    seen = await house.seen(lambda: (house.served() or one).adapter if house.served() else None)
    assert seen == [one.adapter]
    assert len(Scripted.all) == 1, "it is the same file"


async def test_another_file_of_it_takes_over_when_it_is_loaded(house: House) -> None:
    one = new(house, 1)
    house.models = EmbeddedModels(CONFIG, house.state, base=house.state)
    await house.started()
    _, other = exported_adapter(house.state, 1)
    path = house.state / "adapters" / one.adapter / "forms" / "lora.gguf"
    path.write_bytes(b"GGUF by another version")
    other = msgspec.structs.replace(other, sha256=embedded_plan.gguf_sha256(path))
    add_deployment(house.state, other)
    endpoint = house.models.reach.endpoints["tuned"]
    seen = await house.seen(
        lambda: (now.sha256 if (now := house.served()) else None, endpoint.base_url.port, endpoint.ready)
    )
    assert seen == [(one.sha256, 10_001, True), (other.sha256, 10_002, True)]


async def test_what_is_undeployed_is_asked_for_no_more_before_its_server_goes(house: House) -> None:
    one, two = new(house, 1), new(house, 2)
    house.models = EmbeddedModels(CONFIG, house.state, base=house.state)
    await house.started()
    assert house.served() == two
    remove_deployment(house.state, two.adapter, EMBEDDED)
    seen = await house.seen(lambda: (house.served(), house.running[0].adapters))
    assert seen[0] == (one, sorted([one.served_name, two.served_name]))
    await asyncio.sleep(0)
    assert [server.adapters for server in house.running] == [[one.served_name]]


async def test_a_merged_one_that_does_not_start_leaves_the_other_in_its_place(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    one = new(house, 1, merged=True)
    house.models = EmbeddedModels(CONFIG, house.state, base=house.state)
    await house.started()
    endpoint = house.models.reach.endpoints["merged"]
    was = endpoint.base_url
    two = new(house, 2, merged=True)
    Scripted.broken = {two.served_name}
    await house.models.follow()
    assert "is not there: it does not start" in caplog.text
    assert (house.served("sorting"), endpoint.base_url, endpoint.ready) == (one, was, True)
    assert two.served_name not in house.models.reach.merged


async def test_a_model_whose_merged_adapter_is_gone_is_not_ready(house: House) -> None:
    one = new(house, 1, merged=True)
    house.models = EmbeddedModels(CONFIG, house.state, base=house.state)
    await house.started()
    assert house.models.ready == 2
    remove_deployment(house.state, one.adapter, EMBEDDED)
    await house.models.follow()
    assert not house.models.reach.endpoints["merged"].ready
    assert house.models.ready == 1, "the base is"


async def test_a_server_that_goes_lets_those_before_it_answer(house: House) -> None:
    """Two changes in a row: whoever asked the first server is still answered."""
    await house.started()
    (first,) = house.running
    first.answered.clear()
    one = new(house, 1)
    await house.models.follow()
    line = next(iter(house.models._lines.values()))
    finishing = asyncio.create_task(line.finish())
    await asyncio.sleep(0.01)
    assert not finishing.done()
    assert first.state == "running"
    first.answered.set()
    await finishing
    assert [server.state for server in Scripted.all] == ["finished", "finished"]
    assert deployments(house.state) == (one,)


@pytest.mark.parametrize(
    "altered",
    [
        lambda one: b"[",
        lambda one: b"{}",
        lambda one: one.replace(b'"form":"lora"', b'"form":"../secret"'),
        lambda one: one.replace(b'"task":"triage"', b'"task":"../../etc"'),
        lambda one: one.replace(b'"adapter":"', b'"adapter":"../'),
        lambda one: one.replace(b'"sha256":"', b'"sha256":"0'),
    ],
    ids=["cut", "object", "form", "task", "adapter", "hash"],
)
async def test_what_cannot_be_read_changes_nothing(
    house: House, caplog: pytest.LogCaptureFixture, altered: Callable[[bytes], bytes]
) -> None:
    one = new(house, 1)
    house.models = EmbeddedModels(CONFIG, house.state, base=house.state)
    await house.started()
    path = house.state / "adapters" / "deployed.json"
    path.write_bytes(altered(path.read_bytes()))
    await house.models.follow()
    assert "what is deployed was not taken up" in caplog.text
    assert house.served() == one
    with pytest.raises(StateError, match=r"deployed\.json cannot be read"):
        EmbeddedModels(CONFIG, house.state, base=house.state)
