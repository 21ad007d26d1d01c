"""Which answers become references: a person's word first, then the samples' agreement or a judge, and never an answer that is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from support.evals import CONTRACT, answered, example

from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import JsonContract, TextContract
from smallfirst.datasets.example import Example
from smallfirst.evals.runner import Run
from smallfirst.evals.store import Answered, ArmTold, Manifest
from smallfirst.scoring import open_scorer
from smallfirst.teaching.selection import (
    DISAGREED,
    DISLIKED,
    EMPTY,
    FAILED,
    REFUSED,
    TOOLS,
    TRUNCATED,
    UNANSWERED,
    UNMET,
    WRONG,
    Choice,
    Rule,
    choose,
    default_accept,
)

RULE = Rule(accept=1.0, agree=0.6)


def bare(at: int) -> Example:
    return example(at, label=None)


def run_of(*samples: Mapping[str, Any] | None) -> Run:
    """A run of one example and so many samples of it."""
    names = [f"big:{number}" for number in range(1, len(samples) + 1)]
    manifest = Manifest(
        task="triage",
        arms=tuple(ArmTold(name=name, policy=name, models=("big",)) for name in names),
        scorer="s",
        examples="e",
        count=1,
    )
    answers: dict[tuple[str, str], Answered] = {
        (name, "e-0"): answered(name, 0, **sample)
        for name, sample in zip(names, samples, strict=True)
        if sample is not None
    }
    return Run(manifest=manifest, examples=("e-0",), answers=answers)


async def chosen(
    one: Example, *samples: Mapping[str, Any] | None, rule: Rule = RULE, contract: Any = CONTRACT
) -> Choice:
    scorer = open_scorer(Spec(), contract)
    (choice,) = await choose(run_of(*samples), [one], rule, contract=contract, scorer=scorer)
    return choice


@pytest.mark.parametrize(
    ("sample", "why"),
    [
        ({"error": "no", "failed_by": "model", "score": 0.0}, FAILED),
        ({"refused": True}, REFUSED),
        ({"truncated": True}, TRUNCATED),
        ({"tool_calls": 1}, TOOLS),
        ({"unmet": "not one of the labels"}, UNMET),
        ({"output": " "}, EMPTY),
        ({"error": "nobody there", "failed_by": "outside", "score": 0.0}, UNANSWERED),
        ({"score": None, "note": "the judge is away"}, UNANSWERED),
        (None, UNANSWERED),
    ],
)
async def test_what_is_no_answer_is_never_kept(sample: Mapping[str, Any] | None, why: str) -> None:
    for one in (bare(0), example(0)):
        choice = await chosen(one, sample)
        assert (choice.text, choice.why) == ("", why)


async def test_one_sample_of_what_nobody_verified_is_kept() -> None:
    choice = await chosen(bare(0), {"output": "bug"})
    assert (choice.text, choice.right, choice.by_rule) == ("bug", None, None)


async def test_a_persons_word_decides() -> None:
    right = await chosen(example(0), {"output": "billing", "score": 1.0})
    assert (right.text, right.right, right.by_rule) == ("billing", True, True)
    wrong = await chosen(example(0), {"output": "bug", "score": 0.0})
    assert (wrong.text, wrong.why, wrong.right, wrong.by_rule) == ("", WRONG, False, False)
    one_of_two = await chosen(
        example(0), {"output": "bug", "score": 0.0}, {"output": "billing", "score": 1.0}
    )
    assert (one_of_two.text, one_of_two.right) == ("billing", False)


@pytest.mark.parametrize(
    ("outputs", "text"),
    [
        (["bug", "bug", "bug", "how-to", "billing"], "bug"),  # 60 %
        (["bug", "bug", "how-to", "how-to", "billing"], ""),
        (["how-to", "bug", "bug", "bug", "bug"], "bug"),
    ],
)
async def test_samples_must_agree(outputs: Sequence[str], text: str) -> None:
    choice = await chosen(bare(0), *({"output": output} for output in outputs))
    assert choice.text == text
    assert choice.why == ("" if text else DISAGREED)


async def test_a_sample_that_is_no_answer_agrees_with_none() -> None:
    samples = [{"output": "bug"}, {"output": "bug"}, {"truncated": True}, {"refused": True}]
    choice = await chosen(bare(0), *samples)
    assert (choice.why, choice.agreed) == (DISAGREED, 0.5)


async def test_json_agrees_by_value_and_text_by_its_scorer() -> None:
    contract = JsonContract(schema={"type": "object"})
    choice = await chosen(
        bare(0), {"output": '{"a":1,"b":2}'}, {"output": '{"b": 2, "a": 1}'}, contract=contract
    )
    assert choice.agreed == 1.0
    texts = ["We sent the parcel to you today.", "We have sent the parcel to you today.", "No."]
    rule = Rule(accept=0.5, agree=0.6)
    choice = await chosen(bare(0), *({"output": one} for one in texts), rule=rule, contract=TextContract())
    assert (choice.text, round(choice.agreed or 0, 3)) == (texts[0], 0.667)


async def test_a_judge_must_like_it_as_well() -> None:
    rule = Rule(accept=0.75, judged=True)
    choice = await chosen(bare(0), {"output": "bug", "score": 0.5, "note": "meh"}, rule=rule)
    assert (choice.why, choice.detail) == (DISLIKED, "meh")
    choice = await chosen(bare(0), {"output": "bug", "score": 1.0}, rule=rule)
    assert choice.text == "bug"


def test_what_is_enough_is_said_by_the_contract() -> None:
    assert default_accept(Spec(), CONTRACT) == 1.0
    assert default_accept(Spec(), TextContract()) == 0.5
    assert default_accept(Spec(kind="judge", model="m", rubric="r"), TextContract()) == 0.75
