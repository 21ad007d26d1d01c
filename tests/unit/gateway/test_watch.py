"""The watch over a tenant's share of the frontier: found while it lasts, told once an hour, and silent on traffic that keeps its promise."""

from __future__ import annotations

import random
from typing import Any

import pytest

from smallfirst import limits
from smallfirst.answering.decide import Decision, Step
from smallfirst.contracts import TextContract
from smallfirst.gateway.watch import Watch
from smallfirst.releases.policy import Policy, RouterPolicy, RungPolicy
from smallfirst.routing.fitted import Bound
from smallfirst.routing.judgement import Judgement
from smallfirst.routing.thresholds import Thresholds

PROMISED = 0.3


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def policy(small_share: float = 1 - PROMISED) -> Policy:
    bound = Bound(
        kept=True,
        margin=0.02,
        confidence=0.95,
        examples=500,
        loss=0.0,
        loss_bound=0.02,
        small_share=small_share,
    )
    return Policy(
        task="t",
        contract=TextContract(),
        ladder=tuple(RungPolicy(model=name, provider="p", upstream_id=name) for name in ("small", "large")),
        router=RouterPolicy(
            weights_sha256="0" * 64,
            thresholds=Thresholds((0.5,), (0.0,)),
            embedder="e",
            embedder_sha256="1" * 64,
            bound=bound,
        ),
    )


def decision(*, unknown: str = "", outside: bool = False) -> Decision:
    judgement = Judgement(adequate=(0.9, 1.0), uplift=(0.1, 0.0), unknown=unknown)
    return Decision(
        task="t", steps=(Step(0, "small"), Step(1, "large")), judgement=judgement, outside_bound=outside
    )


class Traffic:
    """A watch, and calls of which a share goes to the frontier."""

    def __init__(self, seed: int = 1) -> None:
        self.told: list[dict[str, Any]] = []
        self.clock = Clock()
        self.watch = Watch(self.told.append, self.clock)
        self._draw = random.Random(seed)

    def flow(self, calls: int, share: float, *, tenant: str = "acme", unknown: str = "") -> None:
        for _ in range(calls):
            rung = int(self._draw.random() < share)
            self.watch.routed(tenant, policy(), decision(unknown=unknown), rung)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.1, PROMISED - 0.01])
def test_traffic_that_keeps_its_promise_is_no_alarm(seed: int, share: float) -> None:
    traffic = Traffic(seed)
    traffic.flow(4000, share)
    assert traffic.told == []


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("before", [150, 1000, 2500])
def test_a_flood_of_junk_is_found_before_it_has_moved_much(seed: int, before: int) -> None:
    traffic = Traffic(seed)
    traffic.flow(before, PROMISED - 0.05)
    assert traffic.told == []
    traffic.flow(600, 1.0, unknown="unlike anything seen (cosine 0.10)")
    (event,) = traffic.told
    assert (event["tenant"], event["task"]) == ("acme", "t")
    assert event["frontier_share"] > PROMISED - 0.05
    assert event["unknown_share"] < 0.45


@pytest.mark.parametrize("seed", range(5))
def test_a_flood_is_found_also_where_the_tenant_stays_below_what_was_promised(seed: int) -> None:
    traffic = Traffic(seed)
    traffic.flow(1000, 0.02)
    traffic.flow(600, 0.25)
    (event,) = traffic.told
    assert event["beyond"] == "usual"
    assert event["frontier_share"] < PROMISED


@pytest.mark.parametrize("seed", range(5))
def test_two_points_for_good_are_found_in_the_end(seed: int) -> None:
    traffic = Traffic(seed)
    traffic.flow(6000, PROMISED + 0.05)
    assert [event["beyond"] for event in traffic.told] == ["promised"]


def test_it_is_told_once_an_hour_and_by_tenant() -> None:
    traffic = Traffic()
    traffic.flow(500, 1.0)
    assert len(traffic.told) == traffic.watch.alarms == 1
    traffic.flow(500, 1.0, tenant="rival")
    assert [event["tenant"] for event in traffic.told] == ["acme", "rival"]
    traffic.clock.now_s = 3599
    traffic.flow(100, 1.0)
    assert len(traffic.told) == 2
    traffic.clock.now_s = 3601
    traffic.flow(100, 1.0)
    assert len(traffic.told) == 3


def test_few_calls_say_nothing() -> None:
    traffic = Traffic()
    traffic.flow(99, 1.0)
    assert traffic.told == []
    traffic.flow(1, 1.0)
    assert traffic.told[0]["calls"] == 100


def test_the_unknown_have_their_share_of_a_hundred_calls_at_least() -> None:
    watch = Watch(lambda detail: None)
    unlike = decision(unknown="unlike anything seen (cosine 0.10)")
    for _ in range(5):
        assert watch.may_be_unknown("acme", "t", 0.05)
        watch.routed("acme", policy(), unlike, 1)
    assert not watch.may_be_unknown("acme", "t", 0.05)
    assert watch.may_be_unknown("rival", "t", 0.05)
    assert watch.may_be_unknown("acme", "t", 1.0)
    assert not watch.may_be_unknown("rival", "t", 0.0)


def test_what_was_decided_by_figures_does_not_use_the_share_up() -> None:
    watch = Watch(lambda detail: None)
    trusted = decision(unknown="unlike anything seen (cosine 0.10)", outside=True)
    for _ in range(300):
        watch.routed("acme", policy(), trusted, 0)
    assert watch.may_be_unknown("acme", "t", 0.05)


def test_calls_without_a_judgement_are_not_counted() -> None:
    watch = Watch(lambda detail: pytest.fail("nothing was routed"))
    plain = Decision(task="t", steps=(Step(0, "small"), Step(1, "large")))
    for _ in range(500):
        watch.routed("acme", policy(), plain, 1)


def test_more_tenants_than_can_be_watched_are_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_WATCHED", 3)
    traffic = Traffic()
    for number in range(10):
        traffic.flow(1, 1.0, tenant=f"t{number}")
    assert len(traffic.watch._watched) <= 3
