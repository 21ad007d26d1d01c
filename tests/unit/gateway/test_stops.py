"""Stops: a file that is there whole or not at all, what it hits, and what a gateway makes of it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from smallfirst import limits
from smallfirst.errors import StateError, Stopped
from smallfirst.gateway.stops import Stops, hits
from smallfirst.stops import FILE, Kind, Stop, change_stops, read_stops, stopped


class Call(msgspec.Struct):
    tenant: str = "acme"
    key: str = "web"
    task: str = "triage"
    asking: str = "mini"


def stop(kind: Kind, name: str = "", *, cut_ms: int = 0) -> Stop:
    return Stop(kind=kind, name=name, reason="a hunter2 reason", by="ops", since_ms=1, cut_ms=cut_ms)


def put(state: Path, *stops: Stop) -> None:
    change_stops(state, lambda now: stops)


def nobody(stop: Stop, why: Stopped) -> int:
    return 0


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (stop("all"), "this gateway"),
        (stop("tenant", "acme"), "tenant 'acme'"),
        (stop("key", "web"), "key 'web'"),
        (stop("task", "triage"), "task 'triage'"),
    ],
)
def test_a_call_that_is_hit_is_refused_and_told_the_scope_alone(
    tmp_path: Path, made: Stop, words: str
) -> None:
    put(tmp_path, made, stop("tenant", "other"))
    with pytest.raises(Stopped) as refused:
        Stops(tmp_path).check(Call())
    assert refused.value.message == f"{words} is stopped by an operator"
    assert not refused.value.is_model


def test_a_call_that_is_not_hit_goes_on(tmp_path: Path) -> None:
    put(tmp_path, stop("tenant", "other"), stop("key", "acme"), stop("task", "web"), stop("model", "large"))
    stops = Stops(tmp_path)
    stops.check(Call())
    stops.check(Call(task="", key=""))
    stops.check(Call(), "mini")
    with pytest.raises(Stopped) as refused:
        stops.check(Call(), "large")
    assert refused.value.is_model


def test_a_gateway_follows_the_file_and_keeps_the_object_that_models_look_at(tmp_path: Path) -> None:
    stops = Stops(tmp_path)
    models = stops.models
    put(tmp_path, stop("model", "mini"), stop("tenant", "acme"))
    stops.check(Call())  # not before it looks
    stops.follow(nobody)
    assert models == {"mini"}
    with pytest.raises(Stopped):
        stops.check(Call())
    put(tmp_path)
    stops.follow(nobody)
    assert not models
    stops.check(Call())


def test_calls_under_way_are_ended_once_for_each_time_that_was_asked_for(tmp_path: Path) -> None:
    stops = Stops(tmp_path)
    ended: list[tuple[str, int]] = []

    def cut(stop: Stop, why: Stopped) -> int:
        ended.append((stop.name, stop.cut_ms))
        return 1

    put(tmp_path, stop("tenant", "acme"))
    stops.follow(cut)
    assert ended == []
    change_stops(tmp_path, lambda now: stopped(now, stop("tenant", "acme", cut_ms=5)))
    stops.follow(cut)
    change_stops(tmp_path, lambda now: stopped(now, stop("key", "web")))  # another: nothing is ended again
    stops.follow(cut)
    assert ended == [("acme", 5)]
    Stops(tmp_path).follow(cut)  # a gateway that starts has no calls under way
    assert ended == [("acme", 5)]


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"{",
        b"[]",
        b'{"stops": [{"kind": "all"}]}',
        b"\xff\xfe",
        b'{"stops": [{"kind": "all", "name": "everything", "since_ms": 1}]}',  # would be shown, and stop nothing
        b'{"stops": [{"kind": "tenant", "since_ms": 1}]}',
        b'{"stops": []}' + b" " * limits.MAX_STOPS_BYTES,
    ],
    ids=lambda damage: str(damage[:40]),
)
def test_a_damaged_file_stops_a_start_and_leaves_a_gateway_that_runs_as_it_is(
    tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    put(tmp_path, stop("tenant", "acme"))
    stops = Stops(tmp_path)
    (tmp_path / FILE).write_bytes(damage)
    for _ in range(3):
        stops.follow(nobody)
    with pytest.raises(Stopped):
        stops.check(Call())
    assert len(caplog.records) == 1  # said once
    with pytest.raises(StateError, match=r"stops\.json is damaged .*delete it"):
        Stops(tmp_path)


def test_a_state_directory_that_is_gone_leaves_stops_as_they_are_and_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    state = tmp_path / "state"
    put(state, stop("tenant", "acme"))
    stops = Stops(state)
    state.rename(tmp_path / "moved")
    state.write_text("a file where the directory was")
    for _ in range(3):
        stops.follow(nobody)
    with pytest.raises(Stopped):
        stops.check(Call())
    assert len(caplog.records) == 1


def test_the_file_is_for_its_owner_and_another_reason_keeps_its_beginning(tmp_path: Path) -> None:
    put(tmp_path, stop("tenant", "acme", cut_ms=3))
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600
    later = Stop(kind="tenant", name="acme", reason="worse", by="boss", since_ms=9)
    _, after = change_stops(tmp_path, lambda now: stopped(now, later))
    assert after == read_stops(tmp_path)
    assert json.loads((tmp_path / FILE).read_bytes())["stops"] == [
        {"kind": "tenant", "name": "acme", "reason": "worse", "by": "boss", "since_ms": 1, "cut_ms": 3}
    ]


@pytest.mark.parametrize(
    ("made", "hit"),
    [
        (stop("all"), True),
        (stop("tenant", "acme"), True),
        (stop("tenant", "web"), False),
        (stop("key", "web"), True),
        (stop("task", "triage"), True),
        (stop("model", "mini"), True),
        (stop("model", "large"), False),
    ],
)
def test_what_a_stop_hits(made: Stop, hit: bool) -> None:
    assert hits(made, Call()) is hit
