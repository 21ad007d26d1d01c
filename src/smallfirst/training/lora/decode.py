"""Answers, decoded greedily under the contract as a server decodes them, and how probable the model found them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
import torch

from smallfirst.answering.check import compile_check
from smallfirst.contracts import Contract
from smallfirst.training.lora.batches import collate, packing_for, supervised_logprobs
from smallfirst.training.lora.constraints import Begin, Walk, constraint_on
from smallfirst.training.lora.estimate import ANSWERS_TOGETHER, TOKENS_TOGETHER
from smallfirst.training.lora.heads import answering, causal_of
from smallfirst.training.lora.packing import BatchPlan, Packing
from smallfirst.training.lora.rendering import Rendered, Template
from smallfirst.training.lora.stream import Beginning, Stream
from smallfirst.training.lora.vocabulary import ends_of

_ROW_TOKENS = 1024


class Decoded(msgspec.Struct, frozen=True, kw_only=True):
    """`logprob`: natural, of the answer's tokens before the constraint, without the end of the turn, which servers do not tell either.

    `valid`: whether it passes the contract's check. `ended`: by the model, and not for its length.
    """

    text: str
    logprob: float
    valid: bool
    tokens: int
    ended: bool = True


def decode(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[Sequence[int]],
    contract: Contract,
    *,
    max_tokens: int,
    batch: int = ANSWERS_TOGETHER,
) -> list[Decoded]:
    """One answer a prompt, in their order. The model is left in the mode (train or eval) that it was in."""
    return Decoder(model, tokenizer, contract, max_tokens=max_tokens, batch=batch).decode(prompts)


class Decoder:
    """A model's way to answer under a contract. `note` says why it decodes freely, where the contract could be kept; it is empty otherwise."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        contract: Contract,
        *,
        max_tokens: int,
        batch: int = ANSWERS_TOGETHER,
    ) -> None:
        self._model, self._tokenizer = model, tokenizer
        self._max_tokens, self._batch = max_tokens, batch
        self._check = compile_check(contract)
        causal = causal_of(model)
        ends = ends_of(tokenizer, causal, Template(tokenizer).end)
        self._ends = frozenset(ends)
        width = causal.config.get_text_config().vocab_size
        self._begin: Begin
        self._begin, self.note = constraint_on(contract, tokenizer, ends=ends, width=width)

    def decode(
        self, prompts: Sequence[Sequence[int]], *, progress: Callable[[int, int], None] = lambda *_: None
    ) -> list[Decoded]:
        """One answer a prompt, in their order; prompts of about one length are answered together."""
        answers: dict[int, Decoded] = {}
        order = sorted(range(len(prompts)), key=lambda at: len(prompts[at]))
        with answering(self._model):
            beginning = Beginning(self._model, prompts)
            for places in self._together(order, prompts):
                stream = Stream(self._model, beginning, [prompts[at] for at in places])
                answers.update(zip(places, self._answers(stream, len(places)), strict=True))
                progress(len(answers), len(prompts))
        return [answers[at] for at in range(len(prompts))]

    def _together(self, order: Sequence[int], prompts: Sequence[Sequence[int]]) -> Iterator[list[int]]:
        """As many as are answered at once: fewer where they are long, since keys and values of all are kept. `order` is by their length."""
        places: list[int] = []
        for at in order:
            if places and (
                len(places) == self._batch or len(prompts[at]) * (len(places) + 1) > TOKENS_TOGETHER
            ):
                yield places
                places = []
            places.append(at)
        if places:
            yield places

    def _answers(self, stream: Stream, count: int) -> list[Decoded]:
        answers = [_Answer(self._begin()) for _ in range(count)]
        going = list(answers)
        for _ in range(self._max_tokens):
            logits = stream.logits()
            own = logits.logsumexp(-1).tolist()
            kept = []
            for row, answer in enumerate(going):
                token = answer.walk.choose(logits[row])
                if token in self._ends:
                    answer.ended = True
                    continue
                answer.say(token, float(logits[row, token]) - own[row])
                if not answer.ended:
                    kept.append(row)
            if not kept:
                break
            going = [going[row] for row in kept]
            stream.go_on(kept, [answer.said[-1] for answer in going])
        return [self._decoded(answer) for answer in answers]

    def _decoded(self, answer: _Answer) -> Decoded:
        text = self._tokenizer.decode(
            answer.said, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Decoded(
            text=text,
            logprob=answer.logprob,
            valid=not self._check(text),
            tokens=len(answer.said),
            ended=answer.ended,
        )


class _Answer:
    """One answer on its way. `ended` also where nothing but the end of the turn may follow."""

    def __init__(self, walk: Walk) -> None:
        self.walk = walk
        self.said: list[int] = []
        self.logprob = 0.0
        self.ended = False

    def say(self, token: int, logprob: float) -> None:
        self.said.append(token)
        self.logprob += logprob
        self.walk.take(token)
        self.ended = self.walk.done


def label_probabilities(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], labels: Sequence[str]
) -> list[list[float]]:
    """For each prompt the probability of each label, in their order: of its tokens and the end of the turn, over that of all labels together."""
    scored = label_logprobs(model, tokenizer, prompts, labels)
    return torch.tensor(scored, dtype=torch.float64).softmax(-1).tolist()


def label_logprobs(
    model: Any, tokenizer: Any, prompts: Sequence[Sequence[int]], labels: Sequence[str]
) -> list[list[float]]:
    """For each prompt the log-probability (natural) of each label as the model's whole answer, spelt as the tokenizer spells it.

    The prompt is computed once for all labels where the model allows it (`packing_for`).
    """
    template = Template(tokenizer)
    spoken = [template.spoken(label) for label in labels]
    device = causal_of(model).get_input_embeddings().weight.device
    packing: Packing | None = None
    scored = []
    with answering(model):
        for prompt in prompts:
            rows = [_row(prompt, ids) for ids in spoken]
            packing = packing or packing_for(rows, model, batch_tokens=_ROW_TOKENS, batch_examples=len(rows))
            # Every prompt is shared whole but for its last token, off which the first of a label is read.
            own = msgspec.structs.replace(packing, shared_tokens=len(prompt) - 1)
            scored.append(_scores(rows, model, own, device))
    return scored


def _row(prompt: Sequence[int], said: Sequence[int]) -> Rendered:
    return Rendered(id="", ids=[*prompt, *said], supervised_from=len(prompt), prompt_sha256="")


def _scores(rows: Sequence[Rendered], model: Any, packing: Packing, device: Any) -> list[float]:
    length = len(rows[0].prompt) + sum(len(row.ids) - packing.shared_tokens for row in rows)
    packing = msgspec.structs.replace(packing, row_tokens=packing.row_tokens and length)
    places = tuple(range(len(rows)))
    plan = BatchPlan(rows=(places,) if packing.row_tokens else tuple((at,) for at in places))
    batch = collate(rows, plan, packing, device=device)
    logprobs = supervised_logprobs(model, batch)
    return torch.zeros(len(rows), device=logprobs.device).index_add(0, batch.owners, logprobs).tolist()
