"""The keeper of semantic hits: what it reads counts once, what could not be checked counts as wrong, and what it publishes is what is proven."""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from support.rollout import CONFIG

from smallfirst import limits
from smallfirst.cache.semantic.observed import Observed
from smallfirst.cache.semantic.seen import Observation
from smallfirst.cache.semantic.standing import Standing, guard_path, read_standings
from smallfirst.cache.stores.database import FILE, Database
from smallfirst.config.schema import Config, Learning, SemanticCache, TaskCache
from smallfirst.errors import StateError
from smallfirst.gate import cache_fitting
from smallfirst.gate.cache_kept import read_kept, write_kept
from smallfirst.gate.controller_cache import CacheKeeper
from smallfirst.releases import (
    BASELINE,
    Releases,
    change_channels,
    moves,
    read_channels,
    release_from_config,
)
from smallfirst.releases.channels import Live
from smallfirst.training.cache.refit import FIRST_AT

AT_MS = 1_800_000_000_000
RULE = SemanticCache(delta=0.2, min_checks=0.1)


def cached(rule: SemanticCache) -> Config:
    task = msgspec.structs.replace(
        CONFIG.tasks["triage"], cache=TaskCache(exact=True, semantic=rule), margin=0.3
    )
    return msgspec.structs.replace(CONFIG, tasks={"triage": task})


class House:
    """A release with a semantic cache that is live, evidence as a gateway would write it, and a keeper with a clock."""

    def __init__(self, state: Path, rule: SemanticCache = RULE) -> None:
        self.state = state
        self.config = cached(rule)
        self.now_ms = AT_MS
        self.events: list[tuple[str, dict[str, Any]]] = []
        release = release_from_config(self.config)
        name, _ = Releases(state).save(release)
        self.policy = release.policies["triage"].hash
        self.go_live(name)
        self.database = Database(state)
        self.observed = Observed(self.database, now_ms=lambda: self.now_ms)
        self.keeper = self.another()
        self._calls = 0
        self._chance = random.Random(3)

    def go_live(self, name: str) -> None:
        live = Live(release=name, unproven="" if name == BASELINE else "a test")
        change_channels(self.state, lambda channels: moves.live_at_once(channels, live))

    def another(self) -> CacheKeeper:
        return CacheKeeper(
            self.state, self.config, lambda *event: self.events.append(event), now_ms=lambda: self.now_ms
        )

    def call(self) -> str:
        self._calls += 1
        return f"c{self._calls}"

    def misses(self, count: int, *, right: bool = True, probability: float = 0.97) -> None:
        for _ in range(count):
            seen = Observation(
                probability=probability, threshold=None, hit=False, check=1.0, right=right, features=(1.0,)
            )
            self.observed.missed(self.policy, self.call(), seen, entry=1)

    def hits(self, count: int, *, drawn: bool = False, right: bool | None = None) -> list[str]:
        calls = [self.call() for _ in range(count)]
        for call in calls:
            seen = Observation(probability=0.97, threshold=0.9, hit=True, check=0.5, right=None)
            assert asyncio.run(self.observed.hit(self.policy, call, seen, drawn=drawn, entry=1))
            if right is not None:
                self.observed.checked(call, right=right)
        return calls

    def turn(self, after_ms: int = 500) -> Standing:
        future = self.database.submit(lambda _conn: None)
        assert future is not None
        future.result()
        self.now_ms += after_ms
        self.keeper.turn()
        return self.standing

    @property
    def standing(self) -> Standing:
        return read_standings(self.state).policies[self.policy]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    made = House(tmp_path)
    yield made
    made.database.close()


