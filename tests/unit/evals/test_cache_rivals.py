"""The caches that ours is compared with do what they are said to do."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from smallfirst.evals.cache.decision import Decision, figures
from smallfirst.evals.cache.neighbours import Neighbours, Shelf
from smallfirst.evals.cache.rivals import ExactOnly, FixedThreshold
from smallfirst.evals.cache.stream import StreamRow
from smallfirst.evals.cache.vcache import Sigmoid, VCache


def quiet(step: str, done: int, total: int) -> None:
    """Nobody watches."""


def at_angles(*degrees: float) -> np.ndarray:
    """float32, [n, 2], of length 1."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def rows_of(*told: tuple[str, str] | tuple[str, str, bool]) -> list[StreamRow]:
    return [
        StreamRow(id=f"r{at}", text=one[0], answer_class=one[1], warm=len(one) > 2)
        for at, one in enumerate(told)
    ]


def served(decisions: Sequence[Decision]) -> list[int | None]:
    return [one.served for one in decisions]


def test_exact_only_gives_the_same_text_its_first_answer() -> None:
    rows = rows_of(("a", "x", True), ("a", "x"), ("b", "y"), ("b", "z"), ("A", "x"))
    method = ExactOnly(rows)
    decisions = list(method.replay())
    assert served(decisions) == [0, None, 2, None]
    told = figures(method, decisions, rows)
    assert (told.hit_rate, told.wrong_rate, told.exact_rate, told.wrong_exact_rate) == (0.5, 0.25, 0.5, 0.25)
    assert told.wrong_rate_low < 0.25 < told.wrong_rate_high
    assert told.kept is None


def test_a_fixed_threshold_serves_the_nearest_that_was_asked_for() -> None:
    rows = rows_of(("a", "x"), ("b", "x"), ("c", "y"), ("d", "y"))
    neighbours = Neighbours(at_angles(0, 20, 40, 41), told=quiet)
    # b is near to a and not stored: c, as near to b, is a miss; d is near to c
    method = FixedThreshold(rows, neighbours, threshold=float(np.cos(np.radians(25))))
    assert served(list(method.replay())) == [None, 0, None, 2]
    loose = FixedThreshold(rows, neighbours, threshold=float(np.cos(np.radians(45))))
    assert served(list(loose.replay())) == [None, 0, 0, 0]
    assert loose.lookup_us()[0] > 0


def test_warm_rows_are_stored_and_not_counted() -> None:
    rows = rows_of(("a", "x", True), ("b", "y", True), ("c", "y"))
    method = FixedThreshold(rows, Neighbours(at_angles(0, 1, 2), told=quiet), threshold=0.9)
    decisions = list(method.replay())
    assert served(decisions) == [1]
    assert figures(method, decisions, rows).requests == 1


@pytest.mark.parametrize("nearest", [1, 3, 500])
def test_the_nearest_stored_row_is_found_however_few_neighbours_are_known(nearest: int) -> None:
    chance = np.random.default_rng(nearest)
    vectors = chance.standard_normal((300, 8)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors[17] = 0
    shelf = Shelf(Neighbours(vectors, told=quiet, nearest=nearest))
    stored: list[int] = []
    for row in range(300):
        found = shelf.nearest(row)
        if not stored or row == 17:
            assert found is None
        else:
            cosines = vectors[stored] @ vectors[row]
            assert found is not None
            assert found[1] == pytest.approx(float(cosines.max()), abs=1e-5)
            assert shelf.nearest(row, least=found[1] + 0.01) is None
        if row % 3 != 1:
            shelf.put(row)
            stored += [row] if row != 17 else []


def test_vcache_learns_each_texts_own_threshold() -> None:
    sigmoid = Sigmoid()
    assert sigmoid.surely_right(1.0) == 0
    for cosine in np.linspace(0.7, 0.99, 30):
        sigmoid.observe(float(cosine), right=cosine > 0.85)
    low, high = sigmoid.surely_right(0.75), sigmoid.surely_right(0.97)
    assert low < 0.05 < 0.8 < high < 1
    for _ in range(100):
        sigmoid.observe(0.97, right=True)
    assert sigmoid.surely_right(0.97) > high


def test_vcache_stores_only_what_its_neighbour_answers_wrongly() -> None:
    rows = rows_of(*[(f"t{at}", "x" if at != 3 else "y") for at in range(6)])
    method = VCache(rows, Neighbours(at_angles(0, 1, 2, 30, 3, 31), told=quiet), delta=0.01)
    assert served(list(method.replay())) == [None] * 6
    assert method.stored_rows == [0, 3, 5]  # 5 is nearest to 3, which answers otherwise


def test_vcache_explores_as_often_as_its_bound_asks_for() -> None:
    chance = np.random.default_rng(4)
    right = chance.random(1500) < 0.9  # at one similarity: nothing can be told from it
    rows = rows_of(("first", "x"), *[(f"t{at}", "x" if good else f"y{at}") for at, good in enumerate(right)])
    vectors = at_angles(0, *[10.0] * 1500)
    method = VCache(rows, Neighbours(vectors[:, ::-1].copy(), told=quiet, nearest=4), delta=0.02)
    told = figures(method, list(method.replay()), rows)
    assert told.hit_rate > 0
    assert told.wrong_rate <= 0.02
