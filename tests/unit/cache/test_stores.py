"""What both stores promise: the same answers come back, to whom they belong, for as long as they may."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import msgspec
import pytest
from support.cache_entries import HOUR_MS, NOW_MS, PARTITION, entry, key_of, near, settled
from support.redis_server import RedisServer

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.stores.opening import open_store
from smallfirst.cache.stores.redis_store import RedisStore
from smallfirst.cache.stores.store import CacheStore, Which
from smallfirst.config.schema import Cache, Config


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


@pytest.fixture(params=["sqlite", "redis"])
def config(request: pytest.FixtureRequest) -> tuple[Config, dict[str, str]]:
    if request.param == "sqlite":
        return Config(), {}
    return Config(cache=Cache(url="env:CACHE")), {"CACHE": request.getfixturevalue("server").url}


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no server that does not answer."""
    monkeypatch.setattr(limits, "CACHE_REDIS_TIMEOUT_S", 10.0)


async def opened(config: tuple[Config, dict[str, str]], state: Path) -> CacheStore:
    store = open_store(*[config[0], state, config[1]])
    if isinstance(store, RedisStore):
        await store.get(b"", NOW_MS)
        while not store._link._up:
            await asyncio.sleep(0.001)
        store._link.failed = 0
    return store


@pytest.fixture
async def store(config: tuple[Config, dict[str, str]], tmp_path: Path) -> AsyncIterator[CacheStore]:
    made = await opened(config, tmp_path)
    if isinstance(made, RedisStore):
        await made._link.work(lambda redis: redis.flushall())
    yield made
    await made.close()


@pytest.fixture
async def other(config: tuple[Config, dict[str, str]], tmp_path: Path) -> AsyncIterator[CacheStore]:
    """Another process's."""
    made = open_store(config[0], tmp_path, config[1], owner=False)
    yield made
    await made.close()


def same(kept: Entry | None, given: Entry, number: int) -> bool:
    return kept == msgspec.structs.replace(given, id=number, group=number)


async def test_an_answer_comes_back_as_it_was_given_at_once_and_later(store: CacheStore) -> None:
    whole = near("a", cost_nusd=None, simulated=True, dialect="anthropic", rung=2)
    number = store.put(whole)
    assert number
    assert same(await store.get(whole.key, NOW_MS), whole, number)
    assert same(await store.by_id(number, NOW_MS), whole, number)
    await settled(store)
    assert store.totals().waiting == 0
    assert same(await store.get(whole.key, NOW_MS), whole, number)
    assert same(await store.by_id(number, NOW_MS), whole, number)


@pytest.mark.parametrize("text", ["short", "long " * 40, 'quoted " and \\ ' * 20, "Grüße, 世界 🙂 " * 20, ""])
@pytest.mark.parametrize("ascii_only", [False, True])
async def test_texts_and_answers_of_any_length_come_back_exactly(
    store: CacheStore, text: str, ascii_only: bool
) -> None:
    import json

    for padding in (0, 9000):
        answer = json.dumps({"content": text, "padding": "ab" * padding}, ensure_ascii=ascii_only).encode()
        number = store.put(entry("a", answer=answer, text=text))
        await settled(store)
        kept = await store.get(key_of("a"), NOW_MS)
        assert kept is not None
        assert (kept.text, kept.answer) == (text, answer)
        assert await store.texts_of([number]) == {number: text}


async def test_what_is_over_is_not_given_and_use_does_not_prolong_it(store: CacheStore) -> None:
    number = store.put(entry("a", expires_ms=NOW_MS + HOUR_MS))
    for _ in range(2):
        store.touch(number, NOW_MS + HOUR_MS - 1)
        assert await store.get(key_of("a"), NOW_MS + HOUR_MS - 1)
        assert await store.get(key_of("a"), NOW_MS + HOUR_MS) is None
        assert await store.by_id(number, NOW_MS + HOUR_MS) is None
        await settled(store)


