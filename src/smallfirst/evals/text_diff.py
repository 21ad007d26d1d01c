"""Two texts side by side, word by word: what is in both, and what is only in one."""

from __future__ import annotations

import difflib
import re

import msgspec

_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_MOST_WORDS = 4000  # of both texts: a longer comparison takes longer than anybody looks


class Piece(msgspec.Struct, frozen=True):
    """A stretch of one text; `same`: the other has it too, there."""

    text: str
    same: bool


def side_by_side(one: str, other: str) -> tuple[list[Piece], list[Piece]]:
    """The pieces of both texts: joined, each side's are its text."""
    if one == other:
        return [Piece(one, True)], [Piece(other, True)]
    left, right = _WORDS.findall(one), _WORDS.findall(other)
    if len(left) + len(right) > _MOST_WORDS:
        return [Piece(one, False)], [Piece(other, False)]
    first: list[Piece] = []
    second: list[Piece] = []
    matcher = difflib.SequenceMatcher(None, left, right, autojunk=False)
    for tag, from_one, to_one, from_other, to_other in matcher.get_opcodes():
        same = tag == "equal"
        if to_one > from_one:
            first.append(Piece("".join(left[from_one:to_one]), same))
        if to_other > from_other:
            second.append(Piece("".join(right[from_other:to_other]), same))
    return first, second
