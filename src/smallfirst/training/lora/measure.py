"""What a model is worth on calibration examples, while it is trained and once it is: its loss, and its answers as the task's scorer sees them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from smallfirst.contracts import Contract, JsonContract, LabelContract
from smallfirst.datasets.example import Example
from smallfirst.errors import DatasetError
from smallfirst.models.adapters.adapter import Probe
from smallfirst.scoring.scorer import Scorer
from smallfirst.training.lora.batches import collate, packing_for, supervised_loss
from smallfirst.training.lora.decode import Decoded, Decoder
from smallfirst.training.lora.estimate import ANSWERS_TOGETHER, LOSS_TOKENS
from smallfirst.training.lora.heads import answering, causal_of
from smallfirst.training.lora.packing import plan_epoch
from smallfirst.training.lora.rendering import Rendered

Progress = Callable[[str, int, int], None]
"""Told the step, what is done of it, and how much there is."""

_BATCH_EXAMPLES = 64
_LEAST_TOKENS = 16
_ROOM = 1.5  # an answer may be longer than the longest reference by so much


class Measured(msgspec.Struct, frozen=True, kw_only=True):
    """`loss`: the mean negative log-likelihood of a supervised token, natural. `score`: the mean of the task's scorer, None where there is none.

    `valid`: the share of answers that pass the contract's check. `note` says why they were decoded freely, where they were.
    """

    loss: float
    score: float | None
    valid: float
    rows: int
    answers: list[Decoded]  # in the rows' order
    note: str = ""


class Yardstick(msgspec.Struct, frozen=True, kw_only=True):
    """What is measured on: made once, by `yardstick`."""

    examples: list[Example]
    rows: list[Rendered]
    contract: Contract
    scorer: Scorer | None
    tokenizer: Any
    max_tokens: int
    batch: int = ANSWERS_TOGETHER

    def loss(self, model: Any) -> float:
        """The loss alone: one pass, no decoding."""
        packing = packing_for(self.rows, model, batch_tokens=LOSS_TOKENS, batch_examples=_BATCH_EXAMPLES)
        total, tokens = 0.0, 0
        device = causal_of(model).get_input_embeddings().weight.device
        with answering(model):
            for plan in plan_epoch(self.rows, packing, seed=0, epoch=0):
                loss, count = supervised_loss(model, collate(self.rows, plan, packing, device=device))
                total, tokens = total + float(loss), tokens + count
        return total / tokens

    def measure(self, model: Any, *, progress: Progress = lambda *_: None) -> Measured:
        """Loss, score and validity. Raises `ScorerError` where an answer cannot be scored."""
        decoder = self._decoder(model)
        answers = decoder.decode(
            [row.prompt for row in self.rows],
            progress=lambda done, total: progress("answering calibration examples", done, total),
        )
        return Measured(
            loss=self.loss(model),
            score=asyncio.run(self._score(answers)) if self.scorer is not None else None,
            valid=sum(answer.valid for answer in answers) / len(answers),
            rows=len(self.rows),
            answers=answers,
            note=decoder.note,
        )

    def probes(self, model: Any, *, at_most: int = 64, progress: Progress = lambda *_: None) -> list[Probe]:
        """The model's answers to the first examples, for a server's to be compared with."""
        rows = self.rows[:at_most]
        answers = self._decoder(model).decode(
            [row.prompt for row in rows],
            progress=lambda done, total: progress("answering probes", done, total),
        )
        return [
            Probe(id=row.id, answer=answer.text, logprob=answer.logprob, prompt_sha256=row.prompt_sha256)
            for row, answer in zip(rows, answers, strict=True)
        ]

    def _decoder(self, model: Any) -> Decoder:
        return Decoder(model, self.tokenizer, self.contract, max_tokens=self.max_tokens, batch=self.batch)

    async def _score(self, answers: Sequence[Decoded]) -> float:
        assert self.scorer is not None
        total = 0.0
        for example, answer in zip(self.examples, answers, strict=True):
            score = await self.scorer.score(answer.text, example.reference, messages=example.messages)
            total += score.value
        return total / len(answers)


def yardstick(
    examples: Sequence[Example],
    rows: Sequence[Rendered],
    *,
    tokenizer: Any,
    contract: Contract,
    scorer: Scorer | None,
    at_most: int = 200,
    seed: int = 0,
) -> Yardstick:
    """A seeded sample of at most so many; `rows` are those of `render_all`, which may have left some out.

    Raises `DatasetError` where there are none.
    """
    by_id = {row.id: row for row in rows}
    known = [example for example in examples if example.id in by_id]
    if not known:
        raise DatasetError(
            "the dataset has no calibration examples, and without them nobody could tell when to stop; make it anew with some"
        )
    sample = random.Random(f"yardstick {seed}").sample(known, min(at_most, len(known)))  # noqa: S311 (a sample, no secret)
    chosen = [by_id[example.id] for example in sample]
    return Yardstick(
        examples=sample,
        rows=chosen,
        contract=contract,
        scorer=scorer,
        tokenizer=tokenizer,
        max_tokens=_most_tokens(chosen, contract),
    )


def _most_tokens(rows: Sequence[Rendered], contract: Contract) -> int:
    """Room for any right answer: one label ends by itself, and is given as many as it wants."""
    longest = max(len(row.ids) - row.supervised_from for row in rows)
    if isinstance(contract, LabelContract):
        return max(longest, *(len(label.encode()) for label in contract.labels)) * (
            1 if contract.pick in ("one", "ordinal") else 2
        )
    return max(_LEAST_TOKENS, round(longest * (2 * _ROOM if isinstance(contract, JsonContract) else _ROOM)))
