"""Which rates a sweep measures, within which bounds, from what lengths; and what is kept of it."""

from __future__ import annotations

import json
import math
import stat
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.ledger import AT_MS, attempt, call, settlement

from smallfirst.chat import Usage
from smallfirst.errors import ConfigError, StateError
from smallfirst.ledger.ledger import Ledger
from smallfirst.planning.fleet import Engine, catalogue
from smallfirst.planning.fleet.calibrate import sweep
from smallfirst.planning.fleet.calibrate.engine_metrics import seen_in
from smallfirst.planning.fleet.calibrate.ledger_lengths import ledger_lengths
from smallfirst.planning.fleet.calibrate.lengths import Lengths, read_lengths
from smallfirst.planning.fleet.calibrate.measure import machine, server_of
from smallfirst.planning.fleet.calibrate.plan import Bounds, Plan
from smallfirst.planning.fleet.calibrate.point import Point, Shot, summary_of
from smallfirst.planning.fleet.calibrate.prompts import Prompts, TokenRate
from smallfirst.planning.fleet.calibrate.saved import (
    CALIBRATIONS,
    Calibration,
    Setting,
    begun,
    fit_of,
)
from smallfirst.planning.fleet.calibrate.sweep import next_rate
from smallfirst.planning.fleet.roofline import kv_capacity_tokens

LENGTHS = Lengths(input_tokens=100, output_tokens=10, source="as given")
PLAN = Plan(lengths=LENGTHS)


def point(rate: float, capacity: float, *, seconds: float = 30.0) -> Point:
    """A run of an endpoint that answers `capacity` requests a second, one after the other."""
    count, free_s, shots = round(rate * seconds), 0.0, []
    for at in range(count):
        due_s = (at + 0.5) / rate
        free_s = max(free_s, due_s) + 1 / capacity
        shot = Shot(due_s, 100, 10, wanted_tokens=10, sent_s=due_s)
        if free_s < 2 * seconds:
            shot.first_s, shot.seen_s, shot.seen_tokens, shot.ended = (
                free_s - 0.5 / capacity,
                free_s,
                10,
                True,
            )
        shots.append(shot)
    return Point(rate_per_s=rate, seconds=seconds, warm_s=6, ended_s=2 * seconds, shots=tuple(shots))


def swept(plan: Plan, capacity: float, first: float = 1.0) -> list[float]:
    points: list[Point] = []
    while (rate := next_rate(plan, first, points)) is not None:
        points.append(point(rate, capacity))
        assert len(points) < 40
    return [each.rate_per_s for each in points]


def test_a_run_below_capacity_keeps_up_and_one_above_falls_behind() -> None:
    below, above = summary_of(point(9, 10)), summary_of(point(14, 10))
    assert not below.saturated
    assert below.achieved_per_s == pytest.approx(9)
    assert above.saturated
    assert above.achieved_per_s == pytest.approx(10, rel=0.05)
    assert above.output_tokens_per_s == pytest.approx(100, rel=0.05)


def test_few_requests_tell_by_their_waits_that_it_falls_behind() -> None:
    found = summary_of(point(1.4, 1, seconds=20))
    assert found.ttft_growth == pytest.approx(0.4, rel=0.1)
    assert found.saturated
    assert summary_of(point(0.9, 1, seconds=20)).ttft_growth == pytest.approx(0, abs=0.01)


def test_rates_double_until_it_falls_behind_and_are_then_halved() -> None:
    rates = swept(PLAN, 10)
    assert rates[:5] == [1, 2, 4, 8, 16]
    assert all(8 < rate < 16 for rate in rates[5:])
    assert 2 <= len(rates) - 5 <= 3
    limit = min(rate for rate in rates if rate > 10)
    assert limit < 1.25 * max(rate for rate in rates if rate < 10)


def test_a_first_rate_that_is_too_much_is_halved() -> None:
    rates = swept(PLAN, 3, first=16)
    assert rates[:4] == [16, 8, 4, 2]
    assert rates[4:]
    assert all(2 < rate < 4 for rate in rates[4:])


