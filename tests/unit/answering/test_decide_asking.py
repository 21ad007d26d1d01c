"""A router that asks is asked only where its answer can change something."""

import asyncio
import json

import msgspec

from smallfirst.answering.decide import Decision, decide
from smallfirst.classify.prompt import Prompt
from smallfirst.config.schema import Config, Model, Provider, Task
from smallfirst.models import Catalogue
from smallfirst.releases.learned import NOTHING_LEARNED
from smallfirst.releases.policy import RouterPolicy, policy_from_task
from smallfirst.routing.fitted import NO_BOUND
from smallfirst.routing.judgement import Ask, Judgement, Signals
from smallfirst.routing.thresholds import ALWAYS, NEVER, UNKNOWN, Thresholds
from smallfirst.wire.incoming import Incoming


class Counting:
    """A router that counts how often it judges."""

    sha256 = "0" * 64
    ladder = ("small", "large")
    asks = True

    def __init__(self, judgement: Judgement) -> None:
        self.judged = 0
        self._judgement = judgement

    async def judge(self, prompt: Prompt, ask: Ask | None = None, *, anyway: bool = False) -> Judgement:
        self.judged += 1
        return self._judgement

    def judge_again(self, prompt: Prompt, stored: Judgement) -> Judgement:
        return stored

    def second_look(self, rung: int, judgement: Judgement, signals: Signals) -> float:
        return 1.0


EASY = Judgement(adequate=(0.9, 1.0), uplift=(0.1, 0.0), rating=1.0)
FAILED = Judgement(adequate=(0.9, 1.0), uplift=(UNKNOWN, 0.0), unknown="judge did not say")


def decided(
    router: Counting, *, trusts_unknown: bool = False, ask: float = ALWAYS, **body: object
) -> Decision:
    config = Config(
        providers={"p": Provider(base_url="http://127.0.0.1:1/v1")},
        models={"small": Model(provider="p"), "large": Model(provider="p")},
        tasks={"t": Task(ladder=("small", "large"))},
    )
    options = RouterPolicy(
        weights_sha256="0" * 64,
        thresholds=Thresholds((ask,), (0.0,)),
        embedder="",
        embedder_sha256="",
        bound=NO_BOUND,
    )
    policy = msgspec.structs.replace(policy_from_task("t", config, NOTHING_LEARNED), router=options)
    request = {"model": "task/t", "messages": [{"role": "user", "content": "hello"}]} | body
    incoming = Incoming("chat", json.dumps(request).encode())
    return asyncio.run(
        decide(policy, incoming, Catalogue(config, {}), router=router, trusts_unknown=trusts_unknown)
    )


def test_it_is_asked_where_a_rung_is_open() -> None:
    router = Counting(EASY)
    assert decided(router).asked == [0, 1]
    assert router.judged == 1


def test_it_is_not_asked_where_every_lower_rung_is_skipped_anyway() -> None:
    router = Counting(EASY)
    decision = decided(router, n=2)
    assert decision.asked == [1]
    assert router.judged == 0
    assert decision.router is None


def test_it_is_not_asked_where_the_release_asks_no_lower_rung() -> None:
    router = Counting(EASY)
    decision = decided(router, ask=NEVER)
    assert decision.asked == [1]
    assert decision.steps[0].skipped == "the release never asks it"
    assert router.judged == 0


def test_without_figures_no_threshold_lets_a_call_begin_below_the_frontier() -> None:
    for trusts_unknown in (False, True):
        decision = decided(Counting(FAILED), trusts_unknown=trusts_unknown)
        assert decision.asked == [1]
        assert decision.steps[0].skipped == "judge did not say"
        assert not decision.outside_bound
