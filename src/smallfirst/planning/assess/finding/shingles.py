"""Texts as sets of numbers: every four words in a row, and a few things that count as more, such as a whole system prompt.

Words with digits are one word: dates and numbers change from call to call. Numbers do not depend on Python's hash seed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

import numpy as np

from smallfirst.planning.assess.finding.asks import ASK_BY_WORD
from smallfirst.planning.assess.finding.prompt_text import Prompt

WORDS = 4
_WORD = re.compile(r"\w+")
_FACTORS = np.array(
    [0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x27D4EB2F165667C5], np.uint64
)
_SPECIAL = np.uint64(1 << 63)  # ordinary shingles have this bit cleared
_LEAD_CHARS, _LEAD_WORDS = 80, 10
_LEADS = 24
_HEAD_CHARS, _TAIL_CHARS = 3000, 400
_SENTENCE = re.compile(r"\n+|(?<=[.!?:])\s+")
_SYSTEM_CHARS = 200


class Shingled(NamedTuple):
    """`numbers` ascending; `specials` say what the special ones among them stand for, literally."""

    numbers: np.ndarray  # uint64
    specials: dict[int, str]


class Vocabulary:
    """Numbers for words, in the order in which they came."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the words of a text begin and end."""
        return [found.span() for found in _WORD.finditer(text)]

    def row(self, text: str) -> np.ndarray:
        """The shingles of a text in their order, the one that begins at each word."""
        numbers = self._numbers
        ids = [
            numbers.setdefault("0" if any(map(str.isdigit, word)) else word, len(numbers) + 1)
            for word in _WORD.findall(text.lower())
        ]
        if len(ids) < WORDS:
            return np.empty(0, np.uint64)
        words = np.array(ids, np.uint64)
        last = len(ids) - WORDS + 1
        mixed = words[:last] * _FACTORS[0]
        for at in range(1, WORDS):
            mixed = (mixed ^ (mixed >> np.uint64(29))) * _FACTORS[at] + words[at : last + at]
        return mixed & ~_SPECIAL

    def shingled(self, prompt: Prompt) -> Shingled:
        """A call's text, and with it its short system prompt, and short sentences of the user's message that ask for something."""
        specials: dict[int, str] = {}
        if prompt.system and len(prompt.system) <= _SYSTEM_CHARS:
            specials[_special("system", prompt.system)] = prompt.system
        said = prompt.text[prompt.first_user :].strip()
        for lead in _asking(said):
            specials[_special("lead", lead)] = lead
        row = np.unique(self.row(prompt.text))
        if not specials:
            return Shingled(row, specials)
        return Shingled(np.union1d(row, np.array(list(specials), np.uint64)), specials)


def weight(numbers: np.ndarray) -> int:
    """How much shingles say: a special one as much as six words."""
    return int(len(numbers) + 2 * np.count_nonzero(numbers & _SPECIAL))


def _asking(said: str) -> Sequence[str]:
    """Short sentences and lines that ask for something, near the beginning and at the end."""
    head, tail = said[:_HEAD_CHARS], said[_HEAD_CHARS:][-_TAIL_CHARS:]
    parts = [part.strip() for part in (*_SENTENCE.split(head), *_SENTENCE.split(tail))]
    return [part for part in parts if len(part) <= _LEAD_CHARS and _asks(part)][:_LEADS]


def _asks(lead: str) -> bool:
    words = [word.lower() for word in _WORD.findall(lead)]
    return 0 < len(words) <= _LEAD_WORDS and any(word in ASK_BY_WORD for word in words)


def _special(kind: str, text: str) -> int:
    data = text.encode("utf-8", "surrogatepass")
    return int(_SPECIAL) | (crc32(data, crc32(kind.encode())) << 24) | (crc32(data[::-1]) & 0xFFFFFF)
