"""Greedy answers under a contract, on a model of two random layers."""

from __future__ import annotations

import functools
import itertools
import random
import sys
from typing import Any

import msgspec
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tiny_adapter import opened_tiny_base

from smallfirst.answering.check import compile_check
from smallfirst.contracts import Contract, JsonContract, LabelContract, TextContract
from smallfirst.training.lora import decode as decode_module
from smallfirst.training.lora.constraints import constraint_on
from smallfirst.training.lora.decode import Decoded, Decoder, decode, label_logprobs, label_probabilities
from smallfirst.training.lora.rendering import Template
from smallfirst.training.lora.vocabulary import ends_of, pieces_of

LABELS = ("card", "card lost", "top up", "größe", 'say "no"', "卡")
ONE = LabelContract(LABELS)
SCHEMA = {
    "type": "object",
    "properties": {"n": {"type": "integer", "minimum": 0, "maximum": 99}, "kind": {"enum": ["a", "b c"]}},
    "required": ["n", "kind"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model() -> Any:
    return opened_tiny_base().model()


@functools.cache
def the_tokenizer() -> Any:
    return opened_tiny_base().tokenizer()


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return the_tokenizer()


@pytest.fixture(scope="module")
def prompts(tokenizer: Any) -> list[list[int]]:
    words = ("card", "lost", "refund", "please", "my", "the", "rate", "is", "was", "now", "what", "thanks")
    numbers, template = random.Random(1), Template(tokenizer)
    said = [" ".join(numbers.choices(words, k=numbers.randint(1, 25))) for _ in range(12)]
    return [template.prompt([{"role": "user", "content": text}]) for text in said]


def answers(
    model: Any, tokenizer: Any, prompts: Any, contract: Contract, *, max_tokens: int = 48, batch: int = 16
) -> list[Decoded]:
    return decode(model, tokenizer, prompts, contract, max_tokens=max_tokens, batch=batch)


@pytest.mark.parametrize("contract", [ONE, LabelContract(LABELS, "several"), TextContract()])
def test_a_batch_answers_as_each_prompt_alone(
    model: Any, tokenizer: Any, prompts: Any, contract: Contract
) -> None:
    together = answers(model, tokenizer, prompts, contract, max_tokens=16, batch=5)
    for prompt, answer in zip(prompts, together, strict=True):
        (alone,) = answers(model, tokenizer, [prompt], contract, max_tokens=16)
        assert (alone.text, alone.tokens, alone.ended) == (answer.text, answer.tokens, answer.ended)
        assert alone.logprob == pytest.approx(answer.logprob, abs=1e-3)


def test_long_prompts_are_answered_fewer_at_once(
    model: Any, tokenizer: Any, prompts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys and values of all are kept: 16 that fill the context would need more memory than a step of the training."""
    together = answers(model, tokenizer, prompts, ONE)
    most = 2 * max(map(len, prompts))
    monkeypatch.setattr(decode_module, "TOKENS_TOGETHER", most)
    sizes: list[int] = []
    real = decode_module.Stream

    def seen(model: Any, beginning: Any, some: Any) -> Any:
        sizes.append(len(some))
        assert len(some) * max(map(len, some)) <= most
        return real(model, beginning, some)

    monkeypatch.setattr(decode_module, "Stream", seen)
    fewer = answers(model, tokenizer, prompts, ONE)
    assert [one.text for one in fewer] == [one.text for one in together]
    assert sum(sizes) == len(prompts)
    assert 1 < len(sizes) < len(prompts)


def test_free_text_is_what_transformers_generates(model: Any, tokenizer: Any, prompts: Any) -> None:
    for prompt, answer in zip(
        prompts, answers(model, tokenizer, prompts, TextContract(), max_tokens=8), strict=True
    ):
        said = model.generate(
            torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt)),
            max_new_tokens=8,
            do_sample=False,
            pad_token_id=0,
        )
        assert answer.text == tokenizer.decode(said[0, len(prompt) :], skip_special_tokens=True)


def test_every_answer_is_a_label_and_the_logprob_is_the_models_own(
    model: Any, tokenizer: Any, prompts: Any
) -> None:
    pieces = pieces_of(tokenizer)
    for prompt, answer in zip(prompts, answers(model, tokenizer, prompts, ONE), strict=True):
        assert answer.valid
        assert answer.ended
        assert answer.text in LABELS
        # By hand: the likeliest token that goes on with a label, or the end where one is whole.
        said, logprob, ids = b"", 0.0, list(prompt)
        while True:
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([ids])).logits[0, -1].float()
            left = [label.encode()[len(said) :] for label in LABELS if label.encode().startswith(said)]
            if left == [b""]:
                break
            ends = set(ends_of(tokenizer, model, Template(tokenizer).end)) if b"" in left else set()
            allowed = [
                at
                for at, piece in enumerate(pieces)
                if piece and any(rest.startswith(piece) for rest in left)
            ]
            token = max([*allowed, *ends], key=lambda at: float(logits[at]))
            if token in ends:
                break
            logprob += float(logits.log_softmax(-1)[token])
            said, ids = said + (pieces[token] or b""), [*ids, token]
        assert said.decode() == answer.text
        assert logprob == pytest.approx(answer.logprob, abs=1e-3)


def test_json_is_always_valid(model: Any, tokenizer: Any, prompts: Any) -> None:
    for answer in answers(model, tokenizer, prompts, JsonContract(SCHEMA), max_tokens=160):
        assert answer.valid
        assert set(msgspec.json.decode(answer.text)) == {"n", "kind"}


@pytest.mark.parametrize("pick", ["several", "ranked"])
def test_several_labels_are_labels(model: Any, tokenizer: Any, prompts: Any, pick: Any) -> None:
    contract = LabelContract(LABELS, pick)
    check = compile_check(contract)
    for answer in answers(model, tokenizer, prompts, contract):
        assert answer.valid == (not check(answer.text))
        assert not answer.ended or "not one of" not in check(answer.text)


def test_an_answer_that_is_cut_is_not_valid(model: Any, tokenizer: Any, prompts: Any) -> None:
    for answer in answers(model, tokenizer, prompts, JsonContract(SCHEMA), max_tokens=3):
        assert (answer.valid, answer.ended, answer.tokens) == (False, False, 3)


def test_without_llguidance_json_is_decoded_freely_and_says_so(
    model: Any, tokenizer: Any, prompts: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "llguidance", None)
    decoder = Decoder(model, tokenizer, JsonContract(SCHEMA), max_tokens=8)
    assert decoder.note == "decoded freely: llguidance is not installed (pip install 'smallfirst[train]')"
    free = answers(model, tokenizer, prompts, TextContract(), max_tokens=8)
    assert [one.text for one in decoder.decode(prompts)] == [one.text for one in free]
    assert not any(one.valid for one in decoder.decode(prompts))


def test_a_schema_that_cannot_be_kept_is_decoded_freely_and_says_so(model: Any, tokenizer: Any) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "uniqueItems": True}
    decoder = Decoder(model, tokenizer, JsonContract(schema), max_tokens=8)
    assert decoder.note.startswith("decoded freely: llguidance cannot keep this contract: ")


def test_the_model_is_left_in_the_mode_that_it_was_in(model: Any, tokenizer: Any, prompts: Any) -> None:
    model.train()
    answers(model, tokenizer, prompts[:1], ONE)
    assert model.training
    model.eval()
    answers(model, tokenizer, prompts[:1], ONE)
    assert not model.training


def test_no_prompts_no_answers(model: Any, tokenizer: Any) -> None:
    assert answers(model, tokenizer, [], ONE) == []


def test_the_probability_of_each_label_is_that_of_its_tokens_and_the_end(
    model: Any, tokenizer: Any, prompts: Any
) -> None:
    template = Template(tokenizer)
    scored = label_logprobs(model, tokenizer, prompts[:2], LABELS)
    for prompt, row in zip(prompts, scored, strict=False):
        for label, found in zip(LABELS, row, strict=True):
            said = template.spoken(label)
            with torch.no_grad():
                logits = model(input_ids=torch.tensor([prompt + said])).logits[0].float().log_softmax(-1)
            expected = sum(float(logits[len(prompt) - 1 + at, token]) for at, token in enumerate(said))
            assert found == pytest.approx(expected, abs=1e-3)
    shares = label_probabilities(model, tokenizer, prompts[:2], LABELS)
    assert [sum(row) for row in shares] == pytest.approx([1.0, 1.0])
    for row, logs in zip(shares, scored, strict=True):
        assert max(range(6), key=row.__getitem__) == max(range(6), key=logs.__getitem__)


class _Spells:
    """Logits under which a text is spelt by the tokens that are given."""

    def __init__(self, tokens: list[int], end: int, width: int) -> None:
        self.tokens, self.end, self.width = tokens, end, width

    def at(self, step: int) -> torch.Tensor:
        logits = torch.zeros(self.width)
        logits[self.tokens[step] if step < len(self.tokens) else self.end] = 1.0
        return logits


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(LABELS), st.randoms(use_true_random=False))
def test_a_label_may_be_spelt_by_any_tokens(label: str, numbers: random.Random) -> None:
    tokenizer = the_tokenizer()
    pieces = pieces_of(tokenizer)
    by_bytes = {piece: at for at, piece in enumerate(pieces) if piece}
    left, tokens = label.encode(), []
    while left:
        size = numbers.choice([size for size in range(1, len(left) + 1) if left[:size] in by_bytes])
        tokens.append(by_bytes[left[:size]])
        left = left[size:]
    end = Template(tokenizer).end
    begin, _ = constraint_on(ONE, tokenizer, ends=[end], width=len(pieces))
    walk, spells = begin(), _Spells(tokens, end, len(pieces))
    step = 0
    for step in itertools.count():
        token = walk.choose(spells.at(step))
        if token == end:
            break
        walk.take(token)
        assert token == tokens[step]
        if walk.done:
            break
    assert step >= len(tokens) - 1
