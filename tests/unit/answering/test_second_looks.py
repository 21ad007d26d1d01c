"""The climb over a real socket does what `play` says it would: the same rungs asked, the same one's answer released, agreement and all."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np
import pytest
from support.scripted import ScriptedUpstream, completion

from smallfirst.answering.attempt import Clock
from smallfirst.answering.climb import Answerer
from smallfirst.answering.decide import decide
from smallfirst.answering.offline import Purse
from smallfirst.classify.prompt import Prompt
from smallfirst.config.schema import Config, Model, Provider, Task, TaskRouter
from smallfirst.models import Catalogue
from smallfirst.models.transport import AiohttpTransport
from smallfirst.pricing import PriceBook
from smallfirst.releases.learned import NOTHING_LEARNED
from smallfirst.releases.policy import RouterPolicy, policy_from_task
from smallfirst.routing.fitted import NO_BOUND
from smallfirst.routing.judgement import Ask, Judgement, Signals
from smallfirst.routing.thresholds import ALWAYS, NEVER, Thresholds
from smallfirst.training.table import Seen, Worth, play
from smallfirst.wire.incoming import Incoming

LADDER = ("a", "b", "c", "d")
ALONE = (0.6, 0.4, 0.5)  # how sure the second look is of a rung's answer, where the rung below has none
AGREED, DISAGREED = 0.8, 0.2
BODY = json.dumps({"model": "task/t", "messages": [{"role": "user", "content": "hello"}]}).encode()


class Looking:
    """Holds every rung to be worth asking, judges answers by agreement, and remembers what it was shown."""

    sha256 = "ab" * 32
    ladder = LADDER
    asks = False

    def __init__(self) -> None:
        self.shown: dict[str, bool | None] = {}

    async def judge(self, prompt: Prompt, ask: Ask | None = None, *, anyway: bool = False) -> Judgement:
        return Judgement(adequate=(0.5, 0.5, 0.5, 1.0), uplift=(0.0, 0.0, 0.0, 0.0))

    def judge_again(self, prompt: Prompt, stored: Judgement) -> Judgement:
        return stored

    def second_look(self, rung: int, judgement: Judgement, signals: Signals) -> float:
        self.shown[LADDER[rung]] = signals.agrees
        return ALONE[rung] if signals.agrees is None else AGREED if signals.agrees else DISAGREED


async def climbed(
    thresholds: Thresholds, said: Mapping[str, str], *, broken: str = ""
) -> tuple[str, list[str], dict[str, bool | None]]:
    """The model whose answer was released, those that were asked, and the agreement that each second look was shown."""

    def answer(body: dict[str, Any]) -> tuple[int, Mapping[str, Any]]:
        return (500, {}) if body["model"] == broken else (200, completion(said[body["model"]]))

    with ScriptedUpstream(answer) as upstream:
        config = Config(
            providers={"p": Provider(base_url=f"{upstream.base_url}/v1")},
            models={name: Model(provider="p") for name in LADDER},
            tasks={"t": Task(ladder=LADDER, router=TaskRouter(verify=True))},
        )
        options = RouterPolicy(
            weights_sha256=Looking.sha256,
            thresholds=thresholds,
            embedder="",
            embedder_sha256="",
            bound=NO_BOUND,
            verify=True,
        )
        policy = msgspec.structs.replace(policy_from_task("t", config, NOTHING_LEARNED), router=options)
        router, purse, transport = Looking(), Purse(), AiohttpTransport()
        catalogue = Catalogue(config, {})
        answerer = Answerer(catalogue=catalogue, transport=transport, prices=PriceBook(config))
        incoming = Incoming("chat", BODY)
        try:
            decision = await decide(policy, incoming, catalogue, router=router)
            released = await answerer.answer(incoming, policy, decision, account=purse, clock=Clock())
        finally:
            await transport.close()
    return released.model.name, [attempt.model for attempt in purse.attempts], router.shown


def expected(thresholds: Thresholds, said: Mapping[str, str]) -> str:
    """The model whose answer `play` would release."""
    agreed = [said[one] == said[below] for below, one in itertools.pairwise(LADDER[:-1])]
    after = np.array([[ALONE[0], *(AGREED if same else DISAGREED for same in agreed)]])
    seen = Seen(uplift=np.zeros((1, 3)), accept=np.array([ALONE]), accept_after=after)
    worth = Worth(score=np.ones((1, 4)), cost=np.ones((1, 4)), priced=True)
    return LADDER[int(play(thresholds, seen, worth).rung[0])]


ASKS = [(ALWAYS, ALWAYS, ALWAYS), (ALWAYS, NEVER, ALWAYS), (NEVER, ALWAYS, ALWAYS), (ALWAYS, ALWAYS, NEVER)]


@pytest.mark.parametrize("ask", ASKS)
@pytest.mark.parametrize(
    "accept", [(0.7, 0.7, 0.7), (0.7, 0.3, 0.5), (0.5, 0.7, 0.7), (0.7, 0.7, 0.0), (0.0, 0.9, 0.9)]
)
@pytest.mark.parametrize("texts", ["xxyz", "xyxz", "xyyz"])
async def test_what_was_certified_is_what_is_served(
    ask: tuple[float, ...], accept: tuple[float, ...], texts: str
) -> None:
    thresholds, said = Thresholds(ask, accept), dict(zip(LADDER, texts, strict=True))
    released, asked, _ = await climbed(thresholds, said)
    assert released == expected(thresholds, said)
    begun = [name for name, level in zip(LADDER, (*ask, ALWAYS), strict=True) if level > NEVER]
    assert asked == begun[: begun.index(released) + 1]


async def test_agreement_is_with_the_rung_directly_below() -> None:
    """An answer of two rungs below is another signal than the one that was learned from."""
    unsure = (0.95, 0.95, 0.95)
    said = {"a": "x", "b": "y", "c": "x", "d": "z"}
    assert (await climbed(Thresholds(ASKS[0], unsure), said))[2] == {"a": None, "b": False, "c": False}
    assert (await climbed(Thresholds(ASKS[1], unsure), said))[2] == {"a": None, "c": None}
    assert (await climbed(Thresholds(ASKS[0], unsure), said, broken="b"))[2] == {"a": None, "c": None}


async def test_blank_space_is_no_disagreement() -> None:
    said = {"a": " x  y", "b": "x y\n", "c": "z", "d": "z"}
    assert (await climbed(Thresholds(ASKS[0], (0.95, 0.7, 0.7)), said))[0] == "b"
