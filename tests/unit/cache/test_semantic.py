"""A semantic look-up: what is served, what is not, and what is written down of it first."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.semantic import (
    NOW_MS,
    PARTITION,
    RULE,
    Believing,
    an_asking,
    an_entry,
    embedding_of,
    standings,
)

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic import partitions as partitions_module
from smallfirst.cache.semantic.look_up import Hit, Miss, Semantic
from smallfirst.cache.semantic.seen import Observation
from smallfirst.cache.semantic.standing import Standings
from smallfirst.cache.stores.sqlite_store import SqliteStore
from smallfirst.cache.stores.store import Which
from smallfirst.config.schema import Cache

VECTORS = {"refund": [1, 0, 0], "money back": [0.95, 0.3, 0], "weather": [0, 0, 1], "refuse": [1, 0, 0]}


class Noted:
    """Evidence in a list."""

    def __init__(self) -> None:
        self.well = True
        self.takes = True
        self.hits: list[tuple[str, Observation, bool, int]] = []
        self.known: list[str] = []  # what the keeper has read, as standings said in turn

    async def hit(self, policy: str, call: str, seen: Observation, *, drawn: bool, entry: int) -> bool:
        if self.takes:
            self.hits.append((call, seen, drawn, entry))
        return self.takes

    def read(self, policy: str, call: str) -> None:
        self.known.append(call)

    def unread(self, policy: str) -> int:
        calls = [call for call, *_ in self.hits]
        read = [calls.index(call) for call in self.known if call in calls]
        return len(calls) - 1 - max(read, default=-1)


class House:
    """A store, evidence and semantic look-ups over it."""

    def __init__(self, store: SqliteStore, noted: Noted, semantic: Semantic) -> None:
        self.store = store
        self.noted = noted
        self.semantic = semantic
        self.chance = 0.9

    def keep(self, entry: Entry) -> Entry:
        kept = msgspec.structs.replace(entry, id=self.store.put(entry))
        self.semantic.added(kept)
        return kept

    async def ask(self, question: str, *, now_ms: int = NOW_MS, **fields: Any) -> Hit | Miss:
        return await self.semantic.look_up(an_asking(question, **fields), now_ms)

    async def warm(self, **fields: Any) -> None:
        """Reads the partition into memory."""
        await self.ask("refund", **fields)
        await self.loaded()

    async def loaded(self) -> None:
        for task in list(self.semantic.partitions._tasks):
            await task


@pytest.fixture
async def house(tmp_path: Path):
    store, noted = SqliteStore(tmp_path, Cache()), Noted()
    embedding = await embedding_of(VECTORS)
    made: list[House] = []
    semantic = Semantic(store, noted, embedding, prior=Believing(), chance=lambda: made[0].chance)
    made.append(House(store, noted, semantic))
    semantic.stand(standings(0.9), {"g": Believing("g")})
    yield made[0]
    await semantic.partitions.close()
    embedding.close()
    await store.close()


async def test_the_first_look_up_reads_the_partition_and_the_next_one_finds(house: House) -> None:
    kept = house.keep(an_entry(vector=[1, 0, 0]))
    first = await house.ask("money back")
    assert isinstance(first, Miss)
    assert first.why  # no observation: nobody knows what it would have found
    await house.loaded()
    found = await house.ask("money back", call="c2")
    assert isinstance(found, Hit)
    assert found.entry.id == kept.id
    assert found.entry.answer == kept.answer
    assert found.guard == "g"
    assert house.noted.hits == [
        ("c2", Observation(
            probability=found.judgement.probability, threshold=0.9, hit=True, check=0.5, right=None,
            features=found.judgement.features, guard="g",
        ), False, kept.id)
    ]  # fmt: skip


async def test_what_is_far_or_refused_is_a_miss_that_teaches(house: House) -> None:
    await house.warm()
    kept = house.keep(an_entry(vector=[1, 0, 0]))
    far, refused = await house.ask("weather"), await house.ask("refuse")
    for found in (far, refused):
        assert isinstance(found, Miss)
        assert found.judgement is not None
        assert found.judgement.candidate.entry == kept.id
        assert found.threshold == 0.9
        assert not found.why
    assert house.noted.hits == []


async def test_a_miss_says_how_its_answer_is_kept(house: House) -> None:
    await house.warm()
    found = await house.ask("refund")
    assert isinstance(found, Miss)
    assert found.judgement is None
    partition, question, vector = found.kept
    assert (partition, question) == (PARTITION, "refund")
    told = an_entry(partition=partition, question=question)
    house.keep(msgspec.structs.replace(told, vector=vector))
    assert isinstance(await house.ask("refund"), Hit)


@pytest.mark.parametrize(
    "told",
    [
        Standings(),
        standings(None),
        standings(0.9, lease_until_ms=NOW_MS),  # the lease is over
        Standings(policies={"another": standings(0.9).policies["policy"]}),
    ],
)
async def test_without_a_standing_that_holds_nothing_is_served(house: House, told: Standings) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0]))
    house.semantic.stand(told, {"g": Believing("g")})
    found = await house.ask("refund")
    assert isinstance(found, Miss)
    assert found.threshold is None
    assert found.judgement is not None  # misses teach all the same


async def test_nothing_is_served_that_cannot_be_written_down_or_checked(house: House) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0]))
    house.noted.well = False
    assert isinstance(await house.ask("refund"), Miss)
    house.noted.well, house.noted.takes = True, False
    assert isinstance(await house.ask("refund"), Miss)
    house.noted.takes = True
    house.semantic.may_check = lambda task: task != "triage"
    house.chance = 0.99  # also where it would not be drawn: else the checked ones would not be a fair sample
    assert isinstance(await house.ask("refund"), Miss)
    house.semantic.may_check = lambda _task: True
    assert isinstance(await house.ask("refund"), Hit)


@pytest.mark.parametrize(("chance", "drawn"), [(0.49, True), (0.51, False)])
async def test_hits_are_drawn_with_the_probability_that_is_written(
    house: House, chance: float, drawn: bool
) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0]))
    house.chance = chance
    found = await house.ask("refund")
    assert isinstance(found, Hit)
    assert (found.drawn, found.check) == (drawn, 0.5)
    assert ("check" in found.told) == drawn


async def test_at_least_the_tasks_share_is_checked(house: House) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0]))
    house.semantic.stand(standings(0.9, check=0.001), {"g": Believing("g")})
    found = await house.ask("refund")
    assert isinstance(found, Hit)
    assert found.check == RULE.min_checks


async def test_an_entry_that_is_gone_or_over_is_not_served(house: House) -> None:
    await house.warm()
    kept = house.keep(an_entry(vector=[1, 0, 0]))
    await house.store.evict(Which(id=kept.id))
    found = await house.ask("refund")
    assert isinstance(found, Miss)
    assert found.why
    again = await house.ask("refund")
    assert isinstance(again, Miss)
    assert again.judgement is None  # it is forgotten
    house.keep(an_entry(vector=[1, 0, 0], expires_ms=NOW_MS + 5))
    assert isinstance(await house.ask("refund", now_ms=NOW_MS + 5), Miss)


async def test_what_others_evict_or_regroup_is_followed(house: House) -> None:
    await house.warm()
    one = house.keep(an_entry(vector=[1, 0, 0]))
    other = house.keep(an_entry(vector=[0.9, 0.1, 0], key=b"2" * 32))
    await house.store.database.write(lambda _conn: None)
    house.store.regroup(other.id, one.id)
    await house.store.evict(Which(id=one.id))
    await house.semantic.partitions.follow()
    index = house.semantic.partitions.peek(PARTITION)
    assert index is not None
    assert [(held.entry, held.answer) for held in index.held()] == [(other.id, one.id)]


@pytest.mark.parametrize("field", ["tenant", "task", "policy", "partition"])
async def test_an_entry_that_is_somebody_elses_is_never_served(house: House, field: str) -> None:
    """Also where an index holds what it must not: the last check is the entry's own words."""
    await house.warm()
    value = b"q" * 32 if field == "partition" else "other"
    foreign = an_entry(vector=[1, 0, 0], **{field: value})
    number = house.store.put(foreign)
    house.semantic.added(msgspec.structs.replace(foreign, id=number, partition=PARTITION))
    found = await house.ask("refund")
    assert isinstance(found, Miss)
    assert "somebody else" in found.why
    assert house.noted.hits == []


