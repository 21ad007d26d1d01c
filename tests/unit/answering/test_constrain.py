"""Contracts as grammars: whatever a grammar allows the check accepts, but for what no short grammar can say."""

from __future__ import annotations

import llguidance
import pytest
from llguidance.gbnf_to_lark import any_to_lark

from smallfirst.answering.check import compile_check
from smallfirst.answering.constrain import constraint, grammar_of
from smallfirst.contracts import JsonContract, LabelContract, TextContract

ODD = ("how-to", 'say "yes"', "naïve \\ path", "two words")
ANSWERS = (
    "how-to",
    "two words",
    "how-to, two words",
    "how-to,two words",
    "how-to\ntwo words",
    '["how-to", "say \\"yes\\""]',
    '["naïve \\\\ path"]',
    "[]",
    "",
    "other",
    "how-to two words",
    '["other"]',
    '["how-to"',
    " how-to",
)


def _allows(grammar: str, text: str) -> bool:
    tokenizer = llguidance.LLTokenizer("byte")
    matcher = llguidance.LLMatcher(tokenizer, llguidance.grammar_from("lark", any_to_lark(grammar)))
    assert not matcher.is_error(), matcher.get_error()
    tokens = tokenizer.tokenize_str(text)
    return matcher.validate_tokens(tokens) == len(tokens) and (
        not tokens or (matcher.consume_tokens(tokens) and matcher.is_accepting())
    )


@pytest.mark.parametrize("text", [text for text in ANSWERS if text])
@pytest.mark.parametrize("pick", ["one", "several", "ordinal"])
def test_what_a_grammar_allows_keeps_the_contract(pick: str, text: str) -> None:
    contract = LabelContract(labels=ODD, pick=pick)  # type: ignore[arg-type]
    allowed = _allows(grammar_of(contract), text)
    assert not (allowed and compile_check(contract)(text))
    if text in ODD:
        assert allowed


def test_several_labels_may_be_said_in_every_form_that_the_check_reads() -> None:
    grammar = grammar_of(LabelContract(labels=ODD, pick="several"))
    for text in ("how-to, two words", "how-to\ntwo words", '["how-to", "two words"]', "how-to"):
        assert _allows(grammar, text)
    assert not _allows(grammar, "[]")
    assert _allows(grammar_of(LabelContract(labels=ODD, pick="several", allow_empty=True)), "[]")


def test_labels_with_a_separator_are_said_as_json_alone() -> None:
    grammar = grammar_of(LabelContract(labels=("a, b", "c"), pick="several"))
    assert _allows(grammar, '["a, b","c"]')
    assert not _allows(grammar, "a, b")


def test_each_engine_is_told_in_its_own_words() -> None:
    one, several = LabelContract(labels=("a", "b")), LabelContract(labels=("a", "b"), pick="several")
    assert constraint(one, "vllm") == {"structured_outputs": {"choice": ["a", "b"]}}
    assert constraint(one, "llamacpp") == {"grammar": 'root ::= "a" | "b"'}
    assert constraint(several, "vllm") == {"structured_outputs": {"grammar": grammar_of(several)}}
    assert constraint(JsonContract(schema={}), "vllm")["response_format"]["type"] == "json_schema"
    for contract in (one, several, TextContract()):
        assert constraint(contract, "hosted") == {}
