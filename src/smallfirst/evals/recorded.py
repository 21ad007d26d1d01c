"""What models once answered to the very calls that examples came from: paid for long ago, and worth what a scorer says of it today."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import msgspec

from smallfirst.datasets.example import Example
from smallfirst.datasets.exchange import read_answer
from smallfirst.ledger.queries import Queries
from smallfirst.ledger.records import Call
from smallfirst.scoring.scorer import Scorer
from smallfirst.training.outcomes import Outcome


def recorded_outcomes(
    queries: Queries, examples: Iterable[Example], scorer: Scorer
) -> dict[str, dict[str, Outcome]]:
    """By example's id and model: the answers to the example's call, and to those that answered it again, whose bodies are kept.

    For tasks whose references are labels: elsewhere what was taken out of a dataset's texts still stands in a recorded answer.
    """
    found: dict[str, dict[str, Outcome]] = {}
    for example in examples:
        if not example.lineage.call or queries.is_erased(example.lineage.call):
            continue
        told = dict(_said(queries, example.lineage.call))
        if told:
            found[example.id] = asyncio.run(_scored(told, example, scorer))
    return found


async def _scored(
    told: dict[str, tuple[str, Outcome]], example: Example, scorer: Scorer
) -> dict[str, Outcome]:
    return {
        model: msgspec.structs.replace(
            outcome, score=(await scorer.score(text, example.reference, messages=example.messages)).value
        )
        for model, (text, outcome) in told.items()
    }


def _said(queries: Queries, call: str) -> Iterable[tuple[str, tuple[str, Outcome]]]:
    """Each model that answered, its text, and what is known of the answer but its score."""
    for one in (queries.call(call), *queries.answered_again(call)):
        bodies = queries.bodies(one.id)
        if one.status != "ok" or bodies is None or not one.attempts:
            continue
        text, why = read_answer(msgspec.json.decode(bodies.answer))
        if not why:
            yield one.model, (text, _unscored(one, text))


def _unscored(call: Call, text: str) -> Outcome:
    last = call.attempts[-1]
    return Outcome(
        score=0.0,
        cost_usd=None if last.cost_nusd is None else last.cost_nusd / 1e9,
        output_chars=len(text),
        answer=text,
        truncated=last.stop in ("length", "max_tokens"),
    )
