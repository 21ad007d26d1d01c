"""A router that fails: the call goes to the frontier, and its record says why."""

from __future__ import annotations

import asyncio
import json
import logging

import msgspec
import pytest

from smallfirst.answering.account import Plan
from smallfirst.answering.attempt import Clock
from smallfirst.answering.climb import Answerer
from smallfirst.answering.decide import Decision, decide
from smallfirst.answering.replay import replay
from smallfirst.classify.head_answer import HeadAnswer
from smallfirst.classify.prompt import Prompt
from smallfirst.config.schema import Config, Model, Provider, Task
from smallfirst.contracts import LabelContract
from smallfirst.errors import BudgetExceeded
from smallfirst.ledger.records import Attempt, Call
from smallfirst.models import Catalogue
from smallfirst.models.label_head import HeadServer
from smallfirst.pricing import PriceBook
from smallfirst.releases.learned import NOTHING_LEARNED
from smallfirst.releases.policy import Policy, RouterPolicy, RungPolicy, policy_from_task
from smallfirst.routing.conversations import IN_A_LOOP, NOT_SEEN, Place
from smallfirst.routing.fitted import NO_BOUND
from smallfirst.routing.judgement import Ask, Judgement, Signals
from smallfirst.routing.thresholds import Thresholds
from smallfirst.wire.incoming import Incoming

EASY = Judgement(adequate=(0.9, 0.95, 1.0), uplift=(0.1, 0.05, 0.0))
HARD = Judgement(adequate=(0.1, 0.1, 1.0), uplift=(0.9, 0.9, 0.0))
ODD = Judgement(
    adequate=(0.9, 0.95, 1.0), uplift=(0.1, 0.05, 0.0), unknown="unlike anything seen (cosine 0.10)"
)


class Scripted:
    """Judges as it is told, or raises."""

    sha256 = "ab" * 32
    ladder: tuple[str, ...] = ("small", "middle", "large")
    asks = False

    def __init__(self, judges: Judgement | BaseException | float) -> None:
        self._judges = judges

    async def judge(self, prompt: Prompt, ask: Ask | None = None, *, anyway: bool = False) -> Judgement:
        if isinstance(self._judges, BaseException):
            raise self._judges
        if isinstance(self._judges, float):
            await asyncio.sleep(self._judges)
            return EASY
        return self._judges

    def judge_again(self, prompt: Prompt, stored: Judgement) -> Judgement:
        return self._judges if isinstance(self._judges, Judgement) else EASY

    def second_look(self, rung: int, judgement: Judgement, signals: Signals) -> float:
        return 1.0


def made() -> tuple[Policy, Catalogue]:
    config = Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
        models={name: Model(provider="p") for name in Scripted.ladder},
        tasks={"t": Task(ladder=Scripted.ladder)},
    )
    options = RouterPolicy(
        weights_sha256=Scripted.sha256,
        thresholds=Thresholds((0.2, 0.2), (0.0, 0.0)),
        embedder="",
        embedder_sha256="",
        bound=NO_BOUND,
        timeout_s=0.05,
    )
    return msgspec.structs.replace(policy_from_task("t", config, NOTHING_LEARNED), router=options), Catalogue(
        config, {}
    )


async def decided(
    judges: Judgement | BaseException | float, *, place: Place | None = None, trusts: bool = False
) -> Decision:
    policy, catalogue = made()
    body = json.dumps({"model": "task/t", "messages": [{"role": "user", "content": "hello"}]}).encode()
    return await decide(
        policy, Incoming("chat", body), catalogue, router=Scripted(judges), place=place, trusts_unknown=trusts
    )


def skipped(decision: Decision) -> list[str]:
    return [step.skipped for step in decision.steps]


