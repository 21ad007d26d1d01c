"""What a miss's answer teaches: aliases, marks and observations; and what is no observation."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest
from support.semantic import NOW_MS, PARTITION, Believing, an_asking, an_entry, embedding_of, standings

from smallfirst import limits
from smallfirst.cache.entry import Entry
from smallfirst.cache.semantic.look_up import Hit, Miss, Semantic
from smallfirst.cache.semantic.observed import Observed, Row, read_rows
from smallfirst.cache.stores.sqlite_store import SqliteStore
from smallfirst.config.schema import Cache, Scorer, SemanticCache, TaskCache
from smallfirst.contracts import Contract, JsonContract, LabelContract, TextContract
from smallfirst.gateway.cache.counts import CacheCounts
from smallfirst.gateway.cache.learning import CacheLearning
from smallfirst.gateway.chosen import Chosen
from smallfirst.releases import Policy, RungPolicy
from smallfirst.wire.incoming import Incoming

VECTORS = {"refund": [1, 0, 0], "money back": [0.95, 0.3, 0], "weather": [0, 0, 1], "pay me": [0.9, 0.1, 0.2]}
LABELS = LabelContract(labels=("billing", "shipping"))
NUMBER = JsonContract(schema={"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]})


def chosen(contract: Contract = LABELS, *, same: float = 1.0, kind: str = "auto") -> Chosen:
    rung = RungPolicy(model="small", provider="p", upstream_id="small")
    cache = TaskCache(exact=True, semantic=SemanticCache(same=same))
    scorer = Scorer(kind=cast("Any", kind), model="m" if kind == "judge" else None)
    return Chosen(
        Policy(task="triage", contract=contract, ladder=(rung,), scorer=scorer, cache=cache), "model"
    )


class House:
    def __init__(self, state: Path, store: SqliteStore, semantic: Semantic, learning: CacheLearning) -> None:
        self.state = state
        self.store = store
        self.semantic = semantic
        self.learning = learning
        self.counts = CacheCounts()
        self._calls = 0

    async def answer(self, question: str, text: str, by: Chosen | None = None, **fields: Any) -> Entry:
        """A miss on this question that was answered so, and what became of its entry."""
        self._calls += 1
        call = f"c{self._calls}"
        found = await self.semantic.look_up(an_asking(question, call=call), NOW_MS)
        assert isinstance(found, Miss)
        partition, kept, vector = found.kept
        told = {"partition": partition, "question": kept, "vector": vector, "text": text, "call": call}
        entry = msgspec.structs.replace(an_entry(key=call.encode().rjust(32)), **(told | fields))
        entry = msgspec.structs.replace(entry, id=self.store.put(entry))
        self.semantic.added(entry)
        self.learning.answered(cast("Any", None), by or chosen(), cast("Incoming", None), found, entry)
        await self.learned()
        after = await self.store.by_id(entry.id, NOW_MS)
        assert after is not None
        return after

    async def learned(self) -> None:
        while self.learning.waiting:
            await asyncio.sleep(0.005)
        await self.store.database.write(lambda _conn: None)

    async def loaded(self) -> None:
        await self.semantic.look_up(an_asking("refund"), NOW_MS)
        for task in list(self.semantic.partitions._tasks):
            await task

    def rows(self) -> list[Row]:
        return read_rows(self.state, "policy", after=0, most=100)[1]

    def held(self) -> dict[int, tuple[int, int, int]]:
        index = self.semantic.partitions.peek(PARTITION)
        assert index is not None
        return {held.entry: (held.answer, held.confirmed, held.refuted) for held in index.held()}


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    store = SqliteStore(tmp_path, Cache())
    observed = Observed(store.database)
    embedding = await embedding_of(VECTORS)
    semantic = Semantic(store, observed, embedding, prior=Believing())
    counts = CacheCounts()
    learning = CacheLearning(store, semantic, observed=observed, books=cast("Any", None), counts=counts)
    found = House(tmp_path, store, semantic, learning)
    found.counts = counts
    await found.loaded()
    yield found
    await learning.stop()
    await store.close()


async def test_an_answer_that_proves_equal_is_an_alias(house: House) -> None:
    first = await house.answer("refund", "billing")
    alias = await house.answer("money back", "billing")
    other = await house.answer("weather", "shipping")
    assert (first.group, alias.group, other.group) == (first.id, first.id, other.id)
    assert house.held() == {
        first.id: (first.id, 1, 0),  # confirmed by the alias
        alias.id: (first.id, 0, 0),  # that it was no answer to something improbable says nothing of it
        other.id: (other.id, 0, 0),
    }
    rows = house.rows()
    assert [(row.kind, row.entry, row.seen.right) for row in rows] == [
        ("miss", 0, False),  # nothing was near: a request all the same
        ("miss", first.id, True),
        ("miss", alias.id if rows[2].entry == alias.id else first.id, False),
    ]
    assert rows[0].seen.probability == 0
    assert rows[1].seen.probability > 0.9
    assert rows[1].seen.features


async def test_a_probable_candidate_that_was_wrong_bears_a_mark(house: House) -> None:
    first = await house.answer("refund", "billing")
    other = await house.answer("money back", "shipping")
    assert other.group == other.id
    assert house.held()[first.id] == (first.id, 0, 1)
    kept = await house.store.by_id(first.id, NOW_MS)
    assert kept is not None
    assert (kept.confirmed, kept.refuted) == (0, 1)


async def test_what_says_the_same_is_the_same_answer_however_far_it_is(house: House) -> None:
    first = await house.answer("refund", "billing")
    await house.answer("weather", "shipping")
    far = await house.answer("pay me", "shipping ")
    assert house.held()[far.id][0] != first.id
    assert house.held()[far.id][0] == far.group


async def test_answers_are_compared_by_the_tasks_scorer(house: House) -> None:
    by = chosen(NUMBER)
    first = await house.answer("refund", '{"n": 1}', by)
    alias = await house.answer("money back", '{ "n":1 }', by)
    other = await house.answer("pay me", '{"n": 2}', by)
    assert (alias.group, other.group) == (first.id, other.id)


async def test_texts_are_the_same_from_the_tasks_share_on(house: House) -> None:
    by = chosen(TextContract(), same=0.6)
    first = await house.answer("refund", "the money comes back in ten days", by)
    alias = await house.answer("money back", "your money comes back in ten days", by)
    assert alias.group == first.id
    strict = chosen(TextContract())
    other = await house.answer("pay me", "a money that comes back in ten days", strict)
    assert other.group == other.id


async def test_what_cannot_be_compared_is_no_observation(house: House) -> None:
    await house.answer("refund", "billing")
    await house.answer("money back", "billing", chosen(TextContract(), kind="judge"))
    await house.answer("pay me", "x" * (limits.ASIDE_SCORED_CHARS + 1), chosen(TextContract()))
    assert len(house.rows()) == 1
    assert house.counts.not_compared == {("judge",): 1, ("too_long",): 1}


async def test_a_hit_that_was_told_wrong_goes_and_those_with_its_answer_bear_the_mark(house: House) -> None:
    first = await house.answer("refund", "billing")
    alias = await house.answer("money back", "billing")
    house.semantic.stand(standings(0.5, guard=""), {})
    house.semantic._chance = lambda: 0.99
    found = await house.semantic.look_up(an_asking("money back", call="hit"), NOW_MS)
    assert isinstance(found, Hit)
    assert found.entry.id == alias.id
    await house.learning.told_bad("hit")
    await house.learning.told_bad("hit")  # told again
    await house.learning.told_bad("no call of ours")
    await house.learned()
    assert await house.store.by_id(alias.id, NOW_MS) is None
    assert house.held() == {first.id: (first.id, 1, 1)}
    assert [(row.kind, row.seen.right) for row in house.rows()[2:]] == [("hit", None), ("told", False)]


async def test_a_hit_that_was_not_released_is_taken_back(house: House) -> None:
    await house.answer("refund", "billing")
    house.semantic.stand(standings(0.5, guard=""), {})
    found = await house.semantic.look_up(an_asking("money back", call="hit"), NOW_MS)
    assert isinstance(found, Hit)
    house.learning.withdrawn(found)
    await house.learned()
    assert [row.kind for row in house.rows()] == ["miss"]


async def test_an_answer_that_was_wrong_too_often_is_not_served(house: House) -> None:
    first = await house.answer("refund", "billing")
    house.semantic.stand(standings(0.5, guard=""), {})
    for _ in range(3):
        house.learning._mark(PARTITION, first.id, right=False)
    found = await house.semantic.look_up(an_asking("money back"), NOW_MS)
    assert isinstance(found, Miss)
    assert found.judgement is not None
    assert (found.judgement.probability, bool(found.judgement.refused)) == (0, True)


@pytest.mark.parametrize(
    ("text", "unmet", "right", "stays"),
    [
        ("billing", False, True, True),
        ("shipping", False, False, False),
        ("I cannot say", True, False, False),  # what the policy says now is no answer at all
        (
            "x" * (limits.ASIDE_SCORED_CHARS + 1),
            False,
            False,
            True,
        ),  # it cannot be compared: wrong, and nothing is known of the entry
        (None, False, False, True),
    ],
)
async def test_a_check_that_finds_nothing_out_counts_as_wrong(
    house: House, monkeypatch: pytest.MonkeyPatch, text: str | None, unmet: bool, right: bool, stays: bool
) -> None:
    first = await house.answer("refund", "billing")
    house.semantic.stand(standings(0.5, guard=""), {})
    house.semantic._chance = lambda: 0.0
    found = await house.semantic.look_up(an_asking("money back", call="hit"), NOW_MS)
    assert isinstance(found, Hit)
    assert found.drawn

    async def asked(_job: object) -> tuple[None, Any, str]:
        return None, Answered(text, unmet), "" if text is not None else "upstream"

    monkeypatch.setattr(house.learning, "_asked", asked)
    draft = cast("Any", Answered(None, False))
    incoming = Incoming(
        "chat", b'{"model": "task/triage", "messages": [{"role": "user", "content": "money back"}]}'
    )
    house.learning.released(cast("Any", None), chosen(), incoming, found, draft)
    await house.learned()
    assert [(row.kind, row.seen.right) for row in house.rows()[1:]] == [("hit", right)]
    assert (await house.store.by_id(first.id, NOW_MS) is not None) == stays


class Answered:
    """What a spot check got, and the draft of the call that it is of."""

    id = tenant = key = conversation = "x"
    trainable = False

    def __init__(self, text: str | None, unmet: bool) -> None:
        self.text, self.unmet = text, unmet