def test_it_opens_on_evidence_and_not_before(house: House) -> None:
    first = house.turn()
    assert first.threshold is None
    assert first.why
    assert first.room == 0
    house.misses(200)
    opened = house.turn()
    assert opened.threshold is not None
    assert opened.room > 0
    assert (opened.figures.requests, opened.figures.hits) == (200, 0)
    assert opened.lease_until_ms == house.now_ms + round(limits.CACHE_STANDING_LEASE_S * 1000)
    (event,) = house.events
    assert event[0] == "cache"
    assert (event[1]["how"], event[1]["task"]) == ("opened", "triage")


def test_wrong_candidates_never_open_it(house: House) -> None:
    for _ in range(100):
        house.misses(2)
        house.misses(2, right=False)
    assert house.turn().threshold is None


def test_hits_take_room_until_they_are_counted(house: House) -> None:
    house.misses(200)
    before = house.turn()
    house.hits(2, drawn=True, right=True)
    pending = house.hits(1, drawn=True)
    last = house.hits(3)[-1]
    waiting = house.turn()
    assert waiting.figures.hits == 2  # the others are behind a check that is not made
    assert waiting.read == last
    assert waiting.room <= before.room - 4 + 1
    house.observed.checked(pending[0], right=True)
    assert house.turn().figures.hits == 6


def test_a_check_that_was_never_made_is_a_wrong_hit(house: House) -> None:
    house.misses(200)
    house.turn()
    house.hits(1, drawn=True)
    patience_ms = round(limits.CACHE_CHECK_PATIENCE_S * 1000)
    assert house.turn(patience_ms - 1000).figures.hits == 0
    found = house.turn(2000).figures
    assert (found.hits, found.checked, found.wrong) == (1, 1, 1)


def test_wrong_hits_close_it_by_itself_and_the_ledger_is_told(house: House) -> None:
    house.misses(200)
    assert house.turn().threshold is not None
    house.now_ms += 120_000
    house.hits(60, drawn=True, right=False)
    closed = house.turn()
    assert closed.threshold is None
    assert closed.why
    assert [detail["how"] for _, detail in house.events] == ["opened", "closed"]
    house.now_ms += 120_000
    house.misses(1500)
    assert house.turn().threshold is not None  # enough requests have passed
    assert [detail["how"] for _, detail in house.events] == ["opened", "closed", "reopened"]


def test_a_clients_word_counts_as_a_wrong_hit(house: House) -> None:
    house.misses(200)
    house.turn()
    (call,) = house.hits(1)
    house.turn()
    asyncio.run(house.observed.told_wrong(call))
    found = house.turn().figures
    assert (found.requests, found.hits, found.wrong) == (201, 1, 1)


def test_another_keeper_goes_on_where_one_died_and_counts_nothing_twice(house: House) -> None:
    house.misses(150)
    house.hits(4, drawn=True, right=True)
    before = house.turn()
    house.keeper = house.another()
    house.misses(10)
    after = house.turn()
    assert after.figures.requests == before.figures.requests + 10
    assert after.figures.checked == 4
    house.keeper = house.another()
    assert house.turn().figures == after.figures


def test_evidence_of_a_file_that_was_begun_anew_is_added(house: House) -> None:
    house.misses(50)
    house.turn()
    for suffix in ("", "-wal", "-shm"):
        (house.state / (FILE + suffix)).unlink(missing_ok=True)
    house.misses(7)
    assert house.turn().figures.requests == 57


def test_a_lease_is_renewed_before_it_ends_and_not_all_the_time(house: House) -> None:
    house.misses(200)
    house.turn()
    first = house.turn()
    assert house.turn(1000) == first
    assert house.turn(5000).lease_until_ms > first.lease_until_ms


def test_what_is_not_served_any_more_has_no_standing_and_finds_its_evidence_again(house: House) -> None:
    house.misses(200)
    assert house.turn().threshold is not None
    name = read_channels(house.state).live.release
    house.go_live(BASELINE)  # which has no cache
    house.now_ms += 1000
    house.keeper.turn()
    assert read_standings(house.state).policies == {}
    house.go_live(name)
    assert house.turn().figures.requests == 200


