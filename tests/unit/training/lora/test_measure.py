"""What a model is worth on calibration examples."""

from __future__ import annotations

import pytest
import torch
from support.tiny_adapter import opened_tiny_base

from smallfirst.config.schema import Scorer as Spec
from smallfirst.contracts import LabelContract
from smallfirst.datasets.example import Example
from smallfirst.errors import DatasetError
from smallfirst.models.adapters.adapter import AskedTold
from smallfirst.scoring.opening import open_scorer
from smallfirst.training.lora.decode import decode
from smallfirst.training.lora.measure import Yardstick, yardstick
from smallfirst.training.lora.rendering import render_all

CONTRACT = LabelContract(("card lost", "top up", "refund"))


def examples(count: int = 30) -> list[Example]:
    return [
        Example(
            id=f"e{at}",
            messages=[{"role": "user", "content": f"case {at} of my card"}],
            label=CONTRACT.labels[at % 3],
        )
        for at in range(count)
    ]


def made(given: list[Example], *, at_most: int = 200, seed: int = 0, scored: bool = True) -> Yardstick:
    tokenizer = opened_tiny_base().tokenizer()
    rendered = render_all(
        given, tokenizer, asked=AskedTold(), contract=CONTRACT, context_tokens=512, skip_long=True
    )
    return yardstick(
        given,
        rendered.rows,
        tokenizer=tokenizer,
        contract=CONTRACT,
        scorer=open_scorer(Spec(), CONTRACT) if scored else None,
        at_most=at_most,
        seed=seed,
    )


def test_the_sample_is_the_seeds_and_rows_belong_to_their_examples() -> None:
    first = made(examples(), at_most=10, seed=1)
    assert len(first.rows) == 10
    assert [row.id for row in first.rows] == [example.id for example in first.examples]
    assert made(examples(), at_most=10, seed=1).examples == first.examples
    assert made(examples(), at_most=10, seed=2).examples != first.examples
    assert len(made(examples(), at_most=100).rows) == 30


def test_loss_score_and_validity() -> None:
    stick, model = made(examples(), at_most=12), opened_tiny_base().model()
    told: list[tuple[str, int, int]] = []
    measured = stick.measure(model, progress=lambda *step: told.append(step))
    assert told[-1] == ("answering calibration examples", 12, 12)
    right = [
        answer.text == example.label for answer, example in zip(measured.answers, stick.examples, strict=True)
    ]
    assert measured.score == pytest.approx(sum(right) / 12)
    assert (measured.valid, measured.rows, measured.note) == (1.0, 12, "")
    expected, tokens = 0.0, 0
    for row in stick.rows:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([row.ids])).logits[0, row.supervised_from - 1 : -1]
        said = torch.tensor(row.ids[row.supervised_from :])
        expected += float(torch.nn.functional.cross_entropy(logits, said, reduction="sum"))
        tokens += len(said)
    assert measured.loss == pytest.approx(expected / tokens, abs=1e-4) == stick.loss(model)


def test_without_a_scorer_there_is_no_score() -> None:
    assert made(examples(), at_most=3, scored=False).measure(opened_tiny_base().model()).score is None


def test_probes_are_what_the_model_answers_and_hold_no_text_of_the_example() -> None:
    stick, model = made(examples()), opened_tiny_base().model()
    probes = stick.probes(model, at_most=5)
    answers = decode(model, stick.tokenizer, [row.prompt for row in stick.rows[:5]], CONTRACT, max_tokens=20)
    assert [(one.id, one.prompt_sha256) for one in probes] == [
        (row.id, row.prompt_sha256) for row in stick.rows[:5]
    ]
    assert [one.answer for one in probes] == [one.text for one in answers]
    assert [one.logprob for one in probes] == pytest.approx([one.logprob for one in answers], abs=1e-3)


def test_without_calibration_examples_nothing_can_be_measured() -> None:
    with pytest.raises(DatasetError, match="no calibration examples"):
        made([])


def test_examples_that_were_left_out_are_not_measured() -> None:
    long = Example(id="long", messages=[{"role": "user", "content": "word " * 600}], label="refund")
    assert {row.id for row in made([*examples(3), long]).rows} == {"e0", "e1", "e2"}
