"""`cache.sqlite`: within its bounds, private, and never the reason why a call fails."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from support.cache_entries import HOUR_MS, NOW_MS, PARTITION, entry, key_of, near, settled

from smallfirst import limits
from smallfirst.cache.stores import database as database_module
from smallfirst.cache.stores.database import FILE, Database
from smallfirst.cache.stores.schema import VERSION
from smallfirst.cache.stores.sqlite_store import SqliteStore
from smallfirst.cache.stores.store import Which
from smallfirst.config.schema import Cache
from smallfirst.errors import StateError


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    made = SqliteStore(tmp_path, Cache())
    yield made
    await made.close()


async def kept(store: SqliteStore, names: str) -> str:
    """Which of these answers are there."""
    return "".join([name for name in names if await store.get(key_of(name), NOW_MS)])


async def test_its_files_are_their_owners_alone(store: SqliteStore, tmp_path: Path) -> None:
    store.put(entry("a"))
    await settled(store)
    files = list(tmp_path.glob(f"{FILE}*"))
    assert len(files) == 3
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


# Bounds.


async def test_what_was_never_given_again_goes_first(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, Cache(max_entries=10))
    numbers = {name: store.put(entry(name, at_ms=NOW_MS - 1000 + n)) for n, name in enumerate("abcdefghij")}
    for name in "adf":
        store.touch(numbers[name], NOW_MS)
    await settled(store)
    store.put(entry("k", at_ms=NOW_MS))
    await settled(store)
    assert await kept(store, "abcdefghijk") == "adefghijk"  # two fewer: down to 95 %
    await store.close()


async def test_what_was_given_again_leaves_room_for_what_is_new(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, Cache(max_entries=10))
    numbers = [store.put(entry(name)) for name in "abcdefghij"]
    await settled(store)  # or the writer, coming in between, sees some of them given again and some not
    for n, number in enumerate(numbers):
        store.touch(number, NOW_MS + n)
    await settled(store)
    store.put(entry("k", at_ms=NOW_MS))
    await settled(store)
    assert await kept(store, "abcdefghijk") == "cdefghijk"
    await store.close()


async def test_what_is_over_goes_before_all(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, Cache(max_entries=5), owner=False)
    over = store.put(entry("over", expires_ms=NOW_MS + 1))
    store.touch(over, NOW_MS)
    for name in "abcd":
        store.put(entry(name))
    await settled(store)
    store.put(entry("e"))
    await settled(store)
    assert await kept(store, "abcde") == "bcde"
    assert await store.listed(Which(id=over), 1) == []
    await store.close()


async def test_what_is_over_goes_also_where_there_is_room(store: SqliteStore) -> None:
    store.put(entry("over", expires_ms=NOW_MS + 1))
    store.put(entry("a"))
    await settled(store)
    await settled(store)  # what is done every minute
    assert [one.call for one in await store.listed(Which(), 9)] == ["call-a"]


async def test_bytes_are_bounded_by_what_is_stored(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, Cache(max_bytes=100_000))
    for n in range(300):
        store.put(entry(str(n), answer=random.Random(n).randbytes(1000).hex().encode()))
        if n % 20 == 0:
            await settled(store)
            totals = store.totals()
            assert totals.bytes is not None
            assert totals.bytes <= 100_000
    assert await store.get(key_of("299"), NOW_MS)
    assert await store.get(key_of("0"), NOW_MS) is None
    await store.close()


async def test_a_lower_bound_holds_from_the_next_write_on(store: SqliteStore) -> None:
    for n in range(50):
        store.put(entry(str(n)))
    await settled(store)
    store.rule = Cache(max_entries=5)
    store.put(entry("last"))
    await settled(store)
    entries = store.totals().entries
    assert entries is not None
    assert entries <= 5


async def test_what_is_counted_is_what_is_there(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, Cache(max_entries=40))
    draw = random.Random(5)
    numbers = []
    for turn in range(400):
        name = str(draw.randrange(60))
        tenant = draw.choice(["acme", "globex"])
        numbers.append(store.put((near if turn % 2 else entry)(name, tenant=tenant)))
        for _ in range(2):
            store.touch(draw.choice(numbers), NOW_MS)
        if turn % 40 == 7:
            await store.evict(
                draw.choice([Which(tenant="acme"), Which(id=draw.choice(numbers)), Which(call="call-3")])
            )
    await settled(store)

    def read(conn: sqlite3.Connection) -> tuple:
        entries = "SELECT count(*), sum(bytes), sum(hits > 0) FROM entries"
        scopes = (
            "SELECT tenant, sum(entries), sum(bytes), sum(hits) FROM scopes GROUP BY tenant ORDER BY tenant"
        )
        truth = (
            "SELECT s.tenant, count(*), sum(e.bytes), sum(e.hits) FROM entries e JOIN scopes s ON s.id = e.scope "
            "GROUP BY s.tenant ORDER BY s.tenant"
        )
        return (
            conn.execute("SELECT * FROM totals").fetchone() == conn.execute(entries).fetchone(),
            conn.execute(scopes).fetchall() == conn.execute(truth).fetchall(),
            conn.execute("SELECT count(*) FROM entries").fetchone()[0],
        )

    totals_hold, scopes_hold, entries = await store.database.read(read)
    assert totals_hold
    assert scopes_hold
    assert 0 < entries <= 40
    assert sum(counted.entries for counted in await store.counted()) == entries
    await store.close()


# Nothing of a call waits, and nothing of a call fails.


async def test_a_call_never_waits_for_a_writer_that_waits(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_WRITES_WAITING", 3)
    await settled(store)
    busy = sqlite3.connect(tmp_path / FILE, isolation_level=None)
    busy.execute("BEGIN IMMEDIATE")
    assert all(store.put(entry(name)) for name in "abc")
    assert store.put(entry("d")) == 0
    assert await kept(store, "abcd") == "abc"
    assert (store.totals().waiting, store.totals().left_out) == (3, 1)
    busy.execute("COMMIT")
    busy.close()
    await settled(store)
    assert store.totals().waiting == 0
    assert await kept(store, "abcd") == "abc"
    assert store.put(entry("d"))


async def test_what_waits_is_bounded_in_bytes_too(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_WRITES_WAITING_BYTES", 3000)
    assert [bool(store.put(entry("a", answer=b"x" * 1000))) for _ in range(5)] == [
        True
    ] * 5  # one place, taken again
    assert store.put(entry("b", answer=b"x" * 2000)) == 0
    await settled(store)
    assert store.put(entry("b", answer=b"x" * 2000))


async def test_a_full_disk_costs_hits_and_never_calls(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(entry("a"))
    await settled(store)
    conn = store.database.writing()
    pages = conn.execute("PRAGMA page_count").fetchone()[0]
    conn.execute(f"PRAGMA max_page_count = {pages}")
    for n in range(40):
        assert store.put(entry(str(n), answer=os.urandom(2000).hex().encode()))
        assert await store.get(key_of(str(n)), NOW_MS)
    with pytest.raises(StateError, match="full"):
        await store.database.write(lambda conn: conn.execute("UPDATE entries SET answer = zeroblob(1000000)"))
    while store.totals().waiting:
        await asyncio.sleep(0.001)
    assert store.totals().failed == 40
    assert store.totals().waiting == 0
    assert await store.get(key_of("1"), NOW_MS) is None
    assert await kept(store, "a") == "a"
    assert [record.message for record in caplog.records] == [
        "the cache cannot be used (the disk that holds cache.sqlite is full): calls go on without it"
    ]
    conn.execute("PRAGMA max_page_count = 1000000")
    store.put(entry("b"))
    await settled(store)
    assert await kept(store, "ab") == "ab"


def spoil(path: Path) -> None:
    path.write_bytes(os.urandom(len(path.read_bytes())))


def of_another_version(path: Path) -> None:
    conn = sqlite3.connect(path)
    conn.execute(f"PRAGMA user_version = {VERSION + 1}")
    conn.close()


def of_another_program(path: Path) -> None:
    path.unlink()
    conn = sqlite3.connect(path)
    conn.execute("CREATE TABLE theirs (name TEXT)")
    conn.close()


@pytest.mark.parametrize("harm", [spoil, of_another_version, of_another_program])
async def test_a_file_that_cannot_be_used_is_begun_anew_by_the_gateway_alone(tmp_path: Path, harm) -> None:
    first = SqliteStore(tmp_path, Cache())
    first.put(entry("a"))
    await first.close()
    harm(tmp_path / FILE)
    before = (tmp_path / FILE).read_bytes()
    with pytest.raises(StateError, match=r"cache\.sqlite"):
        SqliteStore(tmp_path, Cache(), owner=False)
    assert (tmp_path / FILE).read_bytes() == before
    store = SqliteStore(tmp_path, Cache())
    assert await kept(store, "a") == ""
    store.put(entry("b"))
    await settled(store)
    assert store.totals().failed == 0
    assert await kept(store, "b") == "b"
    await store.close()


async def test_a_file_that_is_damaged_while_it_is_used_is_begun_anew(
    store: SqliteStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for n in range(200):
        store.put(entry(str(n), answer=os.urandom(1000).hex().encode()))
    await settled(store)
    await store.database.tidy()
    path = tmp_path / FILE
    with path.open("r+b") as file:
        file.write(os.urandom(path.stat().st_size))
    found = 0
    while await store.get(key_of(str(found % 200)), NOW_MS) is not None or not store.totals().failed:
        found += 1
        store.database._looking = None  # what it holds in memory would go on for a while
    await settled(store)
    store.put(entry("b"))
    await settled(store)
    assert await kept(store, "b") == "b"
    assert "begun anew" in caplog.text


async def test_a_file_that_is_deleted_while_it_is_used_is_made_again(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "_LOOKED_AT_EVERY_S", 0.0)
    store.put(entry("a"))
    await settled(store)
    for file in tmp_path.glob(f"{FILE}*"):
        file.unlink()
    await store.get(key_of("a"), NOW_MS)  # notices
    await settled(store)
    assert await kept(store, "a") == ""
    store.put(entry("b"))
    await settled(store)
    assert await kept(store, "ab") == "b"
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


async def test_without_a_file_that_can_be_opened_calls_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(StateError):
        SqliteStore(tmp_path, Cache(), owner=False)
    store = SqliteStore(tmp_path, Cache())
    number = store.put(entry("a"))
    store.touch(number, NOW_MS)
    store.mark(number, confirmed=1)
    while store.totals().waiting:
        assert await store.get(key_of("b"), NOW_MS) is None
        await asyncio.sleep(0.005)
    assert await kept(store, "a") == ""
    assert store.totals().failed >= 1
    with pytest.raises(StateError):
        await store.evict(Which())
    assert "calls go on without it" in caplog.text
    (tmp_path / FILE).rmdir()
    store.put(entry("c"))
    await settled(store)
    assert await kept(store, "c") == "c"
    await store.close()


_PUTS_UNTIL_KILLED = """
import asyncio, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from support.cache_entries import near
from smallfirst.cache.stores.sqlite_store import SqliteStore
from smallfirst.config.schema import Cache
async def main():
    store = SqliteStore(Path(sys.argv[1]), Cache(max_entries=500))
    n = 0
    while True:
        number = store.put(near(str(n), answer=b"{%s}" % (b"x" * 3000)))
        store.regroup(number, 1)
        n += 1
        if n % 50 == 0:
            await asyncio.sleep(0.01)
            print(store.totals().entries, flush=True)
