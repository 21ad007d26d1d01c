"""The router that was fitted on a task's own outcomes. Numbers in, numbers out; nothing is trained here."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import numpy as np

from smallfirst.classify.artifact import Artifact
from smallfirst.classify.difficulty import Difficulty
from smallfirst.classify.embedder import Embedder
from smallfirst.classify.encoding import Encoded, encode
from smallfirst.classify.prompt import Prompt
from smallfirst.errors import ReleaseError
from smallfirst.routing.fitted import Fitted, read_fitted
from smallfirst.routing.guards import guarded
from smallfirst.routing.judgement import Ask, Judgement, Near, Signals
from smallfirst.routing.second_look import features as answer_features
from smallfirst.routing.second_look import looks_of

_NEAR = 3
_CLEAR_INTENT = 0.8  # from here on an intent's prior speaks for a call that is unlike all others


class LearnedRouter:
    """Implements `judgement.Router`."""

    asks = False

    def __init__(self, fitted: Fitted, found: Artifact, embedder: Embedder) -> None:
        self.fitted = fitted
        self.artifact = found
        self.sha256 = fitted.sha256
        self.ladder = fitted.ladder
        self._embedder = embedder
        self._difficulty = Difficulty.from_arrays(found.arrays)
        self._looks = looks_of(found.arrays, len(fitted.ladder))
        self._kept = found.arrays["examples"].astype(np.float32)

    async def judge(self, prompt: Prompt, ask: Ask | None = None, *, anyway: bool = False) -> Judgement:
        """Nobody is asked, and figures are always there."""
        if self._embedder.slow:
            return await asyncio.to_thread(self.judge_now, prompt)
        return self.judge_now(prompt)

    def judge_now(self, prompt: Prompt) -> Judgement:
        """The same, at once."""
        return self.judge_all([prompt], encode(self._embedder, [prompt]))[0]

    def judge_again(self, prompt: Prompt, stored: Judgement) -> Judgement:
        return self.judge_now(prompt)

    def judge_all(self, prompts: Sequence[Prompt], encoded: Encoded) -> list[Judgement]:
        """The same for many calls whose numbers are there already: one by one, since a product of matrices rounds a row otherwise than one of
        its own, and what is certified is to be what is served, to the bit.
        """
        return [self._judgement(prompt, encoded.rows(np.array([at]))) for at, prompt in enumerate(prompts)]

    def second_look(self, rung: int, judgement: Judgement, signals: Signals) -> float:
        look = self._looks.get(rung)
        if look is None:
            return judgement.adequate[rung]
        return float(look.probability(answer_features(judgement.adequate[rung], signals)))

    def _judgement(self, prompt: Prompt, encoded: Encoded) -> Judgement:
        expected = self._difficulty.expected(encoded)
        near = self._near(encoded.vectors[0])
        uplift = expected.uplift[0]
        intent, probability = "", 0.0
        if self.fitted.intents:
            intent = self.fitted.intents[int(expected.intent[0])]
            probability = float(expected.intent_probability[0])
        unknown = guarded(prompt, self.fitted.seen)
        if not unknown and near and near[0].similarity < self.fitted.unknown_below:
            if probability >= _CLEAR_INTENT:
                uplift = expected.prior[0]
            else:
                unknown = f"unlike anything seen (cosine {near[0].similarity:.2f})"
        return Judgement(
            adequate=tuple(float(value) for value in expected.adequate[0]),
            uplift=tuple(float(value) for value in uplift),
            intent=intent,
            intent_probability=probability,
            unknown=unknown,
            near=near,
        )

    def _near(self, vector: np.ndarray) -> tuple[Near, ...]:
        if not len(self._kept):
            return ()
        cosines = self._kept @ vector
        best = np.argpartition(-cosines, min(_NEAR, len(cosines)) - 1)[:_NEAR]
        best = best[np.argsort(-cosines[best], kind="stable")]
        return tuple(Near(self.fitted.examples[at], round(float(cosines[at]), 4)) for at in best)


def router_from(found: Artifact, embedder: Embedder) -> LearnedRouter:
    """The router of an artifact. Raises `ReleaseError` where it is another thing, or was fitted with other weights of its embedder."""
    fitted = read_fitted(found)
    if embedder.sha256 != fitted.embedder_sha256:
        raise ReleaseError(
            f"router {found.sha256[:12]} was fitted with embedder {fitted.embedder} {fitted.embedder_sha256[:12]}, and here it is "
            f"{embedder.sha256[:12]}: fit the router again, or install the version of the embedder that it knew"
        )
    return LearnedRouter(fitted, found, embedder)