async def test_partitions_are_worlds_apart(house: House) -> None:
    await house.warm()
    await house.warm(partition=b"q" * 32)
    house.keep(an_entry(vector=[1, 0, 0]))
    found = await house.ask("refund", partition=b"q" * 32)
    assert isinstance(found, Miss)
    assert found.judgement is None


async def test_a_question_that_cannot_be_embedded_has_no_neighbours(house: House) -> None:
    await house.warm()
    rule = msgspec.structs.replace(RULE, embedder="another")
    found = await house.semantic.look_up(an_asking("refund", rule=rule), NOW_MS)
    assert isinstance(found, Miss)
    assert found.kept == (b"", "", b"")


async def test_an_answer_that_its_client_does_not_take_is_no_hit(house: House) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0]))
    found = await house.semantic.look_up(
        an_asking("refund"), NOW_MS, allows=lambda entry: entry.at_ms > NOW_MS
    )
    assert isinstance(found, Miss)
    assert found.why
    assert house.noted.hits == []


async def test_what_was_kept_before_a_restart_is_found_after_it(tmp_path: Path, house: House) -> None:
    kept = [house.keep(an_entry(vector=[1, 0, 0], key=bytes([n]) * 32)) for n in range(5)]
    await house.store.database.write(lambda _conn: None)
    embedding = await embedding_of(VECTORS)
    again = Semantic(house.store, house.noted, embedding, prior=Believing())
    again.stand(standings(0.9), {"g": Believing("g")})
    await again.look_up(an_asking("refund"), NOW_MS)
    for task in list(again.partitions._tasks):
        await task
    index = again.partitions.peek(PARTITION)
    assert index is not None
    assert sorted(held.entry for held in index.held()) == [entry.id for entry in kept]
    assert index.answer_of("billing") == kept[0].id
    await again.partitions.close()
    embedding.close()


