"""The cache's part in a call, without sockets: what a store or an embedder that fails costs, and what is kept of whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from support.cached import whole_answer

from smallfirst.answering.attempt import Clock
from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.look_up import Asking, Hit, Miss
from smallfirst.cache.semantic.seen import Candidate, Judgement
from smallfirst.cache.stores.store import Totals, Which
from smallfirst.config.schema import Cache as CacheRule
from smallfirst.config.schema import Config, SemanticCache, Storage, TaskCache, Tenant
from smallfirst.contracts import TextContract
from smallfirst.errors import NotCached, StateError
from smallfirst.gateway.cache.cached import Cache
from smallfirst.gateway.cache.counts import CacheCounts
from smallfirst.gateway.cache.looking import BYPASS, Looking, Tape
from smallfirst.gateway.cache.parts import Parts
from smallfirst.gateway.chosen import Chosen
from smallfirst.gateway.draft import Draft
from smallfirst.models.reply import WholeReply
from smallfirst.releases import Policy, RungPolicy
from smallfirst.wire import openai_chat
from smallfirst.wire.incoming import Incoming
from smallfirst.wire.sse import SseEvent

HOUR_MS = 3_600_000


class Store:
    """A store in memory. `broken`: what it raises when it is read."""

    def __init__(self) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.evicted: list[Which] = []
        self.touched: list[int] = []
        self.broken: Exception | None = None
        self.closed = False

    async def get(self, key: bytes, now_ms: int) -> Entry | None:
        if self.broken is not None:
            raise self.broken
        entry = self.entries.get(key)
        return entry if entry is not None and entry.expires_ms > now_ms else None

    def put(self, entry: Entry) -> int:
        number = len(self.entries) + 1
        self.entries[entry.key] = msgspec.structs.replace(entry, id=number)
        return number

    def touch(self, entry: int, now_ms: int) -> None:
        self.touched.append(entry)

    async def evict(self, which: Which) -> int:
        self.evicted.append(which)
        self.entries = {key: entry for key, entry in self.entries.items() if not which.fits(entry)}
        return 1

    def totals(self) -> Totals:
        return Totals(entries=len(self.entries), bytes=None, waiting=0, left_out=0, failed=0)

    async def close(self) -> None:
        self.closed = True


class Semantic:
    """Finds what it is told to find."""

    def __init__(self, finds: Callable[[Asking], Hit | Miss]) -> None:
        self.finds = finds
        self.asked: list[Asking] = []
        self.entries: list[Entry] = []

    def embedder_sha256(self, rule: SemanticCache) -> str:
        return "e" * 64

    async def look_up(self, asking: Asking, now_ms: int, **_: Any) -> Hit | Miss:
        self.asked.append(asking)
        return self.finds(asking)

    def added(self, entry: Entry) -> None:
        self.entries.append(entry)


class Learning:
    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def answered(self, running: Any, chosen: Any, incoming: Any, miss: Miss, entry: Entry) -> None:
        self.told.append(("answered", miss.asking.call))

    def released(self, running: Any, chosen: Any, incoming: Any, hit: Hit, draft: Draft) -> None:
        self.told.append(("released", draft.id))

    def withdrawn(self, hit: Hit) -> None:
        self.told.append(("withdrawn", hit.asking.call))

    async def told_bad(self, call: str) -> None:
        self.told.append(("bad", call))

    async def stop(self) -> None:
        self.told.append(("stopped", ""))


class House:
    """A cache, and calls to it."""

    def __init__(self, *, semantic: Semantic | None = None, **config: Any) -> None:
        self.store = Store()
        self.semantic = semantic
        self.learning = Learning()
        self.counts = CacheCounts()
        self.opened = 0
        self.cache = Cache(self._open, self.counts)
        model = SimpleNamespace(show_model=False)
        catalogue = SimpleNamespace(resolve_alias=lambda name: name, get=lambda name: model)
        self.running: Any = SimpleNamespace(
            config=Config(**config), answerer=SimpleNamespace(catalogue=catalogue)
        )
        self.rule = TaskCache(exact=True, semantic=SemanticCache() if semantic else None)
        self.trainable = True

    def _open(self) -> Parts:
        self.opened += 1
        store: Any = self.store
        return Parts(store=store, semantic=self.semantic, learning=self.learning)

    async def look_up(
        self, text: str = "What is docked?", *, tenant: str = "acme", control: str = "", **body: Any
    ) -> Looking:
        rung = RungPolicy(model="frontier", provider="p", upstream_id="m", constrained=False)
        policy = Policy(task="ask", contract=TextContract(), ladder=(rung,), cache=self.rule)
        self.draft = Draft(route="chat", dialect="openai", clock=Clock())
        self.draft.tenant, self.draft.task, self.draft.policy = tenant, "ask", "p" * 64
        self.draft.trainable = self.trainable
        asked = {
            "model": "task/ask",
            "temperature": 0,
            "messages": [{"role": "user", "content": text}],
        } | body
        headers = [(b"cache-control", control.encode())] if control else []
        client: Any = SimpleNamespace(headers=dict(headers), scope={"headers": headers})
        chosen = Chosen(policy, "header", policy_hash="p" * 64, channel="live")
        incoming = Incoming("chat", msgspec.json.encode(asked))
        return await self.cache.look_up(self.draft, self.running, client, incoming, chosen)

    def answer(self, text: str = "a ship", **changes: Any) -> Any:
        data = whole_answer(text, **changes)
        reply = WholeReply("openai", data, openai_chat.peek_reply(data), [])
        return SimpleNamespace(reply=reply, unmet="", model=SimpleNamespace(simulated=True, name="frontier"))

    async def answered(self, text: str = "What is docked?", **fields: Any) -> Looking:
        """A call that was looked up, answered and kept."""
        looking = await self.look_up(text, **fields)
        with looking:
            self.draft.model, self.draft.rung = "frontier", 0
            looking.keep(self.answer())
        return looking


async def test_what_was_kept_is_found_and_used_and_told_whose_it_was() -> None:
    house = House()
    await house.answered()
    first = house.draft.id
    again = await house.look_up()
    assert again.found is not None
    assert (again.found.by, again.found.entry.text) == ("exact", "a ship")
    assert again.found.record() == {"by": "exact", "of": first, "age_s": 0}
    again.released()
    assert house.store.touched == [1]


async def test_a_cache_that_nothing_has_asked_is_not_opened() -> None:
    house = House()
    house.rule = TaskCache()
    assert await house.look_up() is BYPASS
    assert (house.opened, house.cache.parts) == (0, None)
    assert "cache" not in house.draft.decision


async def test_a_store_that_cannot_be_read_costs_hits_and_no_call(caplog: pytest.LogCaptureFixture) -> None:
    house = House()
    await house.answered()
    house.store.broken = StateError("the disk is gone")
    looking = await house.look_up()
    assert looking.found is None
    assert "the disk is gone" in caplog.text


async def test_a_store_that_cannot_be_opened_is_tried_again_after_a_while(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    house = House()
    opens, now_s = house.cache._opens, [1000.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])

    def fails() -> Parts:
        house.opened += 1
        raise StateError("another gateway has it")

    house.cache._opens = fails
    for _ in range(3):
        assert await house.look_up() is BYPASS
        assert house.draft.decision["cache"] == {"why": "it cannot be opened"}
    assert house.opened == 1
    now_s[0] += 11
    house.cache._opens = opens
    assert (await house.look_up()).found is None
    assert house.draft.cache == "miss"


async def test_an_answer_that_cannot_be_read_is_a_miss_and_removed() -> None:
    house = House()
    await house.answered()
    (key,) = house.store.entries
    house.store.entries[key] = msgspec.structs.replace(house.store.entries[key], answer=b"{")
    assert (await house.look_up()).found is None
    assert house.store.entries == {}


async def test_an_entry_of_another_tenant_is_never_given_whatever_a_store_says() -> None:
    house = House()
    await house.answered()
    (key,) = house.store.entries
    house.store.entries[key] = msgspec.structs.replace(house.store.entries[key], tenant="globex")
    assert (await house.look_up()).found is None


@pytest.mark.parametrize(
    "config",
    [{"tenants": {"acme": Tenant(bodies_days=0)}}, {"storage": Storage(bodies_days=0)}],
    ids=["tenant", "all"],
)
async def test_where_nothing_may_be_kept_of_a_tenant_nothing_is(config: dict[str, Any]) -> None:
    house = House(**config)
    assert await house.look_up() is BYPASS
    assert house.store.entries == {}


async def test_no_answer_is_kept_longer_than_what_its_tenant_says_may_be() -> None:
    house = House(tenants={"acme": Tenant(bodies_days=1)})
    house.rule = TaskCache(exact=True, ttl_s=7 * 24 * 3600)
    await house.answered()
    (entry,) = house.store.entries.values()
    assert entry.expires_ms - entry.at_ms == 24 * HOUR_MS


async def test_an_answer_that_is_too_long_is_not_kept() -> None:
    house = House(cache=CacheRule(max_entry_bytes=256))
    with await house.look_up() as looking:
        looking.keep(house.answer("a very long ship " * 50))
    assert house.store.entries == {}


async def test_what_a_clock_that_was_wrong_has_kept_is_given_to_nobody() -> None:
    """Its end would be as far off as its beginning."""
    house = House()
    await house.answered()
    ((key, entry),) = house.store.entries.items()
    for hours, found in ((-1, True), (24 * 365, False)):
        changed = {"at_ms": entry.at_ms + hours * HOUR_MS, "expires_ms": entry.expires_ms + hours * HOUR_MS}
        house.store.entries[key] = msgspec.structs.replace(entry, **changed)
        assert ((await house.look_up()).found is not None) is found


async def test_only_if_cached_waits_for_nobody() -> None:
    house = House()
    with await house.look_up():
        with pytest.raises(NotCached):
            await house.look_up(control="only-if-cached")
        assert house.cache.flights.waiting == 0


async def test_a_call_that_will_not_be_looked_up_does_not_lead_others_either() -> None:
    house = House()
    with await house.look_up(control="no-cache") as looking:
        assert len(house.cache.flights) == 0
        looking.keep(house.answer())
    assert len(house.store.entries) == 1


async def test_who_leaves_while_looking_leaves_nothing_behind() -> None:
    house = House()
    with await house.look_up():
        follower = asyncio.create_task(house.look_up())
        await asyncio.sleep(0)
        assert house.cache.flights.waiting == 1
        follower.cancel()
        with pytest.raises(asyncio.CancelledError):
            await follower
    assert (len(house.cache.flights), house.cache.flights.waiting) == (0, 0)


async def test_a_followers_row_names_the_leaders_and_its_waiting_is_no_work_of_ours() -> None:
    house = House()
    leader = await house.look_up()
    of = house.draft.id
    with leader:
        follower = asyncio.create_task(house.look_up())
        await asyncio.sleep(0.01)
        draft, house.draft = house.draft, Draft(route="chat", dialect="openai", clock=Clock())
        house.draft.id, house.draft.model, house.draft.rung = of, "frontier", 0
        leader._draft.model, leader._draft.rung = "frontier", 0
        leader.keep(house.answer())
    found = (await follower).found
    assert found is not None
    assert (found.by, found.entry.call) == ("flight", of)
    assert draft.waited_ms() > 0


# In other words.


def hit_of(asking: Asking, entry: Entry) -> Hit:
    vector = np.ones(2, np.float32)
    near = Candidate(entry=1, answer=1, text="What lies docked?", vector=vector, similarity=0.9)
    judged = Judgement(candidate=near, probability=0.97, features=())
    return Hit(
        asking=asking,
        entry=entry,
        vector=vector,
        candidates=(near,),
        judgement=judged,
        threshold=0.9,
        check=0.02,
        drawn=False,
        guard="",
    )


def miss_of(asking: Asking) -> Miss:
    return Miss(asking=asking, vector=np.ones(2, np.float32))


async def test_a_miss_is_kept_with_its_question_and_learned_from() -> None:
    semantic = Semantic(miss_of)
    house = House(semantic=semantic)
    await house.answered()
    (entry,) = house.store.entries.values()
    assert (entry.question, len(entry.partition), len(entry.vector)) == ("What is docked?", 32, 4)
    assert [each.id for each in semantic.entries] == [1]
    assert house.learning.told == [("answered", house.draft.id)]
    assert semantic.asked[0].key == entry.key


async def test_what_may_not_be_trained_on_is_kept_for_the_same_call_alone() -> None:
    semantic = Semantic(miss_of)
    house = House(semantic=semantic)
    house.trainable = False
    await house.answered()
    (entry,) = house.store.entries.values()
    assert (entry.question, entry.partition, entry.vector) == ("", b"", b"")
    assert (semantic.asked, semantic.entries, house.learning.told) == ([], [], [])
    assert (await house.look_up()).found is not None


async def test_a_hit_is_told_with_its_probability_and_released_once() -> None:
    semantic = Semantic(miss_of)
    house = House(semantic=semantic)
    await house.answered()
    (entry,) = house.store.entries.values()
    semantic.finds = lambda asking: hit_of(asking, entry)
    with await house.look_up("What lies docked?") as looking:
        assert looking.found is not None
        told = looking.found.record()
        assert (told["by"], told["probability"], told["threshold"]) == ("semantic", 0.97, 0.9)
        looking.released()
    assert house.learning.told[-1] == ("released", house.draft.id)
    assert len(house.cache.flights) == 0


async def test_a_hit_that_was_not_released_is_taken_back() -> None:
    semantic = Semantic(miss_of)
    house = House(semantic=semantic)
    await house.answered()
    (entry,) = house.store.entries.values()
    semantic.finds = lambda asking: hit_of(asking, entry)
    with pytest.raises(ZeroDivisionError), await house.look_up("What lies docked?"):
        1 / 0  # noqa: B018
    assert house.learning.told[-1] == ("withdrawn", house.draft.id)


async def test_a_hit_whose_answer_cannot_be_read_is_taken_back_and_asked_anew() -> None:
    semantic = Semantic(miss_of)
    house = House(semantic=semantic)
    await house.answered()
    (entry,) = house.store.entries.values()
    broken = msgspec.structs.replace(entry, answer=b"{")
    semantic.finds = lambda asking: hit_of(asking, broken)
    with await house.look_up("What lies docked?") as looking:
        assert looking.found is None
        looking.keep(house.answer())
    assert house.learning.told[-1] == ("withdrawn", house.draft.id)


async def test_those_who_wait_decide_for_themselves_whether_a_leaders_hit_in_other_words_is_theirs() -> None:
    semantic = Semantic(miss_of)
    house = House(semantic=semantic)
    await house.answered()
    (entry,) = house.store.entries.values()
    may_find = asyncio.Event()
    asked = []

    async def look_up(asking: Asking, now_ms: int, **_: Any) -> Hit:
        asked.append(asking.call)
        await may_find.wait()
        return hit_of(asking, entry)

    semantic.look_up = look_up  # type: ignore[method-assign]
    both = [asyncio.create_task(house.look_up("What lies docked?")) for _ in range(2)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asked) == 1
    may_find.set()
    found = [(await each).found for each in both]
    assert [each.by for each in found if each is not None] == ["semantic", "semantic"]
    assert len(asked) == 2


async def test_a_semantic_part_that_fails_is_a_miss(caplog: pytest.LogCaptureFixture) -> None:
    def fails(asking: Asking) -> Miss:
        raise RuntimeError("the index is broken")

    house = House(semantic=Semantic(fails))
    looking = await house.look_up()
    assert looking.found is None
    assert "the index is broken" in caplog.text
    with looking:
        looking.keep(house.answer())
    assert len(house.store.entries) == 1


async def test_a_bad_hit_is_removed_and_told_to_who_learns() -> None:
    house = House()
    await house.answered()
    await house.cache.told_bad("the-hit", house.draft.id)
    assert house.store.entries == {}
    assert house.learning.told == [("bad", "the-hit")]


async def test_the_end_stops_learning_and_then_closes_the_store() -> None:
    house = House()
    await house.look_up()
    await house.cache.close()
    assert house.learning.told == [("stopped", "")]
    assert house.store.closed


def test_a_stream_that_is_too_long_is_let_go_of() -> None:
    tape = Tape(most_bytes=10)
    event = SseEvent(raw=b"x" * 100, data=b"x", event=None)
    tape.take([event])
    assert not tape.over
    tape.take([event])
    assert tape.over
    assert tape.whole("openai") is None
