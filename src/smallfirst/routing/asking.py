"""The router that asks a small language model how hard a call is, and knows from outcomes what its ratings are worth."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smallfirst.classify.artifact import Artifact
from smallfirst.classify.calibrated import Calibrated
from smallfirst.classify.prompt import Prompt
from smallfirst.errors import CallError, ReleaseError
from smallfirst.routing.fitted import Asked, Fitted, read_fitted
from smallfirst.routing.guards import guarded
from smallfirst.routing.judgement import Ask, Judgement, Question, Signals
from smallfirst.routing.rating import CHOICES, Ratings, read_rating, write_question
from smallfirst.routing.second_look import features as answer_features
from smallfirst.routing.second_look import looks_of
from smallfirst.routing.thresholds import UNKNOWN

_SHOWN_CHARS = 40


class AskingRouter:
    """Implements `judgement.Router`. A model that fails, is late or says something else makes the call unknown: it goes to the frontier."""

    asks = True

    def __init__(self, fitted: Fitted, found: Artifact) -> None:
        """Raises `ReleaseError` where the artifact is of a router that asks nobody."""
        if fitted.asked is None:
            raise ReleaseError(
                f"router {fitted.sha256[:12]} was fitted to ask {fitted.by}, and does not say what that is"
            )
        self.fitted = fitted
        self.artifact = found
        self.sha256 = fitted.sha256
        self.ladder = fitted.ladder
        self._asked = fitted.asked
        self._curves = curves_of(found, len(fitted.ladder))
        self._base = tuple(float(value) for value in found.arrays["base"])
        self._looks = looks_of(found.arrays, len(fitted.ladder))

    async def judge(self, prompt: Prompt, ask: Ask | None = None, *, anyway: bool = False) -> Judgement:
        guard = guarded(prompt, self.fitted.seen)
        if guard and not anyway:  # it goes to the frontier whatever the model would say
            return self._without(guard)
        if ask is None:
            return self._without(f"{self._asked.model} is asked how hard a call is, and was not asked here")
        try:
            said = await ask(question_of(self._asked, prompt))
        except CallError as error:
            return self._without(f"{self._asked.model} did not say how hard it is: {error.message}")
        rating = read_rating(said)
        if rating is None:
            text = " ".join(said.text.split())[:_SHOWN_CHARS]
            return self._without(f"{self._asked.model} gave no rating: {text!r}")
        return self.judge_all([prompt], ratings_of([prompt], [rating]))[0]

    def judge_again(self, prompt: Prompt, stored: Judgement) -> Judgement:
        if stored.rating is None:  # nothing was said then either
            return stored
        return self.judge_all([prompt], ratings_of([prompt], [stored.rating]))[0]

    def judge_all(self, prompts: Sequence[Prompt], ratings: Ratings) -> list[Judgement]:
        """The same for many calls that were rated already: one by one, so that what is certified is what is served, to the bit."""
        return [self._judgement(prompt, ratings.rows(np.array([at]))) for at, prompt in enumerate(prompts)]

    def second_look(self, rung: int, judgement: Judgement, signals: Signals) -> float:
        look = self._looks.get(rung)
        if look is None:
            return judgement.adequate[rung]
        return float(look.probability(answer_features(judgement.adequate[rung], signals)))

    def _judgement(self, prompt: Prompt, rated: Ratings) -> Judgement:
        if not rated.known[0]:
            return self._without(f"{self._asked.model} gave no rating")
        adequate = tuple(float(value) for value in expected(self._curves, rated)[0])
        return Judgement(
            adequate=adequate,
            uplift=tuple(adequate[-1] - value for value in adequate),
            unknown=guarded(prompt, self.fitted.seen),
            rating=float(rated.values[0]),
        )

    def _without(self, why: str) -> Judgement:
        """Of a call that was not rated: what holds of all calls, and a gain that sends it to the frontier."""
        lower = len(self.ladder) - 1
        return Judgement(adequate=self._base, uplift=(UNKNOWN,) * lower + (0.0,), unknown=why)


def router_from(found: Artifact) -> AskingRouter:
    """The router of an artifact. Raises `ReleaseError` where it is another thing."""
    return AskingRouter(read_fitted(found), found)


def question_of(asked: Asked, prompt: Prompt) -> Question:
    """What the model is asked about this call."""
    return Question(model=asked.model, text=write_question(asked.question, prompt), choices=CHOICES)


def ratings_of(prompts: Sequence[Prompt], values: Sequence[float | None]) -> Ratings:
    """The ratings of these prompts, in their order; None where none was given."""
    return Ratings(
        np.array([np.nan if value is None else value for value in values], np.float64),
        np.array([len(prompt.question) for prompt in prompts], np.float64),
    )


def curves_of(found: Artifact, rungs: int) -> list[Calibrated]:
    """By rung, from a rating to the probability that its answer is adequate."""
    return [Calibrated.from_arrays(f"rung{rung}", found.arrays) for rung in range(rungs)]


def expected(curves: Sequence[Calibrated], ratings: Ratings) -> np.ndarray:
    """[n, rungs]: the probability that each rung's answer is adequate; NaN where there is no rating."""
    return np.stack([curve.probability(ratings.features) for curve in curves], axis=1)