def test_a_state_that_cannot_be_read_is_an_error_and_nothing_is_published(house: House) -> None:
    house.misses(200)
    published = house.turn()
    path = house.state / "cache" / f"{house.policy}.json"
    path.write_text("{")
    house.keeper = house.another()
    with pytest.raises(StateError, match="delete it"):
        house.turn(10_000)
    assert house.standing == published  # whose lease runs out


def test_hits_that_were_lost_with_their_file_count_as_wrong(house: House) -> None:
    house.misses(200)
    house.turn()
    house.hits(1, drawn=True)  # not checked yet
    house.hits(3)
    assert house.turn().figures.hits == 0
    house.keeper = house.another()
    for suffix in ("", "-wal", "-shm"):
        (house.state / (FILE + suffix)).unlink(missing_ok=True)
    house.keeper.turn()  # there is no file at all
    house.misses(7)
    found = house.turn().figures
    assert (found.requests, found.hits, found.wrong) == (211, 4, 4)


def test_hits_need_not_be_checked_more_than_the_bound_needs(tmp_path: Path) -> None:
    rule = msgspec.structs.replace(RULE, min_checks=0.0)
    house = House(tmp_path, rule)
    house.misses(200)
    opened = house.turn()
    assert opened.threshold is not None
    assert opened.check > 0
    house.database.close()


def test_a_damaged_row_ends_nothing(house: House) -> None:
    house.misses(200)
    house.hits(1)
    damage = "UPDATE observed SET chance = 0, probability = 7 WHERE kind = 'hit' OR seq = (SELECT min(seq) FROM observed)"
    future = house.database.submit(lambda conn: conn.execute(damage) and None)
    assert future is not None
    future.result()
    found = house.turn().figures
    assert (found.requests, found.hits, found.wrong) == (200, 1, 1)


def test_evidence_of_another_version_is_counted_anew(house: House) -> None:
    house.misses(50)
    house.turn()
    kept = read_kept(house.state, house.policy)
    assert kept is not None
    kept.rule = msgspec.structs.replace(
        kept.rule, risk=msgspec.structs.replace(kept.rule.risk, requests=(1.0,))
    )
    write_kept(house.state, kept)
    house.keeper = house.another()
    assert house.turn().figures.requests == 50


@pytest.mark.parametrize("named", [False, True])
def test_no_guard_is_fitted_to_what_a_provider_answers_that_is_never_trained_on(
    house: House, named: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted: list[str] = []
    monkeypatch.setattr(cache_fitting, "fitted", lambda _state, policy, *_: fitted.append(policy) or "")
    learning = Learning(never_train_on=("p",) if named else ())
    house.keeper.config = msgspec.structs.replace(house.config, learning=learning)
    house.misses(FIRST_AT)
    assert house.turn().figures.requests == FIRST_AT  # it is counted all the same
    house.keeper.close()
    assert fitted == ([] if named else [house.policy])


def test_a_guard_that_is_gone_or_damaged_is_forgotten(house: House) -> None:
    house.misses(50)
    house.turn()
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"not it")):
        data = b"a guard"
        name = hashlib.sha256(data).hexdigest()
        path = guard_path(house.state, name)
        path.write_bytes(data)
        kept = read_kept(house.state, house.policy)
        assert kept is not None
        kept.guard, kept.fitted = name, 50
        write_kept(house.state, kept)
        house.keeper = house.another()
        assert house.turn().guard == name
        damage(path)
        house.keeper = house.another()
        assert house.turn().guard == ""
        assert not path.exists()


def test_standings_that_cannot_be_read_are_written_anew(house: House) -> None:
    house.go_live(BASELINE)  # which has no cache
    house.keeper.turn()
    path = house.state / "cache" / "standings.json"
    assert not path.exists()
    path.parent.mkdir()
    path.write_text("{")
    house.keeper.turn()
    assert read_standings(house.state).policies == {}
