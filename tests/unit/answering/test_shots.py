"""The examples that a rung is shown: which, in which order, within which bounds, and what becomes of a call that has none."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from support.examples import LABELS, Letters, example, nine, save
from support.routed import EASY_CALL, fit, give, thresholds
from support.scripted import ScriptedUpstream, completion

from smallfirst import limits
from smallfirst.answering.attempt import Clock
from smallfirst.answering.climb import Answerer
from smallfirst.answering.decide import Decision, decide
from smallfirst.answering.offline import Purse
from smallfirst.answering.opened import open_examples, open_policy
from smallfirst.answering.shots import Finder, tokens_at_most
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.example_index import ExampleIndex
from smallfirst.classify.label_head import load_head
from smallfirst.classify.once import once
from smallfirst.classify.store import Artifacts
from smallfirst.config.schema import Config, Model, Provider, Retrieve, Rung, Task
from smallfirst.errors import UpstreamUnreachable
from smallfirst.models import Catalogue
from smallfirst.models.heads import Heads
from smallfirst.models.transport import AiohttpTransport
from smallfirst.pricing import PriceBook
from smallfirst.releases import LearnedHere, Policy
from smallfirst.releases.policy import policy_from_task
from smallfirst.wire.incoming import Incoming

CHARGED = "I was charged twice this month on my invoice"


def config_of(
    base_url: str = "http://127.0.0.1:1",
    *,
    small: Mapping[str, Any] = {},
    last: bool = False,
    **retrieve: Any,
) -> Config:
    rung = Rung(model="small", retrieve=Retrieve(**({"k": 2} | retrieve)))
    return Config(
        providers={"p": Provider(base_url=f"{base_url}/v1"), "q": Provider(base_url=f"{base_url}/v1")},
        models={"small": Model(provider="p", **small), "large": Model(provider="q")},
        tasks={
            "triage": Task(
                ladder=(rung,) if last else (rung, "large"), contract=LABELS, instructions="Sort it."
            )
        },
    )


class Set:
    """A configuration, its policy, and the examples that it shows, opened."""

    def __init__(self, state: Path, config: Config, *, embedder: Any = None) -> None:
        self.config = config
        self.policy: Policy = policy_from_task("triage", config, LearnedHere(state))
        self.catalogue = Catalogue(config, {})
        embedder = embedder or Letters()
        self.indexes = open_examples(self.policy, Artifacts(state).folder, lambda _: embedder)

    async def decide(self, text: str = CHARGED, *, tenant: str = "acme", **beside: Any) -> Decision:
        finder = Finder(self.indexes, tenant, leave_out=beside.pop("leave_out", ""))
        incoming = beside.pop("incoming", None) or said(text, **beside)
        return await decide(self.policy, incoming, self.catalogue, finder=finder)


def said(text: str = CHARGED, **fields: Any) -> Incoming:
    body = {"model": "task/triage", "messages": [{"role": "user", "content": text}]} | fields
    return Incoming("chat", json.dumps(body).encode())


def ids(decision: Decision, rung: int = 0) -> list[str]:
    return [one.id for one in decision.shots[rung].shown]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    save(tmp_path, nine(), embedder=Letters())
    return tmp_path


async def test_the_nearest_stands_beside_the_question_and_the_record_names_them(state: Path) -> None:
    near = await Set(state, config_of(k=3)).decide()
    far = await Set(state, config_of(k=3, order="nearest-first")).decide()
    assert ids(near) == ids(far)[::-1]
    assert ids(near)[-1] == "billing-0"
    recorded: Any = near.record()["shots"]
    assert recorded["0"]["index"] == near.shots[0].index[:12]
    assert [name for name, _ in recorded["0"]["shown"]] == ids(near)
    assert "charged" not in json.dumps(recorded), "no texts"
    assert near.asked == [0, 1]


async def test_the_model_is_sent_them_as_turns_and_its_tokens_are_set_aside(state: Path) -> None:
    with ScriptedUpstream(lambda body: (200, completion("billing"))) as upstream:
        at_work = Set(state, config_of(upstream.base_url))
        decision = await at_work.decide(temperature=0)
        purse, transport = Reserving(), AiohttpTransport()
        answerer = Answerer(
            catalogue=at_work.catalogue,
            transport=transport,
            prices=PriceBook(at_work.config),
            indexes=at_work.indexes,
        )
        incoming = said(temperature=0)
        try:
            await answerer.answer(incoming, at_work.policy, decision, account=purse, clock=Clock())
        finally:
            await transport.close()
    messages = upstream.bodies[0]["messages"]
    assert [(one["role"], one["content"]) for one in messages] == [
        ("system", "Sort it."),
        *[
            turn
            for one in decision.shots[0].shown
            for turn in (("user", one.question), ("assistant", one.answer))
        ],
        ("user", CHARGED),
    ]
    texts = sum(len(text) for turn in decision.shots[0].turns for text in turn)
    assert (
        purse.reserved[0].input_tokens
        == incoming.prompt_tokens_at_most + texts + 4 * limits.RESERVED_TOKENS_PER_MESSAGE
    )
    wanted = at_work.policy.ladder[0].retrieve
    assert wanted is not None
    assert decision.shots[0].tokens_at_most <= tokens_at_most(wanted)


class Reserving(Purse):
    def __init__(self) -> None:
        super().__init__()
        self.reserved: list[Any] = []

    def reserve(self, plan: Any) -> None:
        self.reserved.append(plan.reserved_usage)


async def test_a_tenant_sees_its_own_and_everybodys(tmp_path: Path) -> None:
    mine = example("mine", CHARGED, "billing", tenant="acme")
    theirs = example("theirs", CHARGED, "how-to", tenant="globex")
    shared = example("shared", "I was charged", "billing")
    save(tmp_path, [mine, theirs, shared], embedder=Letters())
    at_work = Set(tmp_path, config_of(k=3))
    assert ids(await at_work.decide(tenant="acme")) == ["shared", "mine"]
    assert ids(await at_work.decide(tenant="globex")) == ["shared", "theirs"]
    assert ids(await at_work.decide(tenant="initech")) == ["shared"]


async def test_a_rung_without_examples_for_the_call_is_passed_over(tmp_path: Path) -> None:
    save(tmp_path, nine(tenant="globex"), embedder=Letters())
    at_work = Set(tmp_path, config_of())
    decision = await at_work.decide(tenant="acme")
    assert decision.steps[0].skipped == "none of its examples is this tenant's"
    assert (decision.asked, decision.shots, decision.outside_bound) == ([1], {}, False)
    unread = await at_work.decide("1234 5678", tenant="globex")
    assert "knows no word of the question" in unread.steps[0].skipped
    nothing = await decide(at_work.policy, said(), at_work.catalogue)
    assert nothing.steps[0].skipped == "its examples are not loaded"


async def test_a_route_without_turns_has_no_place_for_them(state: Path) -> None:
    incoming = Incoming("completions", json.dumps({"model": "task/triage", "prompt": CHARGED}).encode())
    decision = await Set(state, config_of()).decide(incoming=incoming)
    assert decision.steps[0].skipped == "its examples are turns, and a call of this route has none"


async def test_the_last_rung_answers_without_them_outside_the_bound(tmp_path: Path) -> None:
    save(tmp_path, nine(tenant="globex"), embedder=Letters())
    decision = await Set(tmp_path, config_of(last=True)).decide(tenant="acme")
    assert (decision.asked, decision.outside_bound) == ([0], True)
    assert decision.record()["unshown"] == "none of its examples is this tenant's"


async def test_what_does_not_fit_is_left_out_and_nothing_is_cut(tmp_path: Path) -> None:
    long = example("long", " ".join([CHARGED] * 3), "billing")
    save(tmp_path, [*nine(), long], embedder=Letters())
    everything = await Set(tmp_path, config_of(k=3)).decide()
    assert "long" in ids(everything)
    few = await Set(tmp_path, config_of(k=3, max_chars=90)).decide()
    assert "long" not in ids(few)
    assert sum(len(text) for turn in few.shots[0].turns for text in turn) <= 90
    none = await Set(tmp_path, config_of(k=3, max_chars=5)).decide()
    assert none.steps[0].skipped == "none of its examples fits into the prompt"


async def test_a_short_context_has_room_for_fewer(state: Path) -> None:
    context = len(said().data) // 3 + 60
    decision = await Set(state, config_of(k=9, small={"context_tokens": context})).decide()
    assert len(ids(decision)) == 1
    assert ids(decision) == ["billing-0"]


async def test_an_example_that_is_evaluated_is_not_shown_to_itself(state: Path) -> None:
    at_work = Set(state, config_of(k=1))
    text = nine()[0].messages[0]["content"]
    assert ids(await at_work.decide(text)) == ["billing-0"]
    assert ids(await at_work.decide(text, leave_out="billing-0")) != ["billing-0"]


async def test_only_the_last_question_is_looked_up_and_the_examples_stand_before_the_conversation(
    state: Path,
) -> None:
    body = {
        "model": "task/triage",
        "messages": [
            {"role": "system", "content": "Mine."},
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": "Hi"},
            {"role": "user", "content": CHARGED},
        ],
    }
    decision = await Set(state, config_of(k=1)).decide(incoming=Incoming("chat", json.dumps(body).encode()))
    assert ids(decision) == ["billing-0"]


class Slow(Letters):
    """Off the event loop, and as slow as it is told."""

    slow = True
    waits_s = 0.0

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        time.sleep(self.waits_s)
        return super().embed(texts)


class Broken(Letters):
    def embed(self, texts: Sequence[str]) -> np.ndarray:
        raise UpstreamUnreachable("nobody is there")


async def test_a_slow_embedder_is_waited_for_only_so_long(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Slow()
    at_work = Set(state, config_of(k=1), embedder=slow)
    assert ids(await at_work.decide()) == ["billing-0"]
    slow.waits_s = 0.3
    monkeypatch.setattr(limits, "SHOTS_TIMEOUT_S", 0.02)
    late = await at_work.decide()
    assert "no vector in time" in late.steps[0].skipped
    monkeypatch.setattr(limits, "SHOTS_WAITING", 1)
    full = await at_work.decide()
    assert "no vector in time" in full.steps[0].skipped
    asked = len(slow.asked)
    await asyncio.sleep(0.4)
    assert len(slow.asked) <= asked + 1, "whoever found no place was never put to the embedder"
    monkeypatch.setattr(limits, "SHOTS_TIMEOUT_S", 5.0)
    assert ids(await at_work.decide()) == ["billing-0"]


async def test_an_embedder_that_fails_costs_the_rung_alone(
    state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    decision = await Set(state, config_of(), embedder=Broken()).decide()
    assert decision.steps[0].skipped == "its examples could not be looked up (UpstreamUnreachable)"
    assert "nobody is there" in caplog.text


async def test_a_question_is_embedded_once_for_a_call(state: Path) -> None:
    """Two rungs, and whoever else asks for the same vector within the decision; the next call's is made anew."""
    config = config_of()
    rungs = (
        Rung(model="small", retrieve=Retrieve(k=1)),
        Rung(model="large", retrieve=Retrieve(k=2)),
        "large",
    )
    task = msgspec.structs.replace(config.tasks["triage"], ladder=rungs)
    letters = Letters()
    at_work = Set(state, msgspec.structs.replace(config, tasks={"triage": task}), embedder=letters)
    for _ in range(2):
        decision = await at_work.decide()
        assert (len(ids(decision, 0)), len(ids(decision, 1))) == (1, 2)
    assert letters.asked == [CHARGED, CHARGED]
    once(letters).embed([CHARGED, CHARGED])
    assert letters.asked == [CHARGED] * 4, "outside of a call nothing is remembered"


