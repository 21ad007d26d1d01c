"""The router that asks: ratings become probabilities, and whatever goes wrong sends the call to the frontier."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import msgspec
import pytest

from smallfirst.classify.artifact import unpack
from smallfirst.classify.prompt import Prompt
from smallfirst.errors import BudgetExceeded, CallError, ConfigError, ReleaseError, UpstreamTimeout
from smallfirst.routing.asking import AskingRouter, router_from
from smallfirst.routing.fitted import Asked, read_fitted
from smallfirst.routing.judgement import Question, Said, Signals
from smallfirst.routing.thresholds import UNKNOWN
from smallfirst.training.asked_source import AskedSource
from smallfirst.training.bound import Goal
from smallfirst.training.outcomes import Example, Outcome, OutcomeRow, prompt_of
from smallfirst.training.ratings import Rated
from smallfirst.training.router_fit import Fit, Wanted, fit_router

ASKED = Asked(model="judge", provider="p", upstream_id="judge-1", question="How hard is this: {text}")


class Rates:
    """Rates as the examples were written: `hard` is a 5, `easy` a 1, `odd` no number."""

    asked = ASKED

    def rate(self, prompts: Sequence[Prompt], progress: object) -> list[Rated]:
        return [
            Rated(text=str(at), rating=rating_of(prompt.question), latency_ms=3.0, cost_nusd=1000)
            for at, prompt in enumerate(prompts)
        ]


def rating_of(text: str) -> float | None:
    return None if "odd" in text else 5.0 if "hard" in text else 1.0


def examples(count: int = 300) -> list[Example]:
    rows = []
    for at in range(count):
        kind = ("easy", "hard", "odd")[at % 3] if at % 10 == 0 else ("easy", "hard")[at % 2]
        outcomes = {"small": Outcome(score=float(kind == "easy")), "large": Outcome(score=1.0)}
        rows.append(OutcomeRow(input=f"an {kind} question about the invoice number {at}", outcomes=outcomes))
    return [Example(row=row, prompt=prompt_of(row), line=at) for at, row in enumerate(rows)]


def fitted(rows: list[Example] | None = None) -> Fit:
    wanted = Wanted(task="t", ladder=("small", "large"), goal=Goal(margin=0.1))
    return fit_router(rows or examples(), wanted, AskedSource(Rates()), lambda *_: None)


@pytest.fixture(scope="module")
def router() -> AskingRouter:
    return router_from(unpack(fitted().data))


def says(text: str) -> object:
    async def ask(question: Question) -> Said:
        assert question.model == "judge"
        assert question.text.startswith("How hard is this: an ")
        return Said(text=text)

    return ask


def fails(error: Exception) -> object:
    async def ask(question: Question) -> Said:
        raise error

    return ask


PROMPT = Prompt(question="an unseen question about the invoice", prompt_chars=36)
FRENCH = Prompt(
    question="Bonjour, pourquoi ma facture est-elle deux fois plus chère que le mois dernier, s'il vous plaît ?"
)


def test_the_bound_lets_easy_calls_stay_small() -> None:
    fit = fitted()
    assert fit.fitted.by == "judge"
    assert fit.fitted.asked == ASKED
    assert fit.fitted.bound.kept
    assert 0.3 < fit.fitted.bound.small_share < 0.6
    assert fit.fitted.bound.loss <= 0.1


def test_a_rating_becomes_probabilities(router: AskingRouter) -> None:
    easy, hard = (asyncio.run(router.judge(PROMPT, says(digit))) for digit in ("1", "5"))
    assert easy.adequate[0] > 0.9 > 0.1 > hard.adequate[0]
    assert easy.uplift[0] < 0.1 < 0.9 < hard.uplift[0]
    assert (easy.rating, hard.rating) == (1, 5)
    assert not easy.unknown
    thresholds = router.fitted.thresholds
    assert thresholds.asks(0, easy.uplift)
    assert not thresholds.asks(0, hard.uplift)


@pytest.mark.parametrize(
    "error", [UpstreamTimeout("no answer within 2 s"), BudgetExceeded("spent"), CallError("anything of ours")]
)
def test_a_model_that_fails_makes_the_call_unknown(router: AskingRouter, error: Exception) -> None:
    judgement = asyncio.run(router.judge(PROMPT, fails(error)))
    assert str(error) in judgement.unknown
    assert judgement.uplift == (UNKNOWN, 0.0)
    assert not judgement.has_figures
    assert judgement.adequate == pytest.approx((0.5, 1.0), abs=0.1)


def test_a_fault_of_ours_is_not_hidden(router: AskingRouter) -> None:
    with pytest.raises(ZeroDivisionError):
        asyncio.run(router.judge(PROMPT, fails(ZeroDivisionError())))


@pytest.mark.parametrize("text", ["", "quite hard, I think", "11", "9"])
def test_garbage_makes_the_call_unknown(router: AskingRouter, text: str) -> None:
    judgement = asyncio.run(router.judge(PROMPT, says(text)))
    assert "gave no rating" in judgement.unknown
    assert not judgement.has_figures


def test_without_anybody_to_ask_it_is_unknown(router: AskingRouter) -> None:
    assert "was not asked" in asyncio.run(router.judge(PROMPT)).unknown


def test_a_guarded_call_is_not_asked_about_unless_figures_are_wanted(router: AskingRouter) -> None:
    judgement = asyncio.run(router.judge(FRENCH, fails(AssertionError("asked"))))
    assert "language 'fr'" in judgement.unknown

    async def ask(question: Question) -> Said:
        return Said(text="1")

    anyway = asyncio.run(router.judge(FRENCH, ask, anyway=True))
    assert "language 'fr'" in anyway.unknown
    assert anyway.has_figures


def test_a_judgement_is_made_again_to_the_bit_without_asking(router: AskingRouter) -> None:
    async def ask(question: Question) -> Said:
        return Said(text="2", first=(("2", -0.3), ("4", -1.7)))

    judgement = asyncio.run(router.judge(PROMPT, ask))
    stored = msgspec.json.decode(msgspec.json.encode(judgement), type=type(judgement))
    assert msgspec.json.encode(router.judge_again(PROMPT, stored)) == msgspec.json.encode(judgement)
    failed = asyncio.run(router.judge(PROMPT, fails(UpstreamTimeout("late"))))
    assert router.judge_again(PROMPT, failed) == failed


def test_a_second_look_is_taken(router: AskingRouter) -> None:
    easy = asyncio.run(router.judge(PROMPT, says("1")))
    assert 0 < router.second_look(0, easy, Signals(chars=7)) <= 1


def test_too_few_ratings_are_an_error() -> None:
    odd = [row for row in examples(3000) if "odd" in row.prompt.question][:60]
    with pytest.raises(ConfigError, match="judge gave 0 of"):
        fitted(odd)


def test_an_artifact_that_names_a_model_must_say_what_it_is() -> None:
    found = unpack(fitted().data)
    with pytest.raises(ReleaseError, match="does not say what that is"):
        AskingRouter(msgspec.structs.replace(read_fitted(found), asked=None), found)
