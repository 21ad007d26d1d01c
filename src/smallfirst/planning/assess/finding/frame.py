"""A frame: the literal parts of a prompt that the calls of a feature share, and how a text is held against it."""

from __future__ import annotations

import re
import statistics
from collections.abc import Collection, Sequence

import numpy as np

from smallfirst.planning.assess.finding.shingles import WORDS, Vocabulary

_PIECES = 12
_PIECE_CHARS = 100
_SHORTEST = 8  # characters: shorter pieces are in too many texts
_MISSING = 0.3  # of its characters may be missing from a text that is of a frame
_PRESENT = 0.8  # of its calls have a piece that counts
_STEADY = 0.7
_NEAR_CHARS, _NEAR_SHARE = (40, 120), 0.1
_CUT = re.compile(r"\n+|(?<=[.;:!?])\s+|\S*\d\S*")


class Frame:
    """`group`: where calls go that have it, and none of what its `children` have beside it."""

    def __init__(self, pieces: Sequence[str], shared: str, *, steady: bool = True) -> None:
        self.pieces = tuple(sorted(pieces, key=len, reverse=True))
        self.shared = (
            shared  # what it has beside its parent's, as far as it is known, for people and for names
        )
        self.steady = steady  # it stands at the same place in nearly all; instructions do, documents that come again do not
        self.group = -1
        self.children: list[Frame] = []
        self.chars = sum(map(len, pieces))
        self._allowed = _MISSING * self.chars

    def fits(self, text: str) -> bool:
        """Whether the text has nearly all of it."""
        missing = 0.0
        for piece in self.pieces:
            if piece not in text:
                missing += len(piece)
                if missing > self._allowed:
                    return False
        return True

    def deepest(self, text: str) -> Frame:
        """The frame among this and those under it that the text has, for a text that has this."""
        for child in self.children:
            if child.fits(text):
                return child.deepest(text)
        return self


def runs_of(
    text: str, core: np.ndarray, words: Vocabulary, known: np.ndarray | None = None
) -> list[tuple[int, int]]:
    """Where in a text the shingles of `core` (ascending) lie, but for words that are in those of `known`: beginnings and ends, in order."""
    row = words.row(text)
    spans = words.spans(text)
    inside = _covered(row, core, len(spans))
    if known is not None:
        inside &= ~_covered(row, known, len(spans))
    edges = np.flatnonzero(np.diff(inside.astype(np.int8), prepend=0, append=0))
    return [(spans[begin][0], spans[end - 1][1]) for begin, end in edges.reshape(-1, 2).tolist()]


def _covered(row: np.ndarray, numbers: np.ndarray, words: int) -> np.ndarray:
    """Which words of a text are in one of the shingles."""
    covered = np.zeros(words, bool)
    for at in np.flatnonzero(np.isin(row, numbers)).tolist():
        covered[at : at + WORDS] = True
    return covered


def pieces_of(runs: Sequence[str], specials: Sequence[str], examples: Sequence[str]) -> list[str]:
    """The parts of shared runs by which a text is known: short enough that a change spoils only one, without numbers, and in most examples."""
    parts = {part for run in runs for cut in _CUT.split(run) for part in _chopped(cut.strip())}
    parts |= set(beside(specials, parts))
    least = _PRESENT * len(examples)
    sure = [part for part in parts if sum(part in text for text in examples) >= least]
    long = [part for part in sure if len(part) >= _SHORTEST] or sure
    return sorted(long, key=lambda part: (-len(part), part))[:_PIECES]


def beside(specials: Sequence[str], parts: Collection[str]) -> list[str]:
    """The specials that neither hold another part nor stand in one: what is there already would count twice."""
    return [
        special
        for special in specials
        if not any(part in special or special in part for part in parts if part)
    ]


def is_steady(piece: str, examples: Sequence[str]) -> bool:
    """Whether a piece stands equally far from the beginning of most texts, or from their end."""
    having = [text for text in examples if piece in text]
    if not having:
        return False
    for places in (
        [text.index(piece) for text in having],
        [len(text) - text.rindex(piece) for text in having],
    ):
        middle = statistics.median(places)
        near = max(_NEAR_CHARS[0], min(_NEAR_CHARS[1], _NEAR_SHARE * statistics.median(map(len, having))))
        if sum(abs(place - middle) <= near for place in places) >= _STEADY * len(having):
            return True
    return False


def _chopped(part: str) -> list[str]:
    if len(part) <= _PIECE_CHARS:
        return [part] if part else []
    at = part.rfind(" ", _PIECE_CHARS // 2, _PIECE_CHARS)
    at = _PIECE_CHARS if at < 0 else at
    return [part[:at], *_chopped(part[at:].strip())]
