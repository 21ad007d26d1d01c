"""A run as outcome rows, which `smallfirst router fit` learns from: what each model was worth on each example."""

from __future__ import annotations

from collections.abc import Sequence

from smallfirst.datasets.example import Example
from smallfirst.errors import EvalError
from smallfirst.evals.columns import table_of
from smallfirst.evals.runner import Run
from smallfirst.evals.store import Answered
from smallfirst.training.outcomes import Outcome, OutcomeRow


def outcome_rows(run: Run, examples: Sequence[Example]) -> list[OutcomeRow]:
    """A row for each example that every single model of the run has answered; a release is not a model, and is left out.

    Raises `EvalError` where no example has all of its answers.
    """
    table = table_of(run, examples)
    columns = [column for column in table.columns if not column.arm.release]
    if not columns or not table.examples:
        raise EvalError("no example was answered by every model of this run: there are no outcomes")
    return [
        OutcomeRow(
            id=example.id,
            messages=example.messages,
            tools=example.tools,
            intent=example.slices.get("intent"),
            group=example.group or None,
            outcomes={_name(column.arm.models): _outcome(column.answers[at]) for column in columns},
        )
        for at, example in enumerate(table.examples)
    ]


def _name(models: Sequence[str]) -> str:
    """The frontier's arm goes by its model's name: that is what a ladder calls it."""
    return models[-1]


def _outcome(answer: Answered) -> Outcome:
    return Outcome(
        score=answer.score or 0.0,
        cost_usd=None if answer.cost_nusd is None else answer.cost_nusd / 1e9,
        output_chars=len(answer.output),
        confidence=answer.confidence,
        answer=answer.output,
        truncated=answer.truncated,
        refused=answer.refused,
    )
