"""What bytes a tokenizer's tokens stand for, for both kinds of vocabulary."""

from __future__ import annotations

from typing import Any

import pytest
from support.tiny_adapter import opened_tiny_base
from tokenizers import Tokenizer, decoders, models, normalizers
from transformers import PreTrainedTokenizerFast

from smallfirst.training.lora.rendering import Template
from smallfirst.training.lora.vocabulary import ends_of, pieces_of

TEXTS = ["card lost", " größe", "卡\n\ttab", '{"n": 1}', "😀"]


@pytest.fixture(scope="module")
def sentencepiece() -> Any:
    """As Llama 2, Mistral and Phi 3 have it: a blank is put before every text, and what is not known is spelt in bytes."""
    known = [
        "<unk>",
        "<s>",
        "</s>",
        *(f"<0x{byte:02X}>" for byte in range(256)),
        "▁",
        *"acdlorst",
        "▁card",
        "▁lost",
        "card",
        "lost",
    ]
    merges = [
        ("c", "a"),
        ("r", "d"),
        ("ca", "rd"),
        ("l", "o"),
        ("s", "t"),
        ("lo", "st"),
        ("▁", "card"),
        ("▁", "lost"),
    ]
    known += ["ca", "rd", "lo", "st"]
    model = models.BPE(
        {token: at for at, token in enumerate(known)}, merges, byte_fallback=True, unk_token="<unk>"
    )
    raw = Tokenizer(model)
    raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    raw.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made: Any = PreTrainedTokenizerFast(
        tokenizer_object=raw, unk_token="<unk>", bos_token="<s>", eos_token="</s>"
    )
    made.chat_template = (
        "{% for m in messages %}{{ '[' + m['role'] + '] ' + m['content'] + eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    return made


@pytest.mark.parametrize("text", TEXTS)
def test_byte_level_tokens_spell_the_text(text: str) -> None:
    tokenizer = opened_tiny_base().tokenizer()
    pieces = pieces_of(tokenizer)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    assert b"".join(pieces[one] or b"?" for one in ids).decode() == text


@pytest.mark.parametrize("text", TEXTS)
def test_sentencepiece_tokens_spell_the_text_after_its_blank(sentencepiece: Any, text: str) -> None:
    pieces = pieces_of(sentencepiece)
    ids = sentencepiece(text, add_special_tokens=False)["input_ids"]
    assert b"".join(pieces[one] or b"?" for one in ids).decode() == " " + text


def test_special_tokens_spell_nothing(sentencepiece: Any) -> None:
    assert pieces_of(sentencepiece)[2] is None
    tokenizer = opened_tiny_base().tokenizer()
    assert pieces_of(tokenizer)[tokenizer.eos_token_id] is None


def test_an_answer_is_learned_without_the_blank_that_is_put_before_texts(sentencepiece: Any) -> None:
    """A server that decodes under a contract lets no answer begin with one."""
    row = Template(sentencepiece).render([{"role": "user", "content": "lost"}], "card lost")
    assert sentencepiece.convert_ids_to_tokens(row.ids[row.supervised_from :]) == ["card", "▁lost", "</s>"]


def test_an_answer_ends_with_the_templates_mark_and_with_those_that_servers_know() -> None:
    base = opened_tiny_base()
    tokenizer = base.tokenizer()
    ends = ends_of(tokenizer, None, Template(tokenizer).end)
    assert tokenizer.convert_ids_to_tokens(ends)[:2] == ["<|im_end|>", "<|endoftext|>"]
