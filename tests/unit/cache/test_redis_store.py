"""The cache in a real Redis: shared, and never the reason why a call fails or waits."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from support.cache_entries import HOUR_MS, NOW_MS, PARTITION, entry, key_of, near, settled
from support.redis_server import RedisServer

from smallfirst import limits
from smallfirst.cache.stores.opening import exists, forget, open_store
from smallfirst.cache.stores.redis_rows import CHANGES, PREFIX, PURGES
from smallfirst.cache.stores.redis_store import RedisStore
from smallfirst.cache.stores.store import Which
from smallfirst.config.schema import Cache, Config
from smallfirst.config.secrets import Secret
from smallfirst.errors import ConfigError, StateError

CONFIG = Config(cache=Cache(url="env:CACHE"))


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as started:
        yield started


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy with other tests is no server that does not answer."""
    monkeypatch.setattr(limits, "CACHE_REDIS_TIMEOUT_S", 10.0)


async def up(store: RedisStore) -> RedisStore:
    """Its link is."""
    while not store._link._up:
        await store.get(b"", NOW_MS)
        await asyncio.sleep(0.002)
    store._link.failed = 0
    return store


def made(server: RedisServer, state: Path) -> RedisStore:
    return RedisStore(Secret("env:CACHE", server.url), Cache(), state=state)


@pytest.fixture
async def store(server: RedisServer, tmp_path: Path) -> AsyncIterator[RedisStore]:
    found = await up(made(server, tmp_path / "one"))
    await found._link.work(lambda redis: redis.flushall())
    yield found
    await found.close()


@pytest.fixture
async def replica(server: RedisServer, tmp_path: Path) -> AsyncIterator[RedisStore]:
    found = await up(made(server, tmp_path / "two"))
    yield found
    await found.close()


async def test_replicas_share_answers_and_hear_of_each_other(store: RedisStore, replica: RedisStore) -> None:
    start = await replica.changes(None)
    number = store.put(near("a"))
    await settled(store)
    shared = await replica.get(key_of("a"), NOW_MS)
    assert shared is not None
    assert shared.id == number
    assert [kept.id for kept in await replica.partition(PARTITION, NOW_MS, 9)] == [number]
    replica.regroup(number, 7)
    await settled(replica)
    await store.evict(Which(id=number))
    told = await replica.changes(start.at)
    assert [(change.entry, change.group) for change in told.changes] == [
        (number, number),
        (number, 7),
        (number, 0),
    ]
    assert await replica.get(key_of("a"), NOW_MS) is None