async def test_no_more_hits_are_served_than_could_all_be_wrong(house: House) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0]))
    house.semantic.stand(standings(0.9, room=3), {"g": Believing("g")})
    found = [await house.ask("refund", call=f"c{n}") for n in range(5)]
    assert [isinstance(one, Hit) for one in found] == [True] * 3 + [False] * 2
    # another standing, which has read the first two, allows two in all: one more
    house.semantic.stand(standings(0.9, room=2, read="c1"), {"g": Believing("g")})
    again = [await house.ask("refund", call=f"d{n}") for n in range(2)]
    assert [isinstance(one, Hit) for one in again] == [True, False]
    house.semantic.stand(standings(0.9, room=1, read="c1"), {"g": Believing("g")})  # it has read no more
    assert isinstance(await house.ask("refund", call="e"), Miss)
    house.semantic.stand(standings(0.9, room=1, read="d0"), {"g": Believing("g")})
    assert isinstance(await house.ask("refund", call="f"), Hit)


async def test_a_probability_that_is_no_number_serves_nothing(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0]))
    judge = Believing.judge

    def broken(self: Believing, *given: Any) -> Any:
        found = judge(self, *given)
        return None if found is None else msgspec.structs.replace(found, probability=float("nan"))

    monkeypatch.setattr(Believing, "judge", broken)
    assert isinstance(await house.ask("refund"), Miss)
    assert house.noted.hits == []


async def test_what_was_proven_may_change_while_the_answer_is_read(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0]))
    by_id = house.store.by_id
    told = [Standings(), standings(0.9, room=0), standings(0.95), standings(0.9, guard="")]

    async def meanwhile(entry: int, now_ms: int) -> Entry | None:
        house.semantic.stand(told.pop(), {"g": Believing("g")})
        return await by_id(entry, now_ms)

    monkeypatch.setattr(house.store, "by_id", meanwhile)
    while told:
        house.semantic.stand(standings(0.9), {"g": Believing("g")})
        found = await house.ask("refund")
        assert isinstance(found, Miss)
        assert found.threshold is None
    assert house.noted.hits == []


async def test_what_changes_while_a_partition_is_read_is_not_lost(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = house.keep(an_entry(vector=[1, 0, 0]))
    other = house.keep(an_entry(vector=[0.9, 0.1, 0], key=b"2" * 32))
    await house.store.database.write(lambda _conn: None, after_s=0.5)
    read, told = house.store.texts_of, []

    async def meanwhile(entries: Any) -> dict[int, str]:
        if not told:
            told.append(entries)
            house.store.regroup(other.id, one.id)
            house.store.mark(one.id, refuted=1)
            await house.store.database.write(lambda _conn: None)
            await house.semantic.partitions.follow()
        return await read(entries)

    monkeypatch.setattr(house.store, "texts_of", meanwhile)
    await house.warm()
    index = house.semantic.partitions.peek(PARTITION)
    assert index is not None
    held = {each.entry: (each.answer, each.refuted) for each in index.held()}
    assert held == {one.id: (one.id, 1), other.id: (one.id, 0)}


async def test_partitions_that_grow_make_room_too(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partitions_module, "_ADDED", 5)
    monkeypatch.setattr(limits, "CACHE_VECTORS", 20)
    for partition in (b"q" * 32, PARTITION):
        await house.warm(partition=partition)
    for number in range(60):
        house.keep(an_entry(vector=[1, 0, number], key=number.to_bytes(32, "big"), partition=b"q" * 32))
    assert house.semantic.partitions.peek(PARTITION) is not None  # was asked for last
    assert house.semantic.partitions.peek(b"q" * 32) is None
    assert house.semantic.partitions.vectors == 0


async def test_an_answer_that_no_check_could_compare_is_not_given(house: House) -> None:
    await house.warm()
    house.keep(an_entry(vector=[1, 0, 0], text="x" * (limits.ASIDE_SCORED_CHARS + 1)))
    found = await house.ask("refund")
    assert isinstance(found, Miss)
    assert found.why
    assert house.noted.hits == []
