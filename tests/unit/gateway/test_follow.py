"""A rollback takes away what it takes away at once, also where what was live before takes long to load."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from smallfirst.cache.stores.opening import open_store
from smallfirst.classify.store import Artifacts
from smallfirst.config.schema import Config, Model, Provider, Task
from smallfirst.contracts import LabelContract
from smallfirst.gateway.budget import Budgets
from smallfirst.gateway.budget.webhook import Webhooks
from smallfirst.gateway.cache.cached import Cache
from smallfirst.gateway.cache.parts import Parts
from smallfirst.gateway.evidence import Evidence
from smallfirst.gateway.follow import Follower
from smallfirst.gateway.hand import Desk
from smallfirst.gateway.history import History
from smallfirst.gateway.metrics import Metrics
from smallfirst.gateway.rates.local import LocalRates
from smallfirst.gateway.running import Running, Shared
from smallfirst.gateway.stops import Stops
from smallfirst.gateway.watch import Watch
from smallfirst.ledger import Ledger
from smallfirst.models.embedded import EmbeddedModels
from smallfirst.models.heads import Heads
from smallfirst.models.label_head import HeadServer
from smallfirst.models.transport import AiohttpTransport
from smallfirst.releases import BASELINE, Channels, Live, Releases, change_channels, release_from_config
from smallfirst.releases.moves import live_at_once, rolled_back
from smallfirst.routing.conversations import Conversations

CONFIG = Config(
    providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
    models={"small": Model(provider="p"), "large": Model(provider="p")},
    tasks={"triage": Task(ladder=("small", "large"), contract=LabelContract(labels=("a", "b")))},
)


class House:
    """A gateway without its sockets: `told` are the events that it noted."""

    def __init__(self, state: Path, ledger: Ledger, transport: AiohttpTransport) -> None:
        heads = Heads(Artifacts(state), lambda path: pytest.fail(f"{path} is not asked for"))
        self.told: list[tuple[str, dict[str, object]]] = []
        self.shared = Shared(
            state=state,
            ledger=ledger,
            transport=transport,
            embedded=EmbeddedModels(CONFIG, state, base=state),
            heads=heads,
            head_server=HeadServer(heads.get),
            environ={},
            budgets=Budgets(lambda purse, number: 0),
            webhooks=Webhooks(transport, {}, lambda kind, detail: None),
            stops=Stops(state),
            rates=LocalRates(),
            history=History(lambda *_: None),
            conversations=Conversations(),
            watch=Watch(lambda detail: None),
        )
        self.follower = Follower(state, {}, lambda kind, detail: self.told.append((kind, detail)))
        running = Running(CONFIG, self.follower.first(CONFIG), self.shared)
        metrics = Metrics()
        cache = Cache(lambda: Parts(store=open_store(CONFIG, state, {})), metrics.cache)
        self.desk = Desk(running, ledger, metrics, Evidence(state, lambda kind, detail: None), cache)

    async def follow(self) -> None:
        await self.follower.follow(self.desk, self.shared)

    @property
    def live(self) -> str:
        return self.desk.running.serving.id


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger.open(tmp_path)) as opened:
        yield opened


@pytest.fixture
def two(tmp_path: Path, ledger: Ledger) -> list[str]:
    """Two releases, of which the second is live and the first was before."""
    names = [
        Releases(tmp_path).save(release_from_config(config))[0] for config in (CONFIG, _with_margin(0.1))
    ]
    for name in names:
        change_channels(
            tmp_path, lambda now, name=name: live_at_once(now, Live(release=name, unproven="a test"))
        )
    return names


def _with_margin(margin: float) -> Config:
    import msgspec

    task = msgspec.structs.replace(CONFIG.tasks["triage"], margin=margin)
    return msgspec.structs.replace(CONFIG, tasks={"triage": task})


def _back(now: Channels) -> Channels:
    return rolled_back(now, now_ms=1)


async def test_baseline_answers_while_what_was_live_before_is_loaded(
    tmp_path: Path, ledger: Ledger, two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = AiohttpTransport()
    house = House(tmp_path, ledger, transport)
    assert house.live == two[1]
    may_go_on, build = threading.Event(), house.follower._built

    def slow(*args: Any) -> Running | None:
        may_go_on.wait(20)
        return build(*args)

    monkeypatch.setattr(house.follower, "_built", slow)
    change_channels(tmp_path, _back)
    following = asyncio.create_task(house.follow())
    async with asyncio.timeout(20):
        while house.live != BASELINE:
            await asyncio.sleep(0.01)
    may_go_on.set()
    await following
    assert house.live == two[0]
    assert [kind for kind, _ in house.told] == ["rolled-back"]
    house.follower.close()
    await transport.close()


async def test_whatever_a_library_raises_a_rollback_ends_at_baseline(
    tmp_path: Path, ledger: Ledger, two: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transport = AiohttpTransport()
    house = House(tmp_path, ledger, transport)
    opened = Running._open

    def broken(self: Running, serving: Any, before: Any) -> Any:
        if serving.id == two[0]:
            raise ZeroDivisionError("an embedder's fault")
        return opened(self, serving, before)

    monkeypatch.setattr(Running, "_open", broken)
    change_channels(tmp_path, _back)
    await house.follow()
    assert house.live == BASELINE
    assert [kind for kind, _ in house.told] == ["channels-refused", "rolled-back"]
    house.follower.close()
    await transport.close()
