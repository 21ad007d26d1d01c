"""A policy's thresholds: which rungs they ask, and whose answers they look at again."""

from __future__ import annotations

import msgspec
import pytest

from smallfirst.routing.thresholds import ALWAYS, NEVER, UNKNOWN, Thresholds, frontier_only


def test_a_rung_is_asked_up_to_its_threshold() -> None:
    rule = Thresholds((0.1, 0.3), (0.0, 0.5))
    assert [rule.asks(0, (uplift, 9.0, 0.0)) for uplift in (-1.0, 0.1, 0.1000001)] == [True, True, False]
    assert [rule.asks(1, (9.0, uplift, 0.0)) for uplift in (0.3, 0.31)] == [True, False]


@pytest.mark.parametrize("uplift", [-1.0, 0.0, 1.0])
def test_never_and_always_mean_it_for_every_uplift(uplift: float) -> None:
    assert Thresholds((ALWAYS,), (0.0,)).asks(0, (uplift, 0.0))
    assert not Thresholds((NEVER,), (0.0,)).asks(0, (uplift, 0.0))


def test_what_is_unknown_is_asked_by_no_threshold() -> None:
    assert not Thresholds((ALWAYS,), (0.0,)).asks(0, (UNKNOWN, 0.0))


def test_only_a_threshold_makes_a_second_look() -> None:
    rule = Thresholds((ALWAYS, ALWAYS), (0.0, 0.5))
    assert [rule.looks_again(rung) for rung in range(3)] == [False, True, False], "the last is never judged"


@pytest.mark.parametrize("rungs", [1, 2, 3, 8])
def test_the_frontier_alone(rungs: int) -> None:
    rule = frontier_only(rungs)
    assert not any(rule.asks(rung, (-1.0,) * rungs) for rung in range(rungs - 1))
    assert len(rule.ask) == len(rule.accept) == rungs - 1


def test_thresholds_survive_json_to_the_bit() -> None:
    rule = Thresholds((0.1 + 0.2, 1 / 3), (5e-324, 0.9999999999999999))
    assert msgspec.json.decode(msgspec.json.encode(rule), type=Thresholds) == rule