async def test_another_key_has_another_answer(store: CacheStore) -> None:
    store.put(entry("a"))
    assert await store.get(key_of("b"), NOW_MS) is None
    await settled(store)
    assert await store.get(key_of("b"), NOW_MS) is None
    assert await store.get(key_of("a")[:31], NOW_MS) is None
    assert await store.get(b"", NOW_MS) is None


async def test_a_newer_answer_takes_the_place_of_the_same_keys(store: CacheStore) -> None:
    first = store.put(near("a", text="one"))
    await settled(store)
    store.touch(first, NOW_MS)
    store.mark(first, confirmed=3)
    second = store.put(near("a", text="two"))
    third = store.put(near("a", text="three"))
    assert first < second < third
    await settled(store)
    kept = await store.get(key_of("a"), NOW_MS)
    assert kept is not None
    assert (kept.id, kept.text, kept.confirmed, kept.hits) == (third, "three", 0, 0)
    assert await store.by_id(first, NOW_MS) is None
    assert await store.by_id(second, NOW_MS) is None
    assert [found.id for found in await store.partition(PARTITION, NOW_MS, 10)] == [third]
    assert [counted.entries for counted in await store.counted()] == [1]


async def test_a_partition_tells_its_newest_fresh_entries_without_their_answers(store: CacheStore) -> None:
    numbers = [store.put(near(str(n))) for n in range(5)]
    store.put(near("over", expires_ms=NOW_MS))
    store.put(entry("exact only"))
    store.put(near("elsewhere", partition=key_of("another partition")))
    await settled(store)
    last = store.put(near("5"))
    found = await store.partition(PARTITION, NOW_MS, 4)
    assert [kept.id for kept in found] == [last, *reversed(numbers[2:])]
    assert {(kept.answer, kept.text) for kept in found} == {(b"", "")}
    assert [kept.question for kept in found] == ["5?", "4?", "3?", "2?"]
    assert found[0].vector == near("5").vector


async def test_groups_and_marks_are_kept_and_told(store: CacheStore, other: CacheStore) -> None:
    start = await other.changes(None)
    first, second = store.put(near("a")), store.put(near("b"))
    store.regroup(second, first)
    store.mark(second, confirmed=2, refuted=1)
    store.touch(second, NOW_MS)
    await settled(store)
    kept = await store.by_id(second, NOW_MS)
    assert kept is not None
    assert (kept.group, kept.confirmed, kept.refuted, kept.hits) == (first, 2, 1, 1)
    [counted] = await store.counted()
    assert (counted.groups, counted.entries, counted.hits) == (1, 2, 1)
    told = await other.changes(start.at)
    last = [change for change in told.changes if change.entry == second][-1]
    assert (last.partition, last.group, last.confirmed, last.refuted) == (PARTITION, first, 2, 1)
    assert (await other.changes(told.at)).changes == ()


async def test_changes_to_what_is_gone_make_nothing(store: CacheStore) -> None:
    number = store.put(near("a"))
    await store.evict(Which(id=number))
    store.regroup(number, 7)
    store.mark(number, confirmed=1)
    store.touch(number, NOW_MS)
    await settled(store)
    assert await store.get(key_of("a"), NOW_MS) is None
    assert await store.counted() == []
    assert await store.listed(Which(), 10) == []


