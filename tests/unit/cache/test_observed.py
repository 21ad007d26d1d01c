"""What was observed comes back in its order, and nothing of it makes a hit look better than it was."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from smallfirst import limits
from smallfirst.cache.semantic import observed as observed_module
from smallfirst.cache.semantic.observed import Observed, latest_rows, read_rows
from smallfirst.cache.semantic.seen import Observation
from smallfirst.cache.stores.database import FILE, Database


def seen(*, hit: bool, right: bool | None, check: float = 0.25) -> Observation:
    return Observation(
        probability=0.75,
        threshold=0.5 if hit else None,
        hit=hit,
        check=check if hit else 1.0,
        right=right,
        features=(0.5, -1.0),
        guard="g",
    )


@pytest.fixture
def database(tmp_path: Path):
    found = Database(tmp_path)
    yield found
    found.close()


async def settled(database: Database) -> None:
    await database.write(lambda _conn: None)


async def test_rows_come_back_in_their_order_each_policy_its_own(tmp_path: Path, database: Database) -> None:
    observed = Observed(database)
    assert observed.missed("p1", "c1", seen(hit=False, right=True), entry=7)
    assert await observed.hit("p1", "c2", seen(hit=True, right=None), drawn=True, entry=8)
    assert observed.missed("p2", "c3", seen(hit=False, right=False), entry=0)
    await settled(database)
    born, rows = read_rows(tmp_path, "p1", after=0, most=10)
    assert born
    assert [(row.call, row.kind, row.entry, row.pending) for row in rows] == [
        ("c1", "miss", 7, False),
        ("c2", "hit", 8, True),
    ]
    assert rows[0].seen == seen(hit=False, right=True)
    assert rows[1].seen == seen(hit=True, right=None)
    assert read_rows(tmp_path, "p1", after=rows[0].seq, most=10)[1] == rows[1:]
    assert [row.call for row in latest_rows(tmp_path, "p1", most=10)] == ["c1"]


async def test_a_check_is_settled_once(tmp_path: Path, database: Database) -> None:
    observed = Observed(database)
    await observed.hit("p", "drawn", seen(hit=True, right=None), drawn=True, entry=1)
    await observed.hit("p", "not drawn", seen(hit=True, right=None), drawn=False, entry=1)
    for call in ("drawn", "not drawn"):
        observed.checked(call, right=False)
        observed.checked(call, right=True)
    await settled(database)
    _, rows = read_rows(tmp_path, "p", after=0, most=10)
    assert [row.seen.right for row in rows] == [False, None]  # what was not drawn is not known, whoever asks


async def test_a_hit_that_was_not_released_was_none(tmp_path: Path, database: Database) -> None:
    observed = Observed(database)
    await observed.hit("p", "c", seen(hit=True, right=None), drawn=True, entry=1)
    observed.withdrawn("c")
    await settled(database)
    assert read_rows(tmp_path, "p", after=0, most=10)[1] == []


async def test_a_clients_word_counts_once_and_as_one_wrong_hit(tmp_path: Path, database: Database) -> None:
    observed = Observed(database)
    await observed.hit("p", "not drawn", seen(hit=True, right=None), drawn=False, entry=1)
    await observed.hit("p", "pending", seen(hit=True, right=None), drawn=True, entry=2)
    await observed.hit("p", "known wrong", seen(hit=True, right=None), drawn=True, entry=3)
    observed.checked("known wrong", right=False)
    found = [
        await observed.told_wrong(call)
        for call in ("not drawn", "not drawn", "pending", "known wrong", "nobody's")
    ]
    assert [row.entry if row else None for row in found] == [1, 1, 2, 3, None]
    _, rows = read_rows(tmp_path, "p", after=0, most=10)
    assert [(row.call, row.kind, row.seen.right, row.seen.seen) for row in rows] == [
        ("not drawn", "hit", None, 0.25),
        ("pending", "hit", False, 0.25),
        ("known wrong", "hit", False, 0.25),
        ("not drawn", "told", False, 1.0),  # surely wrong, and seen for sure: one wrong hit, not four
    ]


async def test_what_a_check_found_right_can_still_be_told_wrong(tmp_path: Path, database: Database) -> None:
    observed = Observed(database)
    await observed.hit("p", "c", seen(hit=True, right=None), drawn=True, entry=1)
    observed.checked("c", right=True)
    await observed.told_wrong("c")
    _, rows = read_rows(tmp_path, "p", after=0, most=10)
    assert [row.seen.right for row in rows] == [True, False]


async def test_old_rows_are_trimmed(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_OBSERVATIONS", 5)
    monkeypatch.setattr(observed_module, "_TRIM_EVERY", 10)
    observed = Observed(database)
    for number in range(20):
        observed.missed("p", f"c{number}", seen(hit=False, right=True), entry=1)
    await settled(database)
    _, rows = read_rows(tmp_path, "p", after=0, most=100)
    assert [row.call for row in rows] == [f"c{number}" for number in range(15, 20)]


async def test_no_hit_is_served_on_evidence_that_cannot_be_written(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    observed = Observed(database)
    monkeypatch.setattr(observed_module, "_TRIED_EVERY_S", 0.0)
    assert observed.well
    whole = observed_module._write

    def full(*_values: object) -> None:
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorname = "SQLITE_FULL"
        raise error

    monkeypatch.setattr(observed_module, "_write", full)
    await observed.hit("p", "c", seen(hit=True, right=None), drawn=True, entry=1)
    await settled_or_not(database)
    assert not observed.well
    monkeypatch.setattr(observed_module, "_write", whole)
    await settled(database)  # the try that `well` began
    assert observed.well


async def settled_or_not(database: Database) -> None:
    future = database.submit(lambda _conn: None)
    assert future is not None
    future.exception()


def test_without_a_file_there_is_nothing(tmp_path: Path) -> None:
    assert read_rows(tmp_path, "p", after=0, most=10) == ("", [])
    assert latest_rows(tmp_path, "p", most=10) == []


async def test_another_file_has_another_name(tmp_path: Path, database: Database) -> None:
    observed = Observed(database)
    observed.missed("p", "c", seen(hit=False, right=True), entry=1)
    await settled(database)
    before, _ = read_rows(tmp_path, "p", after=0, most=10)
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / (FILE + suffix)).unlink(missing_ok=True)
    observed.missed("p", "c", seen(hit=False, right=True), entry=1)
    await settled(database)
    after, rows = read_rows(tmp_path, "p", after=0, most=10)
    assert len(rows) == 1
    assert after != before


async def test_a_hit_is_on_record_before_it_is_served(tmp_path: Path, database: Database) -> None:
    observed = Observed(database)
    assert await observed.hit("p", "c", seen(hit=True, right=None), drawn=True, entry=1)
    assert [row.call for row in read_rows(tmp_path, "p", after=0, most=10)[1]] == ["c"]


async def test_a_hit_whose_client_went_away_meanwhile_was_none(tmp_path: Path, database: Database) -> None:
    observed = Observed(database)
    observed.read("p", "")
    begun = asyncio.create_task(observed.hit("p", "c", seen(hit=True, right=None), drawn=True, entry=1))
    await asyncio.sleep(0)
    assert observed.unread("p") == 1
    begun.cancel()
    with pytest.raises(asyncio.CancelledError):
        await begun
    await settled(database)
    assert read_rows(tmp_path, "p", after=0, most=10)[1] == []
    assert observed.unread("p") == 0


async def test_what_is_unread_is_what_the_keeper_has_not_read_also_of_a_process_that_died(
    tmp_path: Path, database: Database
) -> None:
    before = Observed(database)
    for number in range(4):
        await before.hit("p", f"c{number}", seen(hit=True, right=None), drawn=False, entry=1)
    again = Observed(database)
    assert again.unread("p") > 1_000_000  # nobody knows yet
    again.read("p", "c1")
    assert again.unread("p") == 2
    await again.hit("p", "c4", seen(hit=True, right=None), drawn=False, entry=1)
    again.withdrawn("c2")
    again.read("p", "c3")
    assert again.unread("p") == 1
    again.read("p", "nobody's")
    assert again.unread("p") == 1


async def test_hits_that_nobody_has_read_are_written_again_into_a_file_that_is_begun_anew(
    tmp_path: Path, database: Database
) -> None:
    observed = Observed(database)
    observed.read("p", "")
    for number in range(4):
        await observed.hit("p", f"c{number}", seen(hit=True, right=None), drawn=number >= 2, entry=1)
    observed.read("p", "c1")
    observed.checked("c2", right=True)
    await settled(database)
    for suffix in ("", "-wal", "-shm"):
        (tmp_path / (FILE + suffix)).unlink(missing_ok=True)
    observed.missed("p", "m", seen(hit=False, right=True), entry=1)
    await settled(database)
    _, rows = read_rows(tmp_path, "p", after=0, most=10)
    assert [(row.call, row.pending) for row in rows] == [("c2", False), ("c3", True), ("m", False)]
    assert rows[0].seen.right is True  # what was found stays found
    assert observed.unread("p") == 2


async def test_a_file_that_fell_back_gives_no_number_again(tmp_path: Path) -> None:
    """After a power cut, or where an older copy was put in its place: what is new comes after all that was ever read."""
    now_ms = 1_800_000_000_000

    async def write(calls: list[str]) -> list[int]:
        database = Database(tmp_path)
        observed = Observed(database, now_ms=lambda: now_ms)
        for call in calls:
            observed.missed("p", call, seen(hit=False, right=True), entry=1)
        await settled(database)
        database.close()
        return [row.seq for row in read_rows(tmp_path, "p", after=0, most=10)[1]]

    first = await write(["a"])
    whole = (tmp_path / FILE).read_bytes()
    read = await write(["b", "c"])
    (tmp_path / FILE).write_bytes(whole)
    now_ms += 1
    again = await write(["d", "e"])
    assert again[0] == first[0]
    assert min(again[1:]) > max(read)
    now_ms -= 3_600_000  # nor where the clock goes back
    assert sorted(set(found := await write(["f"]))) == found
    assert found[:-1] == again


async def test_hits_outlive_any_number_of_misses(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CACHE_OBSERVATIONS", 3)
    monkeypatch.setattr(observed_module, "_TRIM_EVERY", 5)
    observed = Observed(database)
    await observed.hit("p", "hit", seen(hit=True, right=None), drawn=True, entry=1)
    for number in range(50):
        observed.missed("p", f"c{number}", seen(hit=False, right=True), entry=1)
    await settled(database)
    _, rows = read_rows(tmp_path, "p", after=0, most=100)
    assert rows[0].call == "hit"
    assert len(rows) < 10