class Counting:
    """Another embedder, and how many texts it was put."""

    def __init__(self, embedder: Any) -> None:
        self.name, self.sha256 = embedder.name, embedder.sha256
        self.dimensions, self.slow = embedder.dimensions, False
        self.asked: list[str] = []
        self._embedder = embedder

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.asked += texts
        return self._embedder.embed(texts)


async def test_the_routers_vector_is_the_examples_too(tmp_path: Path) -> None:
    wordllama = open_embedder("wordllama")
    save(tmp_path, nine(), embedder=wordllama)
    ladder = ("small", "large")
    give(tmp_path, fit(ladder, looks=False), "triage", ladder)
    counting = Counting(wordllama)
    at_work = Set(tmp_path, config_of(k=2), embedder=counting)
    folder = Artifacts(tmp_path).folder
    router = open_policy(at_work.policy, folder, Heads(Artifacts(tmp_path), load_head), lambda _: counting)
    assert router is not None
    options = at_work.policy.router
    assert options is not None
    always = msgspec.structs.replace(options, thresholds=thresholds((2.0,), (0.0,)))
    policy = msgspec.structs.replace(at_work.policy, router=always)
    finder = Finder(at_work.indexes, "acme")
    decision = await decide(
        policy, said(EASY_CALL), at_work.catalogue, router=router, trusts_unknown=True, finder=finder
    )
    assert decision.judgement is not None
    assert len(ids(decision)) == 2
    assert counting.asked == [EASY_CALL]


def test_an_index_is_opened_once(state: Path) -> None:
    at_work = Set(state, config_of())
    folder = Artifacts(state).folder
    again: dict[str, ExampleIndex] = open_examples(
        at_work.policy, folder, lambda _: Letters(), known=at_work.indexes
    )
    assert list(again.values()) == list(at_work.indexes.values())
