"""Cheap things that can be counted in a call: how long, how numeric, how negated, of how many options, after how much history.

They say what an embedding does not: static embeddings average length and numbers away.
"""

from __future__ import annotations

import math
import re

import numpy as np

from smallfirst.classify.embedder import bounded
from smallfirst.classify.prompt import Prompt

NAMES = (
    # the question
    "log_chars", "log_words", "log_stem_words", "chars_per_word", "long_words", "capitalised", "distinct_words",
    "log_sentences", "log_words_per_sentence", "log_last_sentence", "log_lines", "commas", "colon", "parentheses", "quotes", "not_ascii",
    # what it asks
    "question_marks", "question_words", "negations", "negations_shouted", "quantities", "instructions", "hedges", "first_person", "third_person",
    # numbers, formulas, code
    "log_numbers", "numbers_per_word", "log_largest", "decimals", "number_words", "mathematical", "backslashes", "code", "dollars", "percents",
    "blanks", "roman",
    # options to choose from
    "options", "log_option_mean", "log_option_longest", "option_spread", "option_share", "options_numeric", "all_or_none",
    # around the question
    "log_system", "history_turns", "log_history", "log_around", "tools", "tool_rounds", "images", "structured",
)  # fmt: skip

# What may repeat is bounded, or is matched once: a text made of line breaks or exclamation marks costs no more than another.
_OPTION = re.compile(r"^\s{0,32}\(?([A-P])[).:]\s+(.*)$", re.MULTILINE)
_NUMBER = re.compile(r"\d[\d,]*\.?\d*")
_WORD = re.compile(r"[^\W\d_]+(?:'[a-z]+)?")
_SENTENCE_END = re.compile(r"[.!?](?:\s|$)")
_SPLIT = re.compile(r"[.!?]\s+")
_COUNTED = tuple(
    re.compile(pattern, flags)
    for pattern, flags in (
        (r"\b(?:what|which|who|when|where|why|how)\b", re.IGNORECASE),
        (
            r"\b(?:not|except|never|no|none|neither|nor|least|incorrect|false|without|unless)\b|n't\b",
            re.IGNORECASE,
        ),
        (
            (
                r"\b(?:each|every|per|total|altogether|sum|difference|times|twice|half|double|triple|third|quarter|percent|average|"
                r"more|less|fewer|remaining|left|many|much|rate|ratio|fraction)\b"
            ),
            re.IGNORECASE,
        ),
        (
            r"\b(?:find|calculate|compute|determine|evaluate|solve|estimate|derive|prove|show|given|suppose|assume|let|if|then)\b",
            re.IGNORECASE,
        ),
        (
            r"\b(?:most likely|best|most|probably|likely|following|statement|true|correct|describes?|refers?|called|known|defined?)\b",
            re.IGNORECASE,
        ),
        (r"\b(?:I|my|me|we|our|us)\b", 0),
        (r"\b(?:he|she|they|his|her|their|him|them)\b", re.IGNORECASE),
        (
            r"\b(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|hundred|thousand|million|billion|first|second)\b",
            re.IGNORECASE,
        ),
        (r"[=+*/^<>≤≥±×÷√∑∫πθαβλμ°−]", 0),
    )
)
_SHOUTED = re.compile(r"\b(?:NOT|EXCEPT|LEAST)\b")
_ROMAN = re.compile(r"\b(?:I{2,3}|IV)\b")
_ALL_OR_NONE = re.compile(r"all of (?:the|these)|none of (?:the|these)|both ", re.IGNORECASE)
_LONG_WORD = 8
_LARGEST_OF = 50  # numbers


