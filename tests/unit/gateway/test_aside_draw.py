"""Which calls are answered again: as often as was said, whatever the calls are like."""

from __future__ import annotations

import random

import msgspec
import pytest
from scipy.stats import binomtest

from smallfirst import limits
from smallfirst.config.schema import Rollout
from smallfirst.contracts import LabelContract
from smallfirst.gateway.aside_draw import draw
from smallfirst.gateway.channel import ShadowServing
from smallfirst.gateway.chosen import Chosen
from smallfirst.releases import Policy, RungPolicy
from smallfirst.wire.incoming import Incoming

CALLS = 20_000


def policy(*models: str) -> Policy:
    ladder = tuple(RungPolicy(model=name, provider="p", upstream_id=name) for name in models)
    return Policy(task="triage", contract=LabelContract(labels=("a", "b")), ladder=ladder)


TWO, ONE = policy("small", "frontier"), policy("frontier")
LIVE = Chosen(TWO, "model", release="r1", policy_hash=TWO.hash, channel="live")
CANARY = msgspec.structs.replace(LIVE, channel="canary")
SHADOW = ShadowServing(
    release="r2", share=0.05, policies={"triage": ONE}, hashes={"triage": ONE.hash}, routers={}
)


def incoming(**fields: object) -> Incoming:
    body = {"model": "task/triage", "messages": [{"role": "user", "content": "hello"}]} | fields
    return Incoming("chat", msgspec.json.encode(body))


CALL = incoming()


def share(count: int, expected: float) -> None:
    """Whether so many draws fit the probability (a fair draw fails once in a million)."""
    assert binomtest(count, CALLS, expected).pvalue > 1e-6, (count, expected)


def test_calls_are_drawn_with_the_probabilities_that_are_recorded() -> None:
    chance = random.Random(4)
    rollout = Rollout(explore=0.02, pairs=0.3)
    drawn = [draw(CANARY, CALL, rollout, shadow=SHADOW, chance=chance.random) for _ in range(CALLS)]
    found = [one.chances for one in drawn if one is not None]
    share(sum("explore" in one for one in found), 0.02)
    share(sum("spot-check" in one for one in found), 0.98 * 0.3)  # what is explored is a pair already
    share(sum("shadow" in one for one in found), 0.05)
    share(sum({"shadow", "explore"} <= set(one) for one in found), 0.02 * 0.05)
    assert {one["explore"] for one in found if "explore" in one} == {0.02}
    assert not any({"explore", "spot-check"} <= set(one) for one in found)
    record = next(one for one in drawn if one and "explore" in one.chances).record(CANARY)
    assert record["explore"] == {"p": 0.02, "policy": TWO.hash[:12], "channel": "canary"}


def test_the_default_chance_is_fair() -> None:
    rollout = Rollout(explore=0.5)
    share(sum(draw(LIVE, CALL, rollout) is not None for _ in range(CALLS)), 0.5)


def test_only_a_canarys_calls_are_checked_on_the_spot() -> None:
    rollout = Rollout(explore=0, pairs=1)
    assert draw(LIVE, CALL, rollout) is None
    assert draw(CANARY, CALL, rollout).chances == {"spot-check": 1}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    "call",
    [
        incoming(tools=[{"type": "function", "function": {"name": "f"}}]),
        incoming(n=2),
        incoming(messages=[{"role": "user", "content": "x" * limits.ASIDE_BODY_BYTES}]),
        Incoming("embeddings", b'{"model":"task/triage","input":"x"}'),
    ],
    ids=["tools", "choices", "long", "embeddings"],
)
def test_what_cannot_be_answered_again_is_left_out(call: Incoming) -> None:
    always = Rollout(explore=1, pairs=1)
    assert draw(CANARY, CALL, always) is not None
    assert draw(CANARY, call, always, shadow=msgspec.structs.replace(SHADOW, share=1.0)) is None


def test_a_policy_of_one_rung_has_nobody_to_compare_but_a_shadow() -> None:
    alone = Chosen(ONE, "model", policy_hash=ONE.hash, channel="canary")
    always = Rollout(explore=1, pairs=1)
    other = msgspec.structs.replace(SHADOW, share=1.0, policies={"triage": TWO}, hashes={"triage": TWO.hash})
    assert draw(alone, CALL, always) is None
    assert draw(alone, CALL, always, shadow=other).chances == {"shadow": 1}  # type: ignore[union-attr]
    same = msgspec.structs.replace(SHADOW, share=1.0)
    assert draw(alone, CALL, always, shadow=same) is None  # it would decide alike
    assert draw(alone, CALL, always, shadow=msgspec.structs.replace(other, policies={}, hashes={})) is None