def test_rates_that_were_named_are_those_that_are_measured_once() -> None:
    plan = msgspec.structs.replace(PLAN, rates=(4.0, 1.0, 50.0))
    assert swept(plan, 10) == [4, 1, 50]
    assert next_rate(plan, 1.0, [point(1, 10), point(4, 10)]) == 50


def test_an_endpoint_that_answers_nothing_ends_the_sweep() -> None:
    assert len(swept(PLAN, 1e-6)) < 10


@pytest.mark.parametrize(
    ("bounds", "told"),
    [
        (Bounds(calls=100), "--max-calls"),
        (Bounds(minutes=0.4), "--max-minutes"),
        (Bounds(usd=0.001, usd_per_million=(1.0, 1.0)), "--max-usd"),
    ],
)
def test_nothing_is_sent_that_would_go_beyond_a_bound(bounds: Bounds, told: str) -> None:
    plan = msgspec.structs.replace(PLAN, bounds=bounds)
    assert told in sweep._too_much(plan, [], 4.0, 30.0, 0.0)
    assert not sweep._too_much(PLAN, [], 4.0, 30.0, 0.0)


def test_prompts_of_a_rate_are_held_within_memory() -> None:
    plan = msgspec.structs.replace(PLAN, lengths=Lengths(input_tokens=1_000_000, output_tokens=1))
    assert "tokens of prompts" in sweep._too_much(plan, [], 4.0, 30.0, 0.0)


def test_money_counts_what_was_asked_before() -> None:
    bounds = Bounds(usd=1.0, usd_per_million=(10.0, 100.0))
    plan = msgspec.structs.replace(PLAN, bounds=bounds)
    points = [point(10, 100)]
    assert sweep.usd_of(plan, points) == pytest.approx(300 * (100 * 10 + 10 * 100) / 1e6)
    assert "$0.84" not in sweep._too_much(plan, points, 4.0, 30.0, 0.0)
    assert "would come to $1.20" in sweep._too_much(plan, points, 10.0, 30.0, 0.0)


def test_few_or_long_answers_are_measured_longer() -> None:
    assert PLAN.seconds_at(10, 0.5) == 30
    assert PLAN.seconds_at(0.5, 0.5) == 80
    assert PLAN.seconds_at(10, 3) == 60
    assert PLAN.seconds_at(0.01, 0.5) == 120


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"rates": (0.0,)}, "--rates"),
        ({"rates": (math.nan,)}, "--rates"),
        ({"rates": tuple(range(1, 60))}, "--rates"),
        ({"first_rate": -1.0}, "--first-rate"),
        ({"seconds": 0.0}, "--seconds"),
        ({"bounds": Bounds(calls=0)}, "--max-calls"),
        ({"bounds": Bounds(minutes=math.inf)}, "--max-minutes"),
        ({"bounds": Bounds(usd=1.0)}, "--price"),
        ({"lengths": Lengths(input_tokens=0, output_tokens=1)}, "--input-tokens"),
        ({"lengths": Lengths(input_tokens=1, output_tokens=math.nan)}, "--output-tokens"),
        ({"lengths": Lengths(input_tokens=1, output_tokens=1, spread=-1)}, "--spread"),
        ({"lengths": Lengths(input_tokens=1, output_tokens=1, shared_share=1)}, "--shared-share"),
    ],
)
def test_a_wrong_option_is_named(change: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        msgspec.structs.replace(PLAN, **change).checked()


# Lengths.


def test_lengths_are_drawn_around_their_means() -> None:
    drawn = Lengths(input_tokens=800, output_tokens=200, spread=0.5).drawn(4000, np.random.default_rng(1))
    read, written = np.array(drawn).T
    assert (read.mean(), written.mean()) == (pytest.approx(800, rel=0.03), pytest.approx(200, rel=0.03))
    assert read.std() / read.mean() == pytest.approx(0.5, rel=0.1)
    assert Lengths(input_tokens=7.6, output_tokens=1).drawn(2, np.random.default_rng(1)) == [(8, 1), (8, 1)]


@pytest.mark.parametrize(
    "text",
    [
        "input_tokens,output_tokens\n10,2\n30,4\n",
        '{"input_tokens": 10, "output_tokens": 2, "model": "x"}\n\n{"input_tokens": 30, "output_tokens": 4}\n',
        "\ufeffday,output_tokens,input_tokens\n1,2,10\n2,4,30\n",
    ],
)
def test_recorded_lengths_are_drawn_as_they_are(tmp_path: Path, text: str) -> None:
    (tmp_path / "lengths").write_text(text, "utf-8")
    found = read_lengths(tmp_path / "lengths")
    assert (found.input_tokens, found.output_tokens) == (20, 3)
    assert set(found.drawn(50, np.random.default_rng(0))) == {(10, 2), (30, 4)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ":1: has no column input_tokens"),
        ("input_tokens,output_tokens\n", "no lengths"),
        ("input_tokens,output_tokens\n10,\n", ":2: output_tokens: expected a whole number"),
        ("input_tokens,output_tokens\n10\n", ":2: output_tokens: is missing"),
        ("input_tokens,output_tokens\n1,2\n-3,2\n", ":3: input_tokens: expected"),
        ("input_tokens,output_tokens\n" + "9" * 5000 + ",2\n", ":2: input_tokens: expected"),
        ('{"input_tokens": 1.5, "output_tokens": 2}', ":1: input_tokens: expected"),
        ('{"input_tokens": true, "output_tokens": 2}', ":1: input_tokens: expected"),
        ('{"input_tokens": 1, "output_tokens": 2}\n{"input', ":2: is no JSON object"),
        ("{" + '"a":[' * 100_000, ":1: is no JSON object"),
    ],
)
def test_a_wrong_line_of_lengths_is_named(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "lengths").write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=told):
        read_lengths(tmp_path / "lengths")


