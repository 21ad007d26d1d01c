"""A fitted router as it serves: the same to the bit, near examples by id, and the frontier for what it has not seen."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import msgspec
import numpy as np
import pytest
from support.outcomes import fit, outcomes, router_of
from support.tickets import SAID, WHERE

from smallfirst import limits
from smallfirst.classify.artifact import unpack
from smallfirst.classify.embedders import open_embedder
from smallfirst.classify.encoding import encode
from smallfirst.classify.prompt import Prompt
from smallfirst.classify.store import Artifacts, Described
from smallfirst.errors import ReleaseError
from smallfirst.routing.fitted import read_fitted
from smallfirst.routing.judgement import Signals
from smallfirst.routing.learned_router import LearnedRouter, router_from
from smallfirst.routing.routers import open_router
from smallfirst.training.router_fit import Fit

BILL = Prompt(question="Please refund my payment for the bill", prompt_chars=37)
BUG = Prompt(question="The app crashes with an exception", prompt_chars=33)
ODD = Prompt(question="purple elephants dance under moonlit bridges", prompt_chars=44)


@pytest.fixture(scope="module")
def fitted() -> Fit:
    return fit(outcomes())


@pytest.fixture(scope="module")
def router(fitted: Fit) -> LearnedRouter:
    return router_of(fitted)


def changed(fitted: Fit, **fields: Any) -> LearnedRouter:
    found = unpack(fitted.data)
    return LearnedRouter(
        msgspec.structs.replace(read_fitted(found), **fields), found, open_embedder("wordllama")
    )


def test_it_has_learned_what_the_small_model_can(router: LearnedRouter) -> None:
    bill, bug = router.judge_now(BILL), router.judge_now(BUG)
    assert bill.uplift[0] < 0.2 < 0.6 < bug.uplift[0]
    assert bill.adequate[0] > 0.8 > 0.2 > bug.adequate[0]
    assert bill.uplift[1] == bug.uplift[1] == 0
    assert (bill.intent, bug.intent) == ("billing", "bug")
    assert bill.has_figures
    assert not bill.unknown


def test_one_is_judged_as_among_many_to_the_bit(router: LearnedRouter) -> None:
    prompts = [example.prompt for example in outcomes()] + [
        BILL,
        ODD,
        Prompt(question=""),
        Prompt(question="and now?", context="I was charged twice", history_turns=2),
        Prompt(question="x " * 9000),
    ]
    among = router.judge_all(prompts, encode(open_embedder("wordllama"), prompts))
    assert among == [router.judge_now(prompt) for prompt in prompts]
    assert among[::-1] == router.judge_all(prompts[::-1], encode(open_embedder("wordllama"), prompts[::-1]))


async def test_judging_is_the_same_awaited_again_and_from_a_file(
    router: LearnedRouter, fitted: Fit, tmp_path: Any
) -> None:
    store = Artifacts(tmp_path)
    sha256 = store.save(fitted.data, Described(at_ms=1, kind="router", task="triage"))
    loaded = open_router(store.path(sha256), open_embedder)
    assert loaded.sha256 == sha256 == router.sha256
    for prompt in (BILL, BUG, ODD):
        now = router.judge_now(prompt)
        assert (
            await router.judge(prompt) == await loaded.judge(prompt) == router.judge_again(prompt, now) == now
        )
        told = msgspec.json.decode(msgspec.json.encode(now))
        assert msgspec.convert(told, type(now)) == now, "what the ledger keeps"


def test_near_examples_have_ids_and_no_texts(router: LearnedRouter, fitted: Fit) -> None:
    near = router.judge_now(Prompt(question="The app crashes with an error again")).near
    assert len(near) == 3
    assert near[0].similarity == pytest.approx(1, abs=1e-3)
    assert [one.similarity for one in near] == sorted((one.similarity for one in near), reverse=True)
    assert {one.id for one in near} <= {example.id for example in outcomes()}
    held = fitted.data.lower()
    for sentence in (*(one for some in SAID.values() for one in some), *WHERE):
        for word in sentence.lower().split():
            if len(word) > 5:
                assert word.encode() not in held, word


def test_the_same_outcomes_make_the_same_router_to_the_byte(fitted: Fit) -> None:
    assert fit(outcomes()).data == fitted.data


def test_fewer_examples_than_are_shown_are_all_near(fitted: Fit) -> None:
    found = unpack(fitted.data)
    for kept in (0, 1, 2):
        few = msgspec.structs.replace(
            found, arrays=found.arrays | {"examples": found.arrays["examples"][:kept]}
        )
        assert len(router_from(few, open_embedder("wordllama")).judge_now(BILL).near) == kept


def test_what_is_unlike_anything_goes_to_the_frontier(router: LearnedRouter) -> None:
    for one in (router, router_of(fit(outcomes(intents=False)))):
        assert one.judge_now(ODD).unknown.startswith("unlike anything seen (cosine 0.")
        assert not one.judge_now(BILL).unknown


def test_a_clear_intent_speaks_for_what_is_unlike_anything(fitted: Fit, router: LearnedRouter) -> None:
    odd = changed(fitted, unknown_below=1.5)
    judged, plain = odd.judge_now(BILL), router.judge_now(BILL)
    assert (judged.intent, judged.unknown) == ("billing", "")
    assert judged.intent_probability >= 0.8
    assert judged.adequate == plain.adequate
    assert judged.uplift != plain.uplift
    another = odd.judge_now(Prompt(question="Wrong VAT on the bill again", prompt_chars=27))
    assert judged.uplift == pytest.approx(another.uplift, abs=0.05), "all of one intent have its prior"


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"tools": limits.MANY_TOOLS}, "tools are offered"),
        ({"tool_rounds": 3}, "an agent's step 4"),
        ({"images": 1}, "has images"),
        ({"prompt_chars": 100_000}, "longer than what was learned from"),
        ({"question": "Ich wurde zweimal belastet und ich möchte das Geld für die Rechnung zurück"}, "'de'"),
    ],
)
def test_guards_come_first(router: LearnedRouter, fields: dict[str, Any], why: str) -> None:
    judged = router.judge_now(Prompt(**{"question": BILL.question} | fields))
    assert why in judged.unknown
    assert judged.has_figures, "a call may be trusted to them all the same, outside the bound"


def test_without_a_second_look_an_answer_is_as_good_as_was_expected(
    fitted: Fit, router: LearnedRouter
) -> None:
    judged = router.judge_now(BILL)
    assert 0 < router.second_look(0, judged, Signals(chars=7)) < 1
    found = unpack(fitted.data)
    plain = {name: array for name, array in found.arrays.items() if not name.startswith("look")}
    bare = router_from(msgspec.structs.replace(found, arrays=plain), open_embedder("wordllama"))
    assert bare.second_look(0, judged, Signals(chars=7)) == judged.adequate[0]


def test_another_embedder_or_artifact_is_refused(fitted: Fit) -> None:
    other = SimpleNamespace(name="wordllama", sha256="e" * 64, dimensions=256, slow=False)
    with pytest.raises(ReleaseError, match=r"fitted with embedder wordllama .* here it is eeeeeeeeeeee"):
        router_from(unpack(fitted.data), other)  # type: ignore[arg-type]
    found = unpack(fitted.data)
    with pytest.raises(ReleaseError, match="is a head, not a router"):
        read_fitted(msgspec.structs.replace(found, kind="head"))
    with pytest.raises(ReleaseError, match="was fitted by another version of smallfirst"):
        read_fitted(msgspec.structs.replace(found, header=found.header | {"later": 1}))


class Slow:
    """An embedder that is not for an event loop."""

    slow = True
    dimensions = 256
    name = "model:embed"

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256
        self.threads: set[int] = set()

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.threads.add(threading.get_ident())
        return open_embedder("wordllama").embed(texts)


async def test_a_slow_embedder_does_not_hold_the_event_loop(fitted: Fit, router: LearnedRouter) -> None:
    found = unpack(fitted.data)
    embedder = Slow(read_fitted(found).embedder_sha256)
    assert await router_from(found, embedder).judge(BILL) == router.judge_now(BILL)
    assert embedder.threads
    assert threading.get_ident() not in embedder.threads
