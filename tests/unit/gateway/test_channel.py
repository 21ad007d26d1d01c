"""Which conversations are a canary's, and what becomes of a release's tasks when its evidence lapses."""

from __future__ import annotations

import time

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from smallfirst.config.schema import Config, Model, Provider, Task
from smallfirst.contracts import LabelContract
from smallfirst.gateway.channel import CanaryChannel, Channel, Opened, draw
from smallfirst.releases import Canary, Serving, baseline, release_from_config
from smallfirst.wire.incoming import Incoming

HOUR_MS = 3_600_000


def config(instructions: str = "a or b?") -> Config:
    contract = LabelContract(labels=("a", "b"))
    return Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
        models={"small": Model(provider="p"), "tiny": Model(provider="p"), "large": Model(provider="p")},
        tasks={
            "changed": Task(ladder=("small", "large"), contract=contract, instructions=instructions),
            "same": Task(ladder=("tiny", "large"), contract=contract),
        },
    )


def serving(made: Config, *, name: str = "") -> Serving:
    release = release_from_config(made)
    hashes = {task: policy.hash for task, policy in release.policies.items()}
    return Serving(id=name or release.id, policies=release.policies, hashes=hashes)


def canary(share: float = 0.5, *, lease_ms: int = HOUR_MS) -> CanaryChannel:
    now_ms = int(time.time() * 1000)
    state = Canary(
        release="c", stages=(share,), began_ms=7, stage_began_ms=7, lease_until_ms=now_ms + lease_ms
    )
    return CanaryChannel(serving(config("b or a?")), state, Opened({}), config(), serving(config()))


def asked(text: str, *more: str) -> Incoming:
    turns = [{"role": "user", "content": text}]
    for at, turn in enumerate(more):
        turns.append({"role": "user" if at % 2 else "assistant", "content": turn})
    return Incoming("chat", msgspec.json.encode({"model": "task/changed", "messages": turns}))


def test_a_conversation_stays_on_its_side_while_it_goes_on() -> None:
    first = draw(7, "acme", "", asked("hello"))
    assert draw(7, "acme", "", asked("hello", "hi", "and then?")) == first
    assert draw(7, "acme", "mine", asked("hello")) == draw(7, "acme", "mine", asked("something else"))


def test_tenants_and_canaries_draw_apart() -> None:
    draws = {draw(began, tenant, "", asked("hello")) for began in (7, 8) for tenant in ("acme", "other")}
    assert len(draws) == 4


def test_the_draw_is_uniform() -> None:
    draws = sorted(draw(7, "acme", str(number), asked("hello")) for number in range(2000))
    worst = max(abs(value - (at + 0.5) / 2000) for at, value in enumerate(draws))
    assert worst < 0.05  # Kolmogorov–Smirnov: beyond it less than once in ten thousand


@given(st.text(max_size=30), st.floats(0, 1), st.floats(0, 1))
def test_who_is_in_stays_in_as_the_share_grows(name: str, one: float, other: float) -> None:
    low, high = sorted((one, other))
    value = draw(7, "acme", name, asked("hello"))
    assert not (value < low) or value < high or low == high


def test_it_answers_nothing_once_its_lease_is_over() -> None:
    assert canary(1.0).draws("acme", "", asked("hello"))
    over = canary(1.0, lease_ms=-1)
    assert over.share == 0
    assert not over.draws("acme", "", asked("hello"))


def test_it_holds_only_the_tasks_that_it_changes() -> None:
    assert set(canary().policies) == {"changed"}


def test_lapsed_evidence_sends_the_tasks_that_ask_the_model_to_their_frontier() -> None:
    live = Channel("live", serving(config()), Opened({}), config())
    assert live.lapse("small", "it changed") == ["changed"]
    assert live.lapse("small", "it changed again") == []
    chosen = live.policies["changed"]
    assert chosen.policy == baseline(config()).policies["changed"]
    assert (chosen.release, chosen.record["lapsed"]) == ("baseline", "it changed")
    assert live.policies["same"].release == live.serving.id
    assert live.lapse("large", "the frontier changed") == ["same"]


def test_a_lapsed_canary_leaves_its_tasks_to_what_is_live() -> None:
    channel = canary()
    channel.lapse("*", "all of it")
    assert not channel.policies
