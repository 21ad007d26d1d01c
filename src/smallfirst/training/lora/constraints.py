"""What an answer may say next under its contract, as servers hold a model to it (`answering/constrain.py`): any tokens that spell what is allowed.

One label of a set is a walk along the labels. JSON, and several labels, are read by llguidance from the very schema or grammar that a server
is sent.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy
import torch

from smallfirst.answering.constrain import constraint
from smallfirst.contracts import Contract, JsonContract, LabelContract
from smallfirst.training.lora.vocabulary import pieces_of

# As llama.cpp's own grammar of a schema has it: without a bound, a model that is not sure would write blanks for ever.
_BLANKS = r"( |\n{1,2}[ \t]{0,20})?"

# Where only one text can follow, llguidance allows but its usual tokens; servers let the model spell it as it likes.
_AS_SERVED = '%llguidance {"no_forcing": true}'


class Walk(Protocol):
    """One answer on its way."""

    @property
    def done(self) -> bool:
        """Whether nothing may follow but the end of the turn."""
        ...

    def choose(self, logits: torch.Tensor) -> int:
        """The likeliest token (of logits on the CPU) that may follow."""
        ...

    def take(self, token: int) -> None:
        """Goes on by a token that was chosen; not by one that ends the turn."""
        ...


Begin = Callable[[], Walk]


def constraint_on(
    contract: Contract, tokenizer: Any, *, ends: Sequence[int], width: int
) -> tuple[Begin, str]:
    """How to begin an answer under the contract, and a note where it is decoded freely though the contract could be kept; else an empty one.

    `ends`: the tokens that end a turn; `width`: how many logits the model gives, which may be more than there are tokens.
    """
    if isinstance(contract, LabelContract) and contract.pick in ("one", "ordinal"):
        labels = _Labels(contract.labels, tokenizer, ends)
        return lambda: _LabelWalk(labels), ""
    if isinstance(contract, JsonContract | LabelContract):
        return _guided(contract, tokenizer, ends, width)
    return _FreeWalk, ""


class _FreeWalk:
    done = False

    def choose(self, logits: torch.Tensor) -> int:
        return int(logits.argmax())

    def take(self, token: int) -> None:
        """Anything may follow."""


class _Labels:
    """What may follow the beginning of a label, worked out once for each beginning."""

    def __init__(self, labels: Sequence[str], tokenizer: Any, ends: Sequence[int]) -> None:
        self.pieces = pieces_of(tokenizer)
        self._labels = [label.encode() for label in labels]
        self._ends = list(ends)
        self._tokens: dict[bytes, list[int]] = defaultdict(list)
        for number, piece in enumerate(self.pieces):
            if piece:
                self._tokens[piece].append(number)
        self._after: dict[bytes, tuple[torch.Tensor, bool]] = {}

    def after(self, said: bytes) -> tuple[torch.Tensor, bool]:
        """The tokens that may follow, and whether only the end may."""
        if said not in self._after:
            left = [label[len(said) :] for label in self._labels if label.startswith(said)]
            spelt = {rest[:size] for rest in left for size in range(1, len(rest) + 1)}
            tokens = [number for piece in spelt for number in self._tokens.get(piece, ())]
            whole = b"" in left
            self._after[said] = (torch.tensor(sorted(tokens + (self._ends if whole else []))), not tokens)
        return self._after[said]


class _LabelWalk:
    def __init__(self, labels: _Labels) -> None:
        self._labels = labels
        self._said = b""

    @property
    def done(self) -> bool:
        return self._labels.after(self._said)[1]

    def choose(self, logits: torch.Tensor) -> int:
        allowed = self._labels.after(self._said)[0]
        return int(allowed[logits[allowed].argmax()])

    def take(self, token: int) -> None:
        self._said += self._labels.pieces[token] or b""


def _guided(contract: Contract, tokenizer: Any, ends: Sequence[int], width: int) -> tuple[Begin, str]:
    try:
        from llguidance import LLMatcher, gbnf_to_lark
        from llguidance.hf import from_tokenizer
    except ImportError:
        return _FreeWalk, "decoded freely: llguidance is not installed (pip install 'smallfirst[train]')"
    sent = constraint(contract, "llamacpp")
    if "grammar" in sent:
        rules = gbnf_to_lark.any_to_lark(sent["grammar"])
    else:
        schema = sent["response_format"]["json_schema"]["schema"]
        options = {"whitespace_flexible": True, "whitespace_pattern": _BLANKS}
        rules = f"start: %json {json.dumps(schema | {'x-guidance': options})}"
    grammar = LLMatcher.grammar_from_lark(f"{_AS_SERVED}\n{rules}")
    tokens = from_tokenizer(tokenizer, n_vocab=width, eos_token=list(ends))
    wrong = LLMatcher.validate_grammar(grammar, tokens)
    if wrong:
        return _FreeWalk, f"decoded freely: llguidance cannot keep this contract: {wrong.splitlines()[0]}"
    ended = frozenset(ends)
    return lambda: _GuidedWalk(LLMatcher(tokens, grammar), ended), ""


class _GuidedWalk:
    def __init__(self, matcher: Any, ends: frozenset[int]) -> None:
        self._matcher = matcher
        self._ends = ends

    @property
    def done(self) -> bool:
        return self._matcher.is_stopped()

    def choose(self, logits: torch.Tensor) -> int:
        likeliest = int(logits.argmax())
        if likeliest in self._ends:
            if self._matcher.is_accepting():
                return likeliest
        elif self._matcher.validate_tokens([likeliest]) == 1:
            return likeliest  # a tuned model's nearly always is: no need to ask of every token
        bits = numpy.frombuffer(self._matcher.compute_bitmask(), dtype=numpy.uint8)
        allowed = torch.from_numpy(numpy.unpackbits(bits, bitorder="little")[: len(logits)].astype(bool))
        return int(logits.masked_fill(~allowed, -torch.inf).argmax())

    def take(self, token: int) -> None:
        self._matcher.consume_token(token)