async def test_everything_ends_by_itself(store: RedisStore) -> None:
    store.put(near("a"))
    store.put(near("b", expires_ms=NOW_MS + HOUR_MS // 2))
    store.put(entry("c"))
    await settled(store)
    names = [name.decode() for name in await store._link.work(lambda redis: redis.keys("*"))]
    assert all(name.startswith(PREFIX) for name in names)
    ends = {
        name: await store._link.work(lambda redis, name=name: redis.pexpiretime(name))
        for name in names
        if name not in (CHANGES, PURGES)
    }
    assert len(ends) == 10  # three entries, by id and by call, and a partition
    assert min(ends.values()) == NOW_MS + HOUR_MS // 2
    assert ends[f"{PREFIX}partition:{PARTITION.hex()}"] == max(ends.values())


async def test_what_leads_to_an_entry_may_be_dropped_by_the_server(store: RedisStore) -> None:
    number = store.put(near("a"))
    await settled(store)
    drop = (f"{PREFIX}id:{number}", f"{PREFIX}call:call-a", f"{PREFIX}partition:{PARTITION.hex()}")
    assert await store._link.work(lambda redis: redis.delete(*drop)) == 3
    assert await store.get(key_of("a"), NOW_MS)
    assert await store.evict(Which(call="call-a")) == 1
    assert await store.get(key_of("a"), NOW_MS) is None


async def test_a_stream_that_was_trimmed_or_dropped_is_lost(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put(near("first"))
    await settled(store)
    start = await store.changes(None)
    store.put(near("a"))
    store.put(near("b"))
    await settled(store)
    await store._link.work(lambda redis: redis.xtrim(CHANGES, maxlen=1, approximate=False))
    trimmed = await store.changes(start.at)
    assert (trimmed.lost, trimmed.changes) == (True, ())
    assert not (await store.changes(trimmed.at)).lost
    await store._link.work(lambda redis: redis.delete(CHANGES))
    assert (await store.changes(trimmed.at)).lost


async def test_what_another_version_wrote_is_not_read(store: RedisStore) -> None:
    store.put(entry("a"))
    await settled(store)
    name = f"{PREFIX}entry:{key_of('a').hex()}"
    for value in (b"\xff", b"\x80", b"garbage"):
        await store._link.work(lambda redis, value=value: redis.hset(name, "m", value))
        assert await store.get(key_of("a"), NOW_MS) is None


# A server that is gone, slow or full.


async def test_a_server_that_is_gone_costs_hits_and_never_calls(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_REDIS_OPEN_S", 0.01)
    with RedisServer() as server:
        store = await up(made(server, tmp_path))
        store.put(entry("a"))
        await settled(store)
        server.stop()
        for n in range(20):
            assert await store.get(key_of("a"), NOW_MS) is None
            number = store.put(entry(str(n)))
            store.touch(number, NOW_MS)
            store.mark(number, confirmed=1)
            assert await store.get(key_of(str(n)), NOW_MS)
        while store.totals().waiting:
            await asyncio.sleep(0.005)
        assert store.totals().failed >= 20
        with pytest.raises(StateError, match="cannot be reached"):
            await store.evict(Which())
        server.start()
        await up(store)
        store.put(entry("b"))
        await settled(store)
        assert await store.get(key_of("b"), NOW_MS)
        await store.close()
    assert "calls go on without it" in caplog.text
    assert "answers again" in caplog.text
    assert str(server.socket) not in caplog.text


async def test_a_server_that_does_not_answer_is_not_waited_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with RedisServer() as server:
        store = await up(made(server, tmp_path))
        for name in "ab":
            store.put(entry(name))
        await settled(store)
        server.freeze()
        monkeypatch.setattr(limits, "CACHE_REDIS_TIMEOUT_S", 0.05)
        for _ in range(limits.CACHE_REDIS_FAILURES):
            assert store._link._up
            assert await store.get(key_of("a"), NOW_MS) is None
        assert not store._link._up
        asked = store._link._client.hmget
        store._link._client.hmget = None  # type: ignore[assignment]  (nobody asks it now)
        assert await store.get(key_of("a"), NOW_MS) is None
        store._link._client.hmget = asked
        server.thaw()
        monkeypatch.setattr(limits, "CACHE_REDIS_TIMEOUT_S", 10.0)
        store._link._tried_s = -limits.CACHE_REDIS_OPEN_S
        await up(store)
        for name in "abba":  # no answer that came too late is taken for another's
            found = await store.get(key_of(name), NOW_MS)
            assert found is not None
            assert found.key == key_of(name)
        await store.close()


async def test_look_ups_that_are_cut_off_leave_no_answer_for_the_next(store: RedisStore) -> None:
    for name in "abcdefgh":
        store.put(entry(name))
    await settled(store)

    async def look_up(n: int) -> None:
        name = "abcdefgh"[n % 8]
        found = await store.get(key_of(name), NOW_MS)
        assert found is None or found.key == key_of(name)

    for _ in range(40):
        tasks = [asyncio.create_task(look_up(n)) for n in range(16)]
        await asyncio.sleep(0)
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert not any(isinstance(result, Exception) for result in results)
    await up(store)
    assert (await store.get(key_of("a"), NOW_MS)) is not None


async def test_a_server_without_room_still_answers_and_forgets(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with RedisServer() as server:
        store = await up(made(server, tmp_path))
        number = store.put(near("a"))
        await settled(store)
        await store._link.work(lambda redis: redis.config_set("maxmemory", "1"))
        for n in range(5):
            store.put(entry(str(n), text="what nobody may read"))
            with pytest.raises(StateError, match="has no room") as raised:
                await settled(store)
            assert "nobody" not in str(raised.value)
        assert store.totals().failed >= 5
        assert await store.get(key_of("0"), NOW_MS) is None
        assert await store.get(key_of("a"), NOW_MS)
        assert await store.evict(Which(call="call-a")) == 1
        assert await store.get(key_of("a"), NOW_MS) is None
        assert await store.by_id(number, NOW_MS) is None
        assert "has no room" in caplog.text
        assert "nobody" not in caplog.text
        await store.close()


# Its address.


@pytest.mark.parametrize(
    "address", ["http://user:hunter2@localhost", "redis://:hunter2@localhost:port", "localhost:6379 hunter2"]
)
def test_an_address_that_is_none_is_named_and_never_shown(tmp_path: Path, address: str) -> None:
    with pytest.raises(ConfigError, match="env:CACHE is no address of a Redis") as raised:
        open_store(CONFIG, tmp_path, {"CACHE": address})
    assert raised.value.path == "cache.url"
    assert "hunter2" not in str(raised.value)


async def test_neither_logs_nor_errors_show_the_address(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = open_store(CONFIG, tmp_path, {"CACHE": "valkey://user:hunter2@127.0.0.1:1/0"})
    assert isinstance(store, RedisStore)
    await store.get(key_of("a"), NOW_MS)
    with pytest.raises(StateError) as raised:
        await store.evict(Which())
    while store._link._trying is not None:
        await asyncio.sleep(0.002)
    await store.close()
    for told in (caplog.text, str(raised.value)):
        assert "env:CACHE" in told
        assert "hunter2" not in told
        assert "127.0.0.1" not in told


def test_without_its_package_the_configuration_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(ConfigError, match=r"pip install 'smallfirst\[redis\]'"):
        open_store(CONFIG, tmp_path, {"CACHE": "redis://localhost"})


async def test_commands_forget_in_one_call(store: RedisStore, server: RedisServer, tmp_path: Path) -> None:
    for name in "ab":
        store.put(entry(name))
    await settled(store)
    environ = {"CACHE": server.url}
    assert exists(CONFIG, tmp_path)
    assert await asyncio.to_thread(forget, CONFIG, tmp_path, environ, Which(call="call-a")) == 1
    assert await store.get(key_of("a"), NOW_MS) is None
    assert await store.get(key_of("b"), NOW_MS)


def test_commands_that_look_make_no_cache(tmp_path: Path) -> None:
    assert not exists(Config(), tmp_path)
    assert forget(Config(), tmp_path, {}, Which()) == 0
    assert list(tmp_path.iterdir()) == []
