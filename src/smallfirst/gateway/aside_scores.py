"""How right answers were, beside the frontier's: scored where their texts are, one set at a time in a thread of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.answering.check import compile_check
from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import Contract
from smallfirst.errors import ScorerError
from smallfirst.gateway.aside_call import Said
from smallfirst.releases import Policy
from smallfirst.releases.policy import canonical
from smallfirst.scoring.scorer import Scorer


class Unscored(Exception):
    """Answers that have no scores. `why` is one of a few words."""

    def __init__(self, why: str, told: str = "") -> None:
        super().__init__(told or why)
        self.why = why


class Scores:
    """Scores answers; a scorer is opened once for each policy's scorer and contract."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="aside-scores")
        self._runner = asyncio.Runner()  # the thread's: to make a loop costs more than to score a label

    async def of(
        self, policy: Policy, answers: Sequence[Said], *, frontier: Said, label: Any = None
    ) -> list[float]:
        """A score in [0, 1] for each answer. The frontier's answer is the reference, and scores 1; where a `label` is known, that is.

        An answer that failed, or does not keep its contract, scores 0. Raises `Unscored`: a judge is not asked here, a reference is missing, or
        texts are too long.
        """
        if policy.scorer.kind == "judge":
            raise Unscored("judge")
        if label is None and (frontier.text is None or compile_check(policy.contract)(frontier.text)):
            raise Unscored("no_reference")
        texts = [answer.text or "" for answer in [*answers, frontier]]
        if max(map(len, texts)) > limits.ASIDE_SCORED_CHARS:
            raise Unscored("too_long")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._scored, policy, answers, frontier, label)

    async def against(self, policy: Policy, text: str, fresh: str) -> float:
        """The score in [0, 1] of an answer with another as its reference. Raises `Unscored` as `of` does."""
        if policy.scorer.kind == "judge":
            raise Unscored("judge")
        if max(len(text), len(fresh)) > limits.ASIDE_SCORED_CHARS:
            raise Unscored("too_long")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, self._against, policy, text, fresh)

    def close(self) -> None:
        """Lets go of the thread, once it has scored what it is at."""
        self._thread.submit(self._runner.close)
        self._thread.shutdown(wait=False)

    def _against(self, policy: Policy, text: str, fresh: str) -> float:
        """In the thread."""
        from smallfirst.scoring import reference_of

        try:
            scorer = _scorer(canonical(policy.scorer), type(policy.contract), canonical(policy.contract))
            reference = reference_of(fresh, policy.contract)
            return self._runner.run(scorer.score(text, reference)).value
        except ScorerError as error:
            raise Unscored("scorer", str(error)) from error

    def _scored(self, policy: Policy, answers: Sequence[Said], frontier: Said, label: Any) -> list[float]:
        """In the thread."""
        from smallfirst.scoring import reference_of

        try:
            reference = reference_of(frontier.text or "", policy.contract) if label is None else label
            scorer = _scorer(canonical(policy.scorer), type(policy.contract), canonical(policy.contract))
            return self._runner.run(_all(scorer, answers, reference, frontier if label is None else None))
        except ScorerError as error:
            raise Unscored("scorer", str(error)) from error


async def _all(scorer: Scorer, answers: Sequence[Said], reference: Any, right: Said | None) -> list[float]:
    scores: list[float] = []
    for answer in answers:
        if answer is right:
            scores.append(1.0)
        elif answer.text is None or answer.unmet:
            scores.append(0.0)
        else:
            scores.append((await scorer.score(answer.text, reference)).value)
    return scores


@lru_cache(maxsize=256)
def _scorer(spec: bytes, kind: type[Contract], contract: bytes) -> Scorer:
    from smallfirst.scoring import open_scorer

    return open_scorer(msgspec.json.decode(spec, type=Spec), msgspec.json.decode(contract, type=kind))