def test_lengths_that_are_not_there_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_lengths(tmp_path / "none")


def test_the_ledgers_lengths_are_those_of_the_answer(tmp_path: Path) -> None:
    ledger = Ledger.open(tmp_path)
    for number in range(3):
        failed = attempt(0, status="timeout", usage=Usage(input_tokens=900))
        good = attempt(1, usage=Usage(input_tokens=100 + number, output_tokens=5))
        ledger.journal.append_settlement(settlement(call(failed, good, at_ms=AT_MS + number, task="sort")))
    ledger.close()
    with Ledger.read(tmp_path) as ledger:
        found = ledger_lengths(ledger, task="sort")
        assert sorted(found.recorded) == [(100, 5), (101, 5), (102, 5)]
        with pytest.raises(StateError, match="'other'"):
            ledger_lengths(ledger, task="other")


# Prompts.


def test_prompts_have_the_words_that_were_wanted(tmp_path: Path) -> None:
    rate = TokenRate(tokens_per_word=1.25, fixed_tokens=10)
    assert rate.words(135) == 100
    assert rate.words(1) == 1
    assert len(Prompts().make(100).split()) == 100
    assert (
        len(Prompts().make(100, shared_words=40).split()) == 101
    )  # what is shared begins with the run's name
    (tmp_path / "text").write_text(" ".join(f"w{at}" for at in range(60)))
    own = Prompts(text=tmp_path / "text").make(30).split()
    assert len(own) == 30
    assert int(own[2][1:]) == (int(own[1][1:]) + 1) % 60
    (tmp_path / "text").write_text("too short")
    with pytest.raises(ConfigError, match="has 2 words"):
        Prompts(text=tmp_path / "text")


def test_another_run_has_other_beginnings() -> None:
    assert Prompts(seed=1).make(9).split()[0] != Prompts(seed=1).make(9).split()[0]
    assert Prompts(seed=1).make(9).split()[1:] == Prompts(seed=1).make(9).split()[1:]


# What an engine says of itself.


