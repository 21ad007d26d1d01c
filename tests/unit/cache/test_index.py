"""The nearest entries of a partition: those that a plain search finds, whatever was added, removed and replaced before."""

from __future__ import annotations

import numpy as np
import pytest
from support.semantic import NOW_MS, an_entry, unit

from smallfirst import limits
from smallfirst.cache.semantic import index as index_module
from smallfirst.cache.semantic.index import Index

DIMENSIONS = 32


def vectors(count: int, seed: int = 0) -> np.ndarray:
    drawn = np.random.default_rng(seed).normal(size=(count, DIMENSIONS))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def by_hand(rows: dict[int, np.ndarray], wanted: np.ndarray, most: int) -> list[int]:
    scored = {
        number: float(row.astype(np.float16).astype(np.float32) @ wanted) for number, row in rows.items()
    }
    return sorted(scored, key=lambda number: -scored[number])[:most]


def near(index: Index, wanted: np.ndarray, most: int = 5, now_ms: int = NOW_MS) -> list[int]:
    return [one.entry for one in index.nearest(wanted, most, now_ms)]


def test_what_is_nearest_after_any_number_of_changes() -> None:
    index, rows, drawn = Index(DIMENSIONS), {}, np.random.default_rng(1)
    pool = vectors(400)
    for step, vector in enumerate(pool, start=1):
        if rows and drawn.random() < 0.4:
            gone = int(drawn.choice(list(rows)))
            del rows[gone]
            index.remove(gone)
        number = int(drawn.integers(1, 150))  # some replace what was there
        rows[number] = vector
        index.add(an_entry(id=number, vector=vector))
        assert len(index) == len(rows)
        if step % 20 == 0:
            wanted = pool[int(drawn.integers(len(pool)))]
            assert near(index, wanted) == by_hand(rows, wanted, 5)


def test_a_graph_finds_what_was_added_and_never_what_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "EXACT_BELOW", 300)
    index, pool = Index(DIMENSIONS), vectors(900)
    rows = {number: pool[number - 1] for number in range(1, 601)}
    for number, vector in rows.items():
        index.add(an_entry(id=number, vector=vector))
    assert index.worn
    build = index.building()
    for number in range(601, 701):  # while it is built
        rows[number] = pool[number - 1]
        index.add(an_entry(id=number, vector=rows[number]))
    for number in range(1, 101):
        del rows[number]
        index.remove(number)
    index.take(build())
    assert not index.worn
    for number in range(101, 151):  # replaced afterwards
        rows[number] = pool[number + 600]
        index.add(an_entry(id=number, vector=rows[number]))
    found = [near(index, wanted) for wanted in pool[:200]]
    right = [by_hand(rows, wanted, 5) for wanted in pool[:200]]
    assert all(set(some) <= set(rows) for some in found)
    overlap = [len(set(one) & set(other)) / 5 for one, other in zip(found, right, strict=True)]
    assert np.mean(overlap) > 0.9
    assert all(near(index, rows[number])[0] == number for number in list(rows)[:50])
    for number in list(rows)[:300]:
        index.remove(number)
    assert index.worn  # too many ghosts


def test_what_is_over_is_not_near() -> None:
    index = Index(2)
    index.add(an_entry(id=1, vector=[1, 0], expires_ms=NOW_MS + 10))
    index.add(an_entry(id=2, vector=[1, 1], expires_ms=NOW_MS + 1000))
    assert near(index, unit([1, 0])) == [1, 2]
    assert near(index, unit([1, 0]), now_ms=NOW_MS + 10) == [2]
    assert len(index) == 1


def test_of_too_many_the_oldest_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CACHE_PARTITION_VECTORS", 3)
    index = Index(2)
    for number in range(1, 6):
        index.add(an_entry(id=number, vector=[number, 1]))
    assert sorted(near(index, unit([1, 0]))) == [3, 4, 5]


def test_a_vector_of_another_length_is_left_out() -> None:
    index = Index(3)
    index.add(an_entry(id=1, vector=[1, 0]))
    assert len(index) == 0
    assert near(index, unit([1, 0, 0])) == []


def test_answers_are_grouped_by_what_they_say() -> None:
    index = Index(2)
    index.add(an_entry(id=1, vector=[1, 0], text="billing"))
    index.add(an_entry(id=2, vector=[0, 1], text="shipping"))
    assert index.answer_of(" billing\n") == 1
    assert index.answer_of("other") is None
    index.add(an_entry(id=3, vector=[1, 1], text="Billing."))
    index.regroup(3, 1)
    assert index.answer_of("Billing.") == 1
    answers = {one.entry: one.answer for one in index.nearest(unit([1, 0]), 5, NOW_MS)}
    assert answers == {1: 1, 2: 2, 3: 1}


def test_marks_come_back_with_the_candidates() -> None:
    index = Index(2)
    index.add(an_entry(id=1, vector=[1, 0], confirmed=2))
    index.mark(1, confirmed=1)
    index.mark(1, refuted=1)
    index.mark(9, refuted=1)  # not held
    (found,) = index.nearest(unit([1, 0]), 5, NOW_MS)
    assert (found.confirmed, found.refuted) == (3, 1)


def test_one_that_grew_too_large_waits_for_its_graph_and_finds_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_module, "EXACT_BELOW", 64)
    monkeypatch.setattr(index_module, "_WITHOUT_GRAPH", 128)
    index, rows = Index(4), np.random.default_rng(5).normal(size=(300, 4))
    for number, row in enumerate(rows, 1):
        index.add(an_entry(id=number, vector=row))
    assert index.worn
    assert not index.ready
    assert near(index, unit(rows[7]))[0] == 8
    for number in range(21, 301):
        index.remove(number)
    assert index.worn  # also where it is small again
    index.take(index.building()())
    assert index.ready
    assert near(index, unit(rows[7]))[0] == 8
