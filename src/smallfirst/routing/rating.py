"""How hard a call is, as a language model rates it: the question, its five answers, and the number that is made of what was said."""

from __future__ import annotations

import math

import msgspec
import numpy as np

from smallfirst import limits
from smallfirst.classify.prompt import Prompt
from smallfirst.routing.judgement import Said

CHOICES = ("1", "2", "3", "4", "5")
FEATURES = ("rating", "log_chars")

QUESTION = """Rate how hard the request below is for a small language model, from 1 to 5.
1: it surely answers right. 3: it may be wrong. 5: only a much larger model answers right.
Do not answer the request itself.

Request:
{text}

How hard is it? Answer with one digit from 1 to 5."""
"""A router keeps the question that it was fitted with: another wording here changes no router that exists."""


class Ratings(msgspec.Struct, frozen=True):
    """What the model said of many calls: `values` [n], NaN where it gave no rating, and `chars` [n], the questions' lengths."""

    values: np.ndarray
    chars: np.ndarray

    @property
    def known(self) -> np.ndarray:
        return ~np.isnan(self.values)

    @property
    def features(self) -> np.ndarray:
        """[n, 2]: `FEATURES`."""
        return np.stack([self.values, np.log1p(self.chars)], axis=1)

    def rows(self, kept: np.ndarray) -> Ratings:
        return Ratings(self.values[kept], self.chars[kept])


def write_question(template: str, prompt: Prompt) -> str:
    """The template about this call: the end of what was said before, and the question's beginning and end, both bounded."""
    asked, most = prompt.question, limits.MAX_RATED_CHARS
    if len(asked) > most:
        asked = f"{asked[: most // 2]}\n[…]\n{asked[-(most // 2) :]}"
    context = prompt.context[-limits.MAX_RATED_CONTEXT_CHARS :]
    return template.replace("{text}", f"[…] {context}\n\n{asked}" if context else asked)


def read_rating(said: Said) -> float | None:
    """1 to 5; None where what was said is no rating.

    Where the server tells what else the first token might have been, the mean of the digits, weighted by their probabilities: finer than the one
    digit, and the same whether or not decoding was constrained.
    """
    weights: dict[str, float] = {}
    for token, logprob in said.first:
        digit = token.strip()
        if digit in CHOICES:
            weights[digit] = weights.get(digit, 0.0) + math.exp(min(0.0, logprob))
    total = sum(weights.values())
    if total > 0:
        return sum(int(digit) * weight for digit, weight in weights.items()) / total
    text = said.text.strip()
    if text[:1] in CHOICES and text[:1] and not text[1:2].isalnum():
        return float(text[0])
    return None
