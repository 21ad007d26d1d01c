"""A language model as a scorer. Its word does not count at the gate before its agreement with people was measured (`measurement.py`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from smallfirst.config.schema import Scorer as Spec
from smallfirst.errors import ScorerError
from smallfirst.scoring import judge_prompt
from smallfirst.scoring.identity import scorer_id
from smallfirst.scoring.judge_prompt import Message, Said, read_absolute, read_pairwise
from smallfirst.scoring.references import texts_of
from smallfirst.scoring.scorer import Score, Scorer

Ask = Callable[[Sequence[Message]], Awaitable[str]]
"""Puts messages to the judge's model, at temperature 0, and gives its text back. Its own errors pass through."""

_TRIES = 3
_AGAIN = "That is not the JSON object that was asked for. Answer with it alone."


class UnreadableVerdict(ScorerError):
    """The judge answered, and not with what it was asked for: of one answer there is no verdict, others may have one."""


class JudgeScorer:
    """Implements `Scorer`. `absolute`: the rubric's score, 1–5 or yes and no, on [0, 1], with the references where there are some.
    `pairwise`: 1 where the output is better than the reference, 0 where it is worse, ½ for a tie; asked in both orders, and two answers that
    contradict one another are a tie. Against itself an answer ties, unasked.
    """

    judged = True

    def __init__(self, spec: Spec, ask: Ask | None) -> None:
        """Raises `ScorerError` where the table names no model or no rubric. Without `ask` it can be named, and cannot score."""
        if not spec.model:
            raise ScorerError('scorer.model: scorer.kind = "judge" needs the model that judges')
        if not spec.rubric.strip():
            raise ScorerError('scorer.rubric: scorer.kind = "judge" needs to say what a good answer is')
        self.model = spec.model
        self.answer_contract = judge_prompt.answer_contract(spec.mode, spec.scale)
        self._spec, self._ask = spec, ask
        options = {
            "model": spec.model,
            "rubric": spec.rubric,
            "mode": spec.mode,
            "scale": spec.scale if spec.mode == "absolute" else "",
        }
        self.id = scorer_id("judge", judge_prompt.VERSION, options)

    async def score(
        self, output: str, reference: Any, *, messages: Sequence[Mapping[str, Any]] = ()
    ) -> Score:
        """Raises `ScorerError` where the judge cannot be asked, `UnreadableVerdict` where it does not answer as asked; a comparison needs a
        reference to compare with.

        `parts` of a comparison: `position_bias`, 1 where both answers chose the same place; their mean is the share.
        """
        if self._spec.mode == "pairwise":
            return await self._compare(output, texts_of(reference, kind="pairwise judge")[0], messages)
        asked = judge_prompt.absolute(
            output,
            _references(reference),
            messages=messages,
            rubric=self._spec.rubric,
            scale=self._spec.scale,
        )
        said = await self._asked(asked, lambda text: read_absolute(text, self._spec.scale))
        assert isinstance(said.verdict, float)
        return Score(said.verdict, note=said.reason)

    def summary(self, outputs: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        return {}

    async def _compare(self, output: str, other: str, messages: Sequence[Mapping[str, Any]]) -> Score:
        if output.strip() == other.strip():
            return Score(0.5, {"position_bias": 0.0}, "the same text")
        said = [
            await self._asked(
                judge_prompt.pairwise(first, second, messages=messages, rubric=self._spec.rubric),
                read_pairwise,
            )
            for first, second in ((output, other), (other, output))
        ]
        sides = (said[0].verdict, said[1].verdict)
        if sides in (("a", "b"), ("b", "a"), ("tie", "tie")):
            value = {"a": 1.0, "b": 0.0, "tie": 0.5}[str(sides[0])]
            return Score(value, {"position_bias": 0.0}, said[0].reason)
        same_place = float(sides[0] == sides[1])
        return Score(0.5, {"position_bias": same_place}, "the two orders disagree")

    async def _asked(self, messages: Sequence[Message], read: Callable[[str], Said | None]) -> Said:
        if self._ask is None:
            raise ScorerError(f"the judge {self.model!r} cannot be asked from here")
        asked = list(messages)
        for _ in range(_TRIES):
            text = await self._ask(asked)
            said = read(text)
            if said is not None:
                return said
            # Its own answer is shown to it again, so that the same question at temperature 0 is not the same question.
            asked = [
                *messages,
                {"role": "assistant", "content": text[:2000]},
                {"role": "user", "content": _AGAIN},
            ]
        raise UnreadableVerdict(
            f"the judge {self.model!r} did not answer with the JSON object it was asked for, in {_TRIES} tries"
        )


def is_judged(scorer: Scorer) -> bool:
    """Whether a scorer is a judge, whose word counts at the gate only with a measurement."""
    return isinstance(scorer, JudgeScorer)


def _references(reference: Any) -> list[str]:
    """What the judge is shown of a reference: texts as they are, anything else as JSON; nothing where there is none."""
    if reference is None:
        return []
    if isinstance(reference, str):
        return [reference]
    if isinstance(reference, list) and all(isinstance(text, str) for text in reference):
        return reference
    return [msgspec.json.encode(reference).decode()]
