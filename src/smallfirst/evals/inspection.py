"""The answers of a run to look at: which examples, and for each what every arm said of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.runner import Run
from smallfirst.evals.slices import question_of
from smallfirst.evals.store import Answered

WHERE = ("all", "wrong", "differ", "unmet", "failed")
_RIGHT = 1 - 1e-9


class Inspected(msgspec.Struct, frozen=True, kw_only=True):
    """One example: the question, what is right, and the answers that are there, by arm."""

    example: Example
    answers: dict[str, Answered]

    @property
    def question(self) -> str:
        return question_of(self.example)

    @property
    def reference(self) -> str:
        """What is right, as text."""
        return shown(self.example.reference)

    @property
    def outputs(self) -> set[str]:
        return {answer.output.strip() for answer in self.answers.values()}


def inspect(
    run: Run, examples: Sequence[Example], *, where: str = "all", example: str = "", arm: str = ""
) -> list[Inspected]:
    """The examples that fit, in the run's order, those with the lowest score first where they are looked for because something is wrong.

    `wrong`: an arm scores below 1; `differ`: arms do not say the same; `unmet`: the contract is not kept; `failed`: nobody answered.
    `arm` narrows "an arm" to that one. Raises `EvalError` for an unknown example, arm or `where`.
    """
    if where not in WHERE:
        raise EvalError(f"--where {where}: expected one of {', '.join(WHERE)}")
    names = [told.name for told in run.manifest.arms]
    if arm and arm not in names:
        raise EvalError(f"--arm {arm}: the run has {', '.join(names)}")
    found = []
    for one in examples:
        answers = {name: run.answers[name, one.id] for name in names if (name, one.id) in run.answers}
        found.append(Inspected(example=one, answers=answers))
    if example:
        found = [one for one in found if one.example.id == example] or [
            one for one in found if one.example.id.startswith(example)
        ]
        if not found:
            raise EvalError(f"--example {example}: the run has no such example")
    kept = [one for one in found if _fits(one, where, [arm] if arm else names)]
    return sorted(kept, key=_lowest) if where in ("wrong", "differ") else kept


def shown(reference: Any) -> str:
    """A reference as text: a label or text as it is, the first of several texts, anything else as JSON."""
    if isinstance(reference, str):
        return reference
    if isinstance(reference, list) and reference and all(isinstance(text, str) for text in reference):
        return "\n— or —\n".join(reference)
    return msgspec.json.format(msgspec.json.encode(reference), indent=2).decode()


def _fits(one: Inspected, where: str, arms: Sequence[str]) -> bool:
    answers = [one.answers[name] for name in arms if name in one.answers]
    if where == "wrong":
        return any(answer.score is not None and answer.score < _RIGHT for answer in answers)
    if where == "differ":
        return len(one.outputs) > 1
    if where == "unmet":
        return any(answer.unmet for answer in answers)
    if where == "failed":
        return any(answer.error or answer.score is None for answer in answers)
    return True


def _lowest(one: Inspected) -> float:
    return min((answer.score or 0.0 for answer in one.answers.values()), default=0.0)