def test_an_engines_page_is_read() -> None:
    seen = seen_in(
        '# HELP x\nvllm:num_requests_running{engine="0"} 3.0\nvllm:num_requests_running{engine="1"} 2\n'
        'vllm:num_requests_waiting{engine="0"} 1e1\nvllm:gpu_cache_usage_perc 0.5\nnot a line\n'
        'vllm:cache_config_info{block_size="16",num_gpu_blocks="100"} 1.0\nvllm:num_requests_waiting x\n'
    )
    assert (seen.running, seen.waiting, seen.kv_usage, seen.kv_tokens) == (5, 10, 0.5, 1600)
    assert seen_in("").running is None
    assert seen_in('vllm:cache_config_info{num_gpu_blocks="None"} 1').kv_tokens is None


# The machine, and what is kept.


def setting(gpu: str = "H100", **change: object) -> Setting:
    found, engine = machine(gpu)
    made = Setting(
        endpoint="http://127.0.0.1:1/v1",
        model="m",
        gpu=found,
        shape=catalogue.model("llama-3.1-8b"),
        engine=engine,
        lengths=LENGTHS,
        seed=0,
    )
    return msgspec.structs.replace(made, **change)


@pytest.mark.parametrize("gpu", ["H100", "other"])
def test_the_room_is_what_the_engine_says(gpu: str) -> None:
    assert kv_capacity_tokens(server_of(setting(gpu), 50_000)) == pytest.approx(50_000)


def test_a_machine_that_cannot_be_is_told() -> None:
    with pytest.raises(ConfigError, match="--memory-gb: is for --gpu other"):
        machine("H100", memory_gb=80)
    with pytest.raises(ConfigError, match="--memory-gb: expected"):
        machine("other", memory_gb=-1)
    with pytest.raises(ConfigError, match="no GPU 'H1000'"):
        machine("H1000")
    with pytest.raises(ConfigError, match="weights"):
        machine("H100", engine=Engine(weights="int3"))


def made(name: str = "one", **change: object) -> Calibration:
    found = Calibration(
        name=name, made_ms=AT_MS, made_by="me", setting=setting(), points=(point(1, 10), point(90, 10))
    )
    return msgspec.structs.replace(found, **change)


def test_what_is_kept_comes_back_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = CALIBRATIONS.save(tmp_path, made())
    assert CALIBRATIONS.load(tmp_path, "one") == made()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert CALIBRATIONS.names(tmp_path) == ["one"]
    assert list(path.parent.iterdir()) == [path]
    CALIBRATIONS.remove(tmp_path, "one")
    assert CALIBRATIONS.names(tmp_path) == []


def test_one_that_was_begun_goes_on_only_with_the_same_setting(tmp_path: Path) -> None:
    assert begun(tmp_path, "one", setting(), replace=False) is None
    CALIBRATIONS.save(tmp_path, made())
    assert begun(tmp_path, "one", setting(), replace=False) == made()
    assert begun(tmp_path, "one", setting(seed=1), replace=True) is None
    changes: list[dict[str, Any]] = [
        {"model": "n"},
        {"seed": 1},
        {"lengths": Lengths(input_tokens=9, output_tokens=9)},
    ]
    for change in changes:
        with pytest.raises(ConfigError, match=f"another {next(iter(change))}"):
            begun(tmp_path, "one", setting(**change), replace=False)


def test_what_cannot_be_planned_with_is_told(tmp_path: Path) -> None:
    with pytest.raises(StateError, match="no calibration 'one'"):
        fit_of(tmp_path, "one")
    with pytest.raises(StateError, match="no calibration 'one'"):
        CALIBRATIONS.remove(tmp_path, "one")
    with pytest.raises(ConfigError, match="expected letters"):
        CALIBRATIONS.load(tmp_path, "../one")
    path = CALIBRATIONS.save(tmp_path, made())
    with pytest.raises(StateError, match="no fit yet"):
        fit_of(tmp_path, "one")
    for data, told in (
        (b"{}", "is no saved calibration"),
        (b"\xff", "is no saved calibration"),
        (json.dumps(json.loads(path.read_bytes()) | {"format": 9}).encode(), "format 9"),
        (json.dumps(json.loads(path.read_bytes()) | {"points": 1}).encode(), "is no saved calibration"),
    ):
        path.write_bytes(data)
        with pytest.raises(StateError, match=told):
            CALIBRATIONS.load(tmp_path, "one")