@pytest.mark.parametrize(
    ("which", "left"),
    [
        (Which(tenant="globex"), "acd"),
        (Which(task="other"), "abd"),
        (Which(policy="policy-2"), "abc"),
        (Which(release="release-2"), "abc"),
        (Which(call="call-a"), "bcd"),
        (Which(tenant="acme", task="triage"), "bc"),
        (Which(tenant="globex", call="call-a"), "abcd"),
        (Which(before_ms=NOW_MS - 5000), "acd"),
        (Which(before_ms=NOW_MS - 5000, tenant="acme"), "abcd"),
        (Which(call="call-of nobody"), "abcd"),
        (Which(), ""),
    ],
)
async def test_another_process_evicts_what_fits_and_no_more(
    store: CacheStore, other: CacheStore, which: Which, left: str
) -> None:
    given = {
        "a": near("a"),
        "b": near("b", tenant="globex", at_ms=NOW_MS - 9000),
        "c": near("c", task="other"),
        "d": near("d", policy="policy-2", release="release-2"),
    }
    for one in given.values():
        store.put(one)
    await settled(store)
    listed = {kept.call[-1] for kept in await other.listed(which, 10)}
    assert listed == set("abcd") - set(left)
    start = await store.changes(None)
    assert await other.evict(which) == 4 - len(left)
    for name in given:
        assert (await store.get(key_of(name), NOW_MS) is not None) == (name in left)
    gone = {change.entry for change in (await store.changes(start.at)).changes if change.group == 0}
    assert len(gone) == 4 - len(left)
    assert sum(counted.entries for counted in await other.counted()) == len(left)


async def test_an_id_names_one_entry(store: CacheStore, other: CacheStore) -> None:
    first, second = store.put(entry("a")), store.put(entry("b"))
    await settled(store)
    assert await other.evict(Which(id=first)) == 1
    assert await other.evict(Which(id=first)) == 0
    assert await store.by_id(first, NOW_MS) is None
    assert await store.by_id(second, NOW_MS)


async def test_what_waits_when_its_tenant_is_purged_is_not_kept(store: CacheStore, other: CacheStore) -> None:
    store.put(entry("a"))
    await settled(store)
    store.put(near("b", tenant="globex", at_ms=NOW_MS))
    store.put(entry("c"))
    await other.evict(Which(tenant="globex"))  # before the gateway has written it
    await settled(store)
    assert await store.get(key_of("b"), NOW_MS) is None
    assert await store.get(key_of("c"), NOW_MS)
    store.put(near("d", tenant="globex", at_ms=NOW_MS + HOUR_MS))  # answered after it
    await settled(store)
    assert await store.get(key_of("d"), NOW_MS)


async def test_what_is_too_long_or_no_text_is_left_out(store: CacheStore) -> None:
    store.rule = Cache(max_entry_bytes=1000)  # type: ignore[attr-defined]
    assert store.put(entry("a", answer=b"{" + b" " * 1000 + b"}")) == 0
    assert store.put(entry("b", text="half of a pair: \ud800")) == 0
    assert store.put(entry("c")) > 0
    await settled(store)
    assert store.totals().left_out == 2
    assert store.totals().failed == 0
    assert await store.get(key_of("a"), NOW_MS) is None
    assert await store.get(key_of("c"), NOW_MS)


async def test_answers_outlive_the_process(
    store: CacheStore, config: tuple[Config, dict[str, str]], tmp_path: Path
) -> None:
    number = store.put(entry("a"))
    await store.close()  # with nothing written yet
    again = await opened(config, tmp_path)
    try:
        assert same(await again.get(key_of("a"), NOW_MS), entry("a"), number)
        assert again.put(entry("b")) > number
    finally:
        await again.close()


async def test_what_waits_when_it_is_evicted_is_gone_at_once_counted_and_told(store: CacheStore) -> None:
    start = await store.changes(None)
    number = store.put(near("a", at_ms=NOW_MS))
    store.put(entry("b", tenant="globex", at_ms=NOW_MS))
    assert await store.evict(Which(tenant="acme")) == 1
    assert await store.get(key_of("a"), NOW_MS) is None
    assert await store.by_id(number, NOW_MS) is None
    assert await store.get(key_of("b"), NOW_MS)
    await settled(store)
    assert [kept.call for kept in await store.listed(Which(), 10)] == ["call-b"]
    told = (await store.changes(start.at)).changes
    assert [(change.entry, change.group) for change in told][-1] == (number, 0)
