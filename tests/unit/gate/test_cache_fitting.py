"""The guard is fitted again as observations grow, off the keeper's turn, and published by its hash."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from support.semantic import an_entry

from smallfirst.cache.semantic.guard import load_guard
from smallfirst.cache.semantic.observed import Observed
from smallfirst.cache.semantic.seen import Observation
from smallfirst.cache.semantic.standing import guard_path
from smallfirst.cache.stores.sqlite_store import SqliteStore
from smallfirst.config.schema import Cache, Config
from smallfirst.gate.cache_fitting import Fitting, known_of
from smallfirst.gate.cache_kept import Kept
from smallfirst.training.cache.refit import FIRST_AT
from smallfirst.training.cache.threshold import Threshold

CONFIG = Config()


def kept(known: int) -> Kept:
    rule = Threshold(0.1).state
    return Kept(task="triage", policy="policy", confidence=0.95, rule=rule, known=known)


async def evidence(state: Path) -> None:
    """Two answers, each in its own corner, and what was observed of them."""
    store, drawn = SqliteStore(state, Cache()), np.random.default_rng(1)
    observed = Observed(store.database)
    for number in range(80):
        vector = drawn.normal(size=8) * 0.2 + np.eye(8)[number % 2]
        told = {"text": ["billing", "shipping"][number % 2], "vector": vector}
        store.put(an_entry(key=number.to_bytes(32, "big"), question=f"text {number}", **told))
        seen = Observation(probability=0.9, threshold=None, hit=False, check=1.0, right=number % 5 > 0)
        observed.missed("policy", f"c{number}", seen, entry=1)
    await store.close()


async def test_a_guard_is_fitted_when_there_is_enough_and_again_when_there_is_more(tmp_path: Path) -> None:
    await evidence(tmp_path)
    fitting, state = Fitting(tmp_path), kept(FIRST_AT - 1)
    assert not fitting.turn(state, CONFIG)
    fitting.close()
    assert not fitting.turn(state, CONFIG)
    state.known = FIRST_AT
    assert not fitting.turn(state, CONFIG)  # begun, and not waited for
    fitting.close()
    assert fitting.turn(state, CONFIG)
    assert (state.fitted, len(state.guard)) == (FIRST_AT, 64)
    guard = load_guard(guard_path(tmp_path, state.guard))
    assert guard.sha256 == state.guard
    assert guard.metric is not None
    state.known += 5
    assert not fitting.turn(state, CONFIG)
    assert fitting._thread is None
    state.known += 50
    fitting.turn(state, CONFIG)
    fitting.close()
    assert fitting.turn(state, CONFIG)


async def test_without_entries_nothing_is_fitted_and_nothing_breaks(tmp_path: Path) -> None:
    fitting, state = Fitting(tmp_path), kept(FIRST_AT)
    fitting.turn(state, CONFIG)
    fitting.close()
    assert not fitting.turn(state, CONFIG)
    assert (state.guard, state.fitted) == ("", FIRST_AT)
    assert fitting._thread is None  # it is tried again with more, and not all the time


def test_old_guards_are_removed_but_those_that_are_named_and_the_latest(tmp_path: Path) -> None:
    folder = guard_path(tmp_path, "x").parent
    folder.mkdir()
    for number in range(20):
        guard_path(tmp_path, f"{number:064}").write_bytes(b"")
    named = f"{0:064}"
    Fitting(tmp_path).tidy([named])
    left = {path.stem for path in folder.iterdir()}
    assert named in left
    assert len(left) == 9


def test_what_says_the_same_is_one_answer_in_all_partitions() -> None:
    entries = [
        an_entry(id=1, group=1, vector=[1, 0], text="billing"),
        an_entry(id=2, group=1, vector=[1, 0.1], text="Billing."),  # found equal
        an_entry(id=3, group=3, vector=[0, 1], text="shipping"),
        an_entry(id=4, group=4, vector=[1, 0.2], text="billing", partition=b"q" * 32),
        an_entry(id=5, group=4, vector=[1, 0.3], text="billing!", partition=b"q" * 32),
        msgspec.structs.replace(an_entry(id=6), vector=b""),
    ]
    known = known_of(entries)
    assert known is not None
    assert known.answers.tolist() == [1, 1, 3, 1, 1]
    assert known.vectors.shape == (5, 2)
    assert known_of(entries[-1:]) is None