asyncio.run(main())
"""


async def test_kill_9_leaves_a_whole_file(tmp_path: Path) -> None:
    tests = str(Path(__file__).parents[2])
    child = subprocess.Popen(
        [sys.executable, "-c", _PUTS_UNTIL_KILLED, str(tmp_path), tests], stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    while int(child.stdout.readline()) < 300:
        pass
    child.send_signal(signal.SIGKILL)
    child.wait()
    child.stdout.close()
    store = SqliteStore(tmp_path, Cache(), owner=False)
    assert await store.database.read(lambda conn: conn.execute("PRAGMA integrity_check").fetchall()) == [
        ("ok",)
    ]
    found = await store.listed(Which(), 1000)
    assert found
    assert {len(one.answer) for one in found} == {3002}
    [counted] = await store.counted()
    assert counted.entries == len(found) == store.totals().entries
    await store.close()


# What others did.


async def test_who_missed_too_much_reads_again(store: SqliteStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CACHE_CHANGES_KEPT", 5)
    start = await store.changes(None)
    assert not start.lost
    for n in range(20):
        store.put(near(str(n)))
    await settled(store)
    middle = await store.changes(start.at)
    await store.evict(Which())
    store.put(near("last"))
    await settled(store)
    late = await store.changes(middle.at)
    assert late.lost
    assert late.changes == ()
    assert not (await store.changes(late.at)).lost


async def test_a_place_in_a_file_that_was_begun_anew_is_lost(store: SqliteStore, tmp_path: Path) -> None:
    start = await store.changes(None)
    for file in tmp_path.glob(f"{FILE}*"):
        file.unlink()
    store.put(near("a"))
    await settled(store)
    assert (await store.changes(start.at)).lost
    assert [found.call for found in await store.partition(PARTITION, NOW_MS, 9)] == ["call-a"]


async def test_of_what_is_evicted_nothing_lingers_in_the_files(store: SqliteStore, tmp_path: Path) -> None:
    secret = "the launch code is 4711, and nobody may know"
    store.put(entry("a", text=secret, answer=b"{}", tenant="globex"))
    store.put(entry("b"))
    await settled(store)

    def bytes_on_disk() -> bytes:
        return b"".join(file.read_bytes() for file in tmp_path.glob(f"{FILE}*"))

    assert secret.encode() in bytes_on_disk()
    await store.evict(Which(tenant="globex"))
    assert secret.encode() not in bytes_on_disk()
    assert await kept(store, "ab") == "b"


async def test_a_purge_gives_its_room_back(store: SqliteStore, tmp_path: Path) -> None:
    for n in range(300):
        store.put(entry(str(n), answer=os.urandom(2000).hex().encode()))
    await settled(store)
    await store.database.tidy()
    before = (tmp_path / FILE).stat().st_size
    await store.evict(Which())
    assert (tmp_path / FILE).stat().st_size < before / 4


# The writer, for those who write beside the store.


async def test_a_write_that_fails_undoes_itself_alone(
    store: SqliteStore, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(conn: sqlite3.Connection) -> None:
        conn.execute("DELETE FROM entries")
        raise ValueError("on purpose")

    store.put(entry("a"))
    failing = store.database.submit(fails)
    refused = store.database.submit(lambda conn: conn.execute("SELECT * FROM nowhere"))
    store.mark(1, confirmed=1)
    assert failing is not None
    assert refused is not None
    await settled(store)
    with pytest.raises(ValueError, match="on purpose"):
        failing.result(10)
    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        refused.result(10)
    assert await kept(store, "a") == "a"
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2


async def test_what_waits_is_written_before_the_end(tmp_path: Path) -> None:
    database = Database(tmp_path)
    assert database.later(
        lambda conn: conn.execute("UPDATE totals SET again = 7") and None, after_s=HOUR_MS / 1000
    )
    database.close()
    assert not database.later(lambda _conn: None)
    with pytest.raises(StateError):
        await database.write(lambda _conn: None)
    conn = sqlite3.connect(tmp_path / FILE)
    assert conn.execute("SELECT again FROM totals").fetchone() == (7,)
    conn.close()


async def test_what_another_process_has_purged_is_not_given_while_it_waits(
    store: SqliteStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_PUT_EVERY_S", 600.0)
    store.put(entry("a", at_ms=NOW_MS))
    store.put(entry("b", at_ms=NOW_MS, tenant="globex"))
    other = SqliteStore(tmp_path, Cache(), owner=False)
    await other.evict(Which(tenant="acme"))
    await other.close()
    assert store.totals().waiting == 2
    assert await store.get(key_of("a"), NOW_MS) is None
    assert await store.get(key_of("b"), NOW_MS)


async def test_what_is_over_is_removed_also_after_a_moment_without_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_EXPIRE_EVERY_S", 0.0)
    store = SqliteStore(tmp_path, Cache())
    with monkeypatch.context() as full:
        full.setattr(store.database, "submit", lambda *_, **__: None)
        while store._expiring:
            await asyncio.sleep(0.001)
    store.put(entry("a", expires_ms=NOW_MS))
    await settled(store)
    while store.totals().entries:
        await asyncio.sleep(0.001)
    await store.close()


@pytest.mark.parametrize("what", ["partition", "texts"])
async def test_what_is_committed_just_after_the_file_was_read_is_not_lost_between_the_two(
    store: SqliteStore, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = store.put(near("a"))
    read = store.database.read

    async def then_committed(function):
        found = await read(function)
        await settled(store)
        return found

    monkeypatch.setattr(store.database, "read", then_committed)
    if what == "partition":
        assert [one.id for one in await store.partition(PARTITION, NOW_MS, 10)] == [number]
    else:
        assert list(await store.texts_of([number])) == [number]