@pytest.mark.parametrize("trusts", [False, True])
@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (ValueError("shapes"), "router failed (ValueError)"),
        (KeyError("array"), "router failed (KeyError)"),
        (BudgetExceeded("spent"), "router failed (BudgetExceeded)"),
        (1.0, "router failed (TimeoutError)"),
    ],
)
async def test_whatever_it_raises_the_frontier_answers(
    fault: BaseException | float, why: str, trusts: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        decision = await decided(fault, trusts=trusts)
    assert decision.asked == [2]
    assert skipped(decision) == [why, why, ""]
    assert decision.judgement is not None
    assert decision.judgement.unknown == why
    assert not decision.outside_bound
    assert "router abababababab failed" in caplog.text
    assert ("Traceback" in caplog.text) == (why in ("router failed (ValueError)", "router failed (KeyError)"))
    json.dumps(decision.record())


async def test_a_cancelled_call_is_no_fault_of_the_routers() -> None:
    with pytest.raises(asyncio.CancelledError):
        await decided(asyncio.CancelledError())


@pytest.mark.parametrize(
    ("place", "judges", "expected", "outside"),
    [
        (Place(0, IN_A_LOOP, loop=True), EASY, ["", "", ""], False),
        (Place(0, IN_A_LOOP, loop=True), HARD, ["", "gain", ""], True),
        (Place(0, IN_A_LOOP, loop=True), ODD, ["", "unlike", ""], True),
        (Place(1, IN_A_LOOP, loop=True), EASY, [IN_A_LOOP, "", ""], False),
        (Place(1, IN_A_LOOP, loop=True), HARD, [IN_A_LOOP, "", ""], True),
        (Place(2, NOT_SEEN, loop=True), EASY, [NOT_SEEN, NOT_SEEN, ""], False),
        (Place(1, "cached"), EASY, ["cached", "", ""], False),
        (Place(1, "cached"), HARD, ["cached", "gain", ""], False),
    ],
)
async def test_a_place_holds_its_rung_and_those_below_and_is_replayed(
    place: Place, judges: Judgement, expected: list[str], outside: bool
) -> None:
    decision = await decided(judges, place=place)
    for found, part in zip(skipped(decision), expected, strict=True):
        assert part in found
        assert bool(found) == bool(part)
    assert decision.outside_bound == outside
    again = replay(call_of(decision), made()[0], Scripted(judges), None)
    assert again.same


@pytest.mark.parametrize("trusts", [False, True])
async def test_trust_in_figures_is_recorded_and_replayed(trusts: bool) -> None:
    decision = await decided(ODD, trusts=trusts)
    assert decision.outside_bound == trusts
    assert decision.record().get("trusted", False) == trusts
    assert replay(call_of(decision), made()[0], Scripted(ODD), None).same


async def test_another_threshold_is_another_decision() -> None:
    decision = await decided(EASY)
    policy = made()[0]
    assert policy.router is not None
    stricter = msgspec.structs.replace(policy.router, thresholds=Thresholds((0.05, 0.2), (0.0, 0.0)))
    assert not replay(
        call_of(decision), msgspec.structs.replace(policy, router=stricter), Scripted(EASY), None
    ).same


@pytest.mark.parametrize(
    ("request_", "source"),
    [
        (b'{"model":"task/t","messages":[{"role":"user","content":"the invoice INV-123456"}]}', "request"),
        (b'{"model":"task/t","messages":[{"role":"user","content":"the invoice [redacted]"}]}', "numbers"),
        (b'{"model":"task/t","messages":[{"role":"user","content":"shorter"}]}', "numbers"),
        (None, "numbers"),
    ],
)
async def test_what_was_redacted_is_not_taken_for_what_was_asked(request_: bytes | None, source: str) -> None:
    call = call_of(await decided(EASY))
    assert replay(call, made()[0], Scripted(EASY), request_).source == source


def call_of(decision: Decision) -> Call:
    return Call(
        id="c" * 28,
        at_ms=1,
        tenant="acme",
        key="k",
        status="ok",
        http_status=200,
        dialect="openai",
        route="chat",
        attempts=(),
        task="t",
        prompt_bytes=len(
            '{"model":"task/t","messages":[{"role":"user","content":"the invoice INV-123456"}]}'
        ),
        decision=json.loads(json.dumps(decision.record())),
        outside_bound=decision.outside_bound,
    )


class Head:
    """Always says the same."""

    task, labels, slow = "t", ("yes", "no"), False

    def __init__(self, sha256: str, says: str) -> None:
        self.sha256, self._says = sha256, says

    def answer(self, text: str) -> HeadAnswer:
        return HeadAnswer(label=self._says, confidence=0.9, out_of_scope=0.0)


class Unsure(Scripted):
    ladder = ("small", "large")

    def second_look(self, rung: int, judgement: Judgement, signals: Signals) -> float:
        raise ZeroDivisionError


class Purse:
    """An account that counts what was attempted."""

    def __init__(self) -> None:
        self.attempts: list[Attempt] = []

    def number(self) -> int:
        return len(self.attempts)

    def reserve(self, plan: Plan) -> None: ...

    def settle(self, plan: Plan, attempt: Attempt) -> None:
        self.attempts.append(attempt)

    def output_tokens(self, task: str, model: str) -> int:
        return 10


async def test_a_second_look_that_fails_climbs() -> None:
    labels = LabelContract(labels=("yes", "no"))
    config = Config(
        providers={"heads": Provider(kind="head")},
        models={"small": Model(provider="heads", id="a" * 64), "large": Model(provider="heads", id="b" * 64)},
        tasks={"t": Task(ladder=("small", "large"), contract=labels)},
    )
    heads = {"a" * 64: Head("a" * 64, "yes"), "b" * 64: Head("b" * 64, "no")}
    options = RouterPolicy(
        weights_sha256=Unsure.sha256,
        thresholds=Thresholds((2.0,), (0.5,)),
        embedder="",
        embedder_sha256="",
        bound=NO_BOUND,
    )
    rungs = tuple(
        RungPolicy(model=name, provider="heads", upstream_id=sha256, weights_sha256=sha256, head=True)
        for name, sha256 in zip(("small", "large"), heads, strict=True)
    )
    policy = Policy(task="t", contract=labels, ladder=rungs, router=options)
    catalogue = Catalogue(config, {}, heads=HeadServer(heads.get))
    body = json.dumps({"model": "task/t", "messages": [{"role": "user", "content": "hello"}]}).encode()
    incoming, purse = Incoming("chat", body), Purse()
    judged = Judgement(adequate=(0.9, 1.0), uplift=(0.1, 0.0))
    decision = await decide(policy, incoming, catalogue, router=Unsure(judged))
    answerer = Answerer(catalogue=catalogue, transport=HeadServer(heads.get), prices=PriceBook(config))
    answer = await answerer.answer(incoming, policy, decision, account=purse, clock=Clock())
    assert answer.model.name == "large"
    assert [(one.status, one.reason) for one in purse.attempts] == [
        ("doubted", "router failed (ZeroDivisionError)"),
        ("ok", ""),
    ]
