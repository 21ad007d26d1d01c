"""Our cache in a replay: what is served, what is learned of it, and what is not."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from smallfirst.cache.semantic.guard import PRIOR, Guard
from smallfirst.cache.semantic.seen import Candidate, Judgement, Observation
from smallfirst.evals.cache.decision import figures
from smallfirst.evals.cache.evaluation import Wanted, embedded, in_hindsight, replayed
from smallfirst.evals.cache.keeper import Keeper
from smallfirst.evals.cache.replay import Ours
from smallfirst.evals.cache.stream import StreamRow
from smallfirst.training.cache.refit import FIRST_AT
from smallfirst.training.cache.threshold import Proven, Threshold


class Nearest(Guard):
    """Takes the nearest for right with a probability that is its cosine."""

    def judge(self, text: str, vector: np.ndarray, candidates: Sequence[Candidate]) -> Judgement | None:
        if not candidates:
            return None
        return Judgement(candidate=candidates[0], probability=max(0.0, candidates[0].similarity), features=())


class Scripted(Keeper):
    """Serves from a threshold that never changes, and keeps what it was told."""

    def __init__(
        self, rows: Sequence[StreamRow], vectors: np.ndarray, *, threshold: float | None, check: float
    ) -> None:
        super().__init__(rows, vectors, delta=0.1)
        self.guard = Nearest(weights=PRIOR.weights, bias=PRIOR.bias)
        self.seen: list[Observation] = []
        self.warm: list[Observation] = []
        self._always = (threshold, check)

    @property
    def standing(self) -> Proven:
        threshold, check = self._always
        empty = Threshold(0.1).proven()
        return Proven(
            threshold=threshold, check=check, bound=0.0, allowed=1.0, changes=0, why="", figures=empty.figures
        )

    def saw(self, seen: Observation) -> None:
        self.seen.append(seen)

    def warmed(self, seen: Observation) -> None:
        self.warm.append(seen)


def at_angles(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


def rows_of(*told: tuple[str, str]) -> list[StreamRow]:
    return [StreamRow(id=f"r{at}", text=text, answer_class=label) for at, (text, label) in enumerate(told)]


def replay(
    rows: Sequence[StreamRow], vectors: np.ndarray, *, threshold: float | None = 0.9, check: float = 1.0
) -> tuple[list[tuple[int | None, str, bool]], Scripted]:
    keeper = Scripted(rows, vectors, threshold=threshold, check=check)
    decisions = Ours(rows, vectors, delta=0.1, keeper=keeper).replay()
    return [(one.served, one.by, one.checked) for one in decisions], keeper


def test_without_a_standing_only_the_same_text_is_served_and_misses_teach() -> None:
    rows = rows_of(("a", "x"), ("b", "x"), ("c", "y"), ("a", "x"))
    found, keeper = replay(rows, at_angles(0, 1, 2, 0), threshold=None)
    assert found == [(None, "", False), (None, "", False), (None, "", False), (0, "exact", False)]
    assert [(one.hit, one.right, one.threshold) for one in keeper.seen] == [
        (False, False, None),  # there was no candidate
        (False, True, None),
        (False, False, None),
    ]
    assert keeper.seen[0].probability == 0


def test_what_a_check_finds_decides_what_is_stored() -> None:
    rows = rows_of(("a", "x"), ("b", "y"), ("c", "x"), ("d", "y"))
    found, keeper = replay(rows, at_angles(0, 1, 2, 3))
    # b is a wrong hit: a's entry goes and b's own answer stays, which c is given, and so on
    assert found == [(None, "", False), (0, "semantic", True), (1, "semantic", True), (2, "semantic", True)]
    assert [one.right for one in keeper.seen] == [False, False, False, False]
    assert all(one.check == 1 for one in keeper.seen[1:])


def test_a_hit_that_is_not_checked_tells_nothing_and_stores_nothing() -> None:
    rows = rows_of(("a", "x"), *[(f"t{at}", "y") for at in range(200)], ("t0", "y"))
    found, keeper = replay(rows, at_angles(0, *[1] * 201), check=0.0)
    unchecked = [one for one in keeper.seen[1:] if one.right is None]
    assert found[1][:2] == (0, "semantic")
    assert 150 < len(unchecked) < 200  # the least share is checked whatever the standing says
    assert {one.check for one in keeper.seen[1:]} == {0.02}


def test_unchecked_texts_are_no_exact_hits_later() -> None:
    rows = rows_of(("a", "x"), ("b", "x"), ("b", "x"))
    for seed in range(20):
        keeper = Scripted(rows, at_angles(0, 1, 1), threshold=0.9, check=0.0)
        found = list(Ours(rows, at_angles(0, 1, 1), delta=0.1, seed=seed, keeper=keeper).replay())
        assert [one.by for one in found] == ["", "semantic", "exact" if found[1].checked else "semantic"]


def test_scopes_never_share_an_answer() -> None:
    rows = [
        StreamRow(id="1", text="a", answer_class="x", scope="one"),
        StreamRow(id="2", text="a", answer_class="x", scope="two"),
        StreamRow(id="3", text="b", answer_class="x", scope="two"),
    ]
    found, _ = replay(rows, at_angles(0, 0, 1), check=0.0)
    assert found[0][0] is None
    assert found[1][0] is None
    assert found[2][0] == 1


def test_warm_rows_are_told_apart() -> None:
    rows = [StreamRow(id="w", text="a", answer_class="x", warm=True), *rows_of(("b", "x"))]
    found, keeper = replay(rows, at_angles(0, 1))
    assert found == [(0, "semantic", True)]
    assert (len(keeper.warm), len(keeper.seen)) == (1, 1)


def test_the_keeper_fits_a_guard_as_it_grows_and_proves_before_it_serves() -> None:
    chance = np.random.default_rng(1)
    labels = chance.integers(0, 3, 400)
    middles = np.eye(3, 8)
    vectors = (middles[labels] + 0.1 * chance.standard_normal((400, 8))).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    words = ("refund invoice", "crash error", "password login")
    fillers = ("please", "today", "again", "thanks", "hello", "quickly", "kindly", "now")
    texts = [" ".join((words[label], *chance.permutation(fillers)[:5].tolist())) for label in labels]
    rows = rows_of(*[(text, str(label)) for text, label in zip(texts, labels, strict=True)])
    keeper = Keeper(rows, vectors, delta=0.2)
    method = Ours(rows, vectors, delta=0.2, keeper=keeper)
    decisions = []
    for decision in method.replay():
        decisions.append(decision)
        assert len(decisions) > 10 or decision.served is None
        assert len(decisions) >= FIRST_AT or not keeper.guard.sha256
    told = figures(method, decisions, rows)
    assert keeper.guard.sha256
    assert told.hits > 50
    assert told.kept
    assert told.bound is not None
    assert told.wrong_rate <= told.bound <= 0.2


class Letters:
    """An embedder of two dimensions, for tests."""

    name, sha256, dimensions, slow = "letters", "0" * 64, 2, False

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        return at_angles(*(4 * len(text) for text in texts))


def test_interrupting_yields_what_was_done_and_then_stops() -> None:
    rows = rows_of(*[(f"{'t' * (at % 40)}{at}", "x") for at in range(300)])

    def progress(step: str, done: int, total: int) -> None:
        if step.startswith("fixed 0.9") and done >= 128:
            raise KeyboardInterrupt

    found = []
    with pytest.raises(KeyboardInterrupt):
        found.extend(replayed(rows, Wanted(thresholds=(0.8, 0.9)), Letters(), progress))
    assert [(one.name, one.figures.complete) for one in found] == [
        ("exact", True), ("fixed-0.80", True), ("fixed-0.90", False),
    ]  # fmt: skip
    assert found[-1].figures.requests == 128


def test_the_best_fixed_threshold_in_hindsight() -> None:
    rows = rows_of(*[(f"{'t' * (at % 40)}{at}", "x" if at % 40 < 20 else "y") for at in range(300)])
    told = [
        one.figures
        for one in replayed(rows, Wanted(methods=("fixed",)), Letters(), lambda step, done, total: None)
    ]
    best = in_hindsight(told, 0.05)
    assert best is not None
    assert best.wrong_rate <= 0.05
    assert all(one.hit_rate <= best.hit_rate for one in told if one.wrong_rate <= 0.05)
    assert in_hindsight(told, -1.0) is None


def test_texts_that_are_not_read_whole_have_no_vector() -> None:
    vectors = embedded(
        rows_of(("", "x"), ("a", "x"), ("b" * 5000, "x")), Letters(), lambda step, done, total: None
    )
    assert [bool(one.any()) for one in vectors] == [False, True, False]
