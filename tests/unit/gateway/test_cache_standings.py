"""What the keeper publishes takes effect whole, and what cannot be read changes nothing."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec
import pytest
from support.semantic import NOW_MS, Believing, standings

from smallfirst.cache.semantic.look_up import Guard
from smallfirst.cache.semantic.standing import FILE, Standings, folder_of
from smallfirst.errors import ReleaseError
from smallfirst.gate.cache_kept import write_standings
from smallfirst.gateway.cache.standings import StandingsFollower


class Stands:
    """In the place of `Semantic`."""

    def __init__(self) -> None:
        self.told: list[tuple[Standings, dict[str, Guard]]] = []

    def stand(self, told: Standings, guards: Mapping[str, Guard]) -> None:
        self.told.append((told, dict(guards)))


class Shelf:
    def __init__(self) -> None:
        self.loaded: list[str] = []
        self.broken = False

    def load(self, path: Path) -> Guard:
        if self.broken:
            raise ReleaseError("altered")
        self.loaded.append(path.stem)
        return Believing(path.stem)


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


async def test_a_guard_is_loaded_once_and_let_go_of(tmp_path: Path, shelf: Shelf) -> None:
    semantic = Stands()
    follower = StandingsFollower(tmp_path, semantic.stand, shelf.load)
    await follower.follow()
    assert semantic.told == []  # nothing was ever proven here
    for guard in ("g1", "g1", "g2", ""):
        write_standings(tmp_path, standings(0.9, guard=guard, lease_until_ms=NOW_MS + len(semantic.told)))
        await follower.follow()
        await follower.follow()  # the same file
    assert shelf.loaded == ["g1", "g2"]
    assert [list(guards) for _, guards in semantic.told] == [["g1"], ["g1"], ["g2"], []]


async def test_without_its_guard_a_standing_is_not_taken_up(tmp_path: Path, shelf: Shelf) -> None:
    semantic = Stands()
    follower = StandingsFollower(tmp_path, semantic.stand, shelf.load)
    shelf.broken = True
    write_standings(tmp_path, standings(0.9))
    await follower.follow()
    assert semantic.told == [(Standings(), {})]
    shelf.broken = False  # it is tried again, though the file is the same
    await follower.follow()
    assert semantic.told[1][0] == standings(0.9)


async def test_a_guard_that_cannot_be_loaded_costs_no_other_policy_its_standing(
    tmp_path: Path, shelf: Shelf
) -> None:
    semantic = Stands()
    follower = StandingsFollower(tmp_path, semantic.stand, shelf.load)
    other = standings(0.8, policy="other", guard="").policies["policy"]
    shelf.broken = True
    write_standings(tmp_path, Standings(policies=standings(0.9).policies | {"other": other}))
    await follower.follow()
    assert semantic.told[-1][0] == Standings(policies={"other": other})


async def test_a_file_that_cannot_be_read_changes_nothing(tmp_path: Path, shelf: Shelf) -> None:
    semantic = Stands()
    follower = StandingsFollower(tmp_path, semantic.stand, shelf.load)
    write_standings(tmp_path, standings(0.9))
    await follower.follow()
    (folder_of(tmp_path) / FILE).write_bytes(b"{")
    await follower.follow()
    assert len(semantic.told) == 1
    told = msgspec.structs.replace(standings(0.8))
    write_standings(tmp_path, told)
    await follower.follow()
    assert semantic.told[-1][0] == told
