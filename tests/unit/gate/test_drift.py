"""Drift: found where there is one, told once, not found where there is none, and kept over restarts."""

from __future__ import annotations

import random

import msgspec
import pytest
from support.ledger import call

from smallfirst.gate.drift import (
    WINDOW_CALLS,
    InputMix,
    InputMixState,
    OutcomeDrift,
    OutcomeDriftState,
    features_of,
    psi,
)


def test_the_index_is_as_its_definition_says() -> None:
    assert psi({"a": 50, "b": 50}, {"a": 500, "b": 500}) == pytest.approx(0, abs=1e-6)
    # (.8 − .5) ln(.8/.5) + (.2 − .5) ln(.2/.5)
    assert psi({"a": 50_000, "b": 50_000}, {"a": 80_000, "b": 20_000}) == pytest.approx(0.4159, abs=1e-3)
    assert 0.25 < psi({"a": 500}, {"b": 500}) < 100  # new classes are far, and not infinitely far


def mix_of(
    lengths: list[str], state: InputMixState | None = None
) -> tuple[InputMix, list[tuple[str, float]]]:
    mix = InputMix(state)
    found = []
    for length in lengths:
        found += mix.add({"length": length})
    return mix, found


def draw(weights: list[int], windows: int, seed: int) -> list[str]:
    return random.Random(seed).choices(["7", "8", "9", "10", "11"], weights, k=windows * WINDOW_CALLS)


def test_a_mix_that_stays_is_no_drift() -> None:
    for seed in range(5):
        assert mix_of(draw([1, 4, 8, 4, 1], 8, seed))[1] == []


def test_a_mix_that_moves_is_told_once_and_again_after_it_came_back() -> None:
    usual, moved = [1, 4, 8, 4, 1], [8, 4, 1, 1, 4]
    lengths = draw(usual, 3, 1) + draw(moved, 3, 2) + draw(usual, 2, 3) + draw(moved, 1, 4)
    _, found = mix_of(lengths)
    assert [feature for feature, _ in found] == ["length", "length"]
    assert all(index > 0.25 for _, index in found)


def test_a_mix_is_kept_over_restarts() -> None:
    lengths = draw([1, 4, 8, 4, 1], 2, 1) + draw([8, 4, 1, 1, 4], 1, 2)
    whole, found = mix_of(lengths)
    parts, state = [], None
    for at in range(0, len(lengths), 333):
        mix, some = mix_of(lengths[at : at + 333], state)
        parts += some
        state = msgspec.json.decode(msgspec.json.encode(mix.state), type=InputMixState)
    assert parts == found != []
    assert state == whole.state


def outcomes(shares: list[tuple[float, int]], seed: int) -> list[float]:
    chance = random.Random(seed)
    return [float(chance.random() < share) for share, count in shares for _ in range(count)]


def test_a_rise_of_disagreement_is_found_and_a_fall_is_none() -> None:
    drift = OutcomeDrift()
    found = [risen for x in outcomes([(0.1, 800), (0.4, 400)], 1) if (risen := drift.add(x)) is not None]
    assert found
    before, after = found[0]
    assert before < after
    better = OutcomeDrift()
    assert all(better.add(x) is None for x in outcomes([(0.4, 800), (0.1, 400)], 2))


def test_disagreement_that_stays_is_seldom_called_a_rise() -> None:
    false = 0
    for seed in range(10):
        drift = OutcomeDrift()
        false += any(drift.add(x) is not None for x in outcomes([(0.15, 2000)], seed))
    assert false <= 1


def test_a_detector_that_was_saved_still_finds_the_rise() -> None:
    drift = OutcomeDrift()
    for x in outcomes([(0.1, 800)], 1):
        drift.add(x)
    saved = msgspec.json.decode(msgspec.json.encode(drift.state), type=OutcomeDriftState)
    again = OutcomeDrift(saved)
    assert any(again.add(x) is not None for x in outcomes([(0.5, 300)], 3))


def test_what_of_a_call_is_looked_at() -> None:
    told = features_of(
        call(prompt_bytes=700, decision={"by": "header", "judgement": {"unknown": "far"}}, rung=1)
    )
    assert told == {"length": "10", "by": "header", "rung": "1", "unknown": "yes"}
    assert "unknown" not in features_of(call(prompt_bytes=0))