def features(prompt: Prompt) -> np.ndarray:
    """One row of `NAMES`, float64, not yet standardised. Long questions are read at their beginning and end."""
    text = bounded(prompt.question)
    options = [match[1] for match in _OPTION.findall(text)]
    if len(options) < 2:
        options = []
    stem = _OPTION.sub("", text) if options else text
    words = _WORD.findall(stem)
    asked = [len(pattern.findall(stem)) for pattern in _COUNTED]
    row = [
        *_shape(prompt.question, text, stem, words),
        *_asked(stem, asked),
        *_numbers(stem, len(words), asked),
        *_options(options, len(stem)),
        *_around(prompt),
    ]
    return np.array(row, np.float64)


def _shape(whole: str, text: str, stem: str, words: list[str]) -> tuple[float, ...]:
    count, chars = max(1, len(words)), max(1, len(stem))
    sentences = max(1, len(_SENTENCE_END.findall(stem)))
    last = _SPLIT.split(stem.strip())[-1]
    return (
        math.log1p(len(whole)),
        math.log1p(len(words) if stem is text else len(_WORD.findall(text))),
        math.log1p(len(words)),
        sum(map(len, words)) / count,
        sum(len(word) > _LONG_WORD for word in words) / count,
        sum(word[0].isupper() for word in words) / count,
        len({word.lower() for word in words}) / math.sqrt(count),
        math.log1p(sentences),
        math.log1p(len(words) / sentences),
        math.log1p(len(last.split())),
        math.log1p(stem.count("\n") + 1),
        stem.count(",") / count,
        float(":" in stem),
        stem.count("(") / count,
        math.log1p(stem.count('"') + stem.count("“")),
        0.0 if stem.isascii() else sum(char > "\x7f" for char in stem) / chars,
    )


def _asked(stem: str, asked: list[int]) -> tuple[float, ...]:
    question_words, negations, quantities, instructions, hedges, first, third = asked[:7]
    return (
        float(min(stem.count("?"), 3)),
        math.log1p(question_words),
        math.log1p(negations),
        float(bool(_SHOUTED.search(stem))),
        math.log1p(quantities),
        math.log1p(instructions),
        math.log1p(hedges),
        math.log1p(first),
        math.log1p(third),
    )


def _numbers(stem: str, words: int, asked: list[int]) -> tuple[float, ...]:
    numbers = _NUMBER.findall(stem)
    largest = max((float(number.replace(",", "")) for number in numbers[:_LARGEST_OF]), default=0.0)
    return (
        math.log1p(len(numbers)),
        len(numbers) / max(1, words),
        math.log1p(min(largest, 1e12)),
        math.log1p(sum("." in number.rstrip(".,") for number in numbers)),
        math.log1p(asked[7]),
        math.log1p(asked[8]),
        math.log1p(stem.count("\\")),
        math.log1p(stem.count("{") + stem.count("==") + stem.count("def ") + stem.count(";")),
        math.log1p(stem.count("$")),
        math.log1p(stem.count("%")),
        float("__" in stem or "..." in stem),
        float(bool(_ROMAN.search(stem))),
    )


def _options(options: list[str], stem_chars: int) -> tuple[float, ...]:
    if not options:
        return (0.0,) * 7
    lengths = [len(option) for option in options]
    mean, total = sum(lengths) / len(lengths), sum(lengths)
    spread = math.sqrt(sum((length - mean) ** 2 for length in lengths) / len(lengths))
    digits = sum(sum(map(str.isdigit, option)) / max(1, len(option)) for option in options)
    return (
        float(len(options)),
        math.log1p(mean),
        math.log1p(max(lengths)),
        spread / (1 + mean),
        total / max(1, stem_chars + total),
        digits / len(options),
        float(bool(_ALL_OR_NONE.search(" ".join(options)))),
    )


def _around(prompt: Prompt) -> tuple[float, ...]:
    return (
        math.log1p(prompt.system_chars),
        math.log1p(prompt.history_turns),
        math.log1p(prompt.history_chars),
        math.log1p(max(0, prompt.prompt_chars - len(prompt.question))),
        math.log1p(prompt.tools),
        math.log1p(prompt.tool_rounds),
        math.log1p(prompt.images),
        float(prompt.structured),
    )
