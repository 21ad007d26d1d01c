"""Finds the frames in a batch of prompts: what many have in common, and within those what some have beside it.

The commonest four words in a row are a seed; the prompts that have them share a core (what nearly all of them have); those that have the core are set
aside, and the next seed is taken from the rest. Within each core's prompts the same is done again, so that a company's preamble is a frame, and
each of the instructions that follow it one within that. After Drain (He et al., 2017) and peeling of frequent item sets, on words in place of lines.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from smallfirst.planning.assess.finding.frame import Frame, beside, is_steady, pieces_of, runs_of
from smallfirst.planning.assess.finding.prompt_text import Prompt
from smallfirst.planning.assess.finding.shingles import Shingled, Vocabulary, weight

_LEAST = 4  # prompts have what counts as shared
_ROOT_SHARE, _CHILD_SHARE = 0.004, 0.01
_SHARED_BY = 0.85  # of the prompts with a seed: their core
_HAS = 0.7  # of a core, so that a prompt is of it
_LEAST_WEIGHT = 3  # shingles, so six words
_RUN_WORDS, _OWN_WORDS = 6, 4  # in a row: of a frame, and of what one has within another
_SURE, _SURE_SHARE = (
    12,
    0.05,
)  # prompts have what one is known by within a frame; in a small batch, this share of it
_SEEDS, _CHILD_SEEDS = 3000, 400  # that are looked at: in a batch, and within one frame
_FOUND = 160  # taken at once
_DEPTH = 3
_CHECKED = 60  # prompts in which a piece is looked for
_SHARED_BY_MOST = 0.6
_NUMBERED = re.compile(r"\w*\d\w*")


class Asked(NamedTuple):
    """What is looked at of one call."""

    prompt: Prompt
    answer: str
    calls_tools: bool


class Node(NamedTuple):
    """`docs`: numbers of the calls that have its frame; `own`: of those without what a child has beside it."""

    frame: Frame
    docs: np.ndarray
    own: np.ndarray
    children: list[Node]


def find_frames(asked: Sequence[Asked]) -> list[Node]:
    """The frames of a batch, those with the commonest seeds first."""
    first: dict[str, int] = {}
    alike: dict[int, list[int]] = defaultdict(list)
    for number, one in enumerate(asked):
        alike[first.setdefault(one.prompt.text, number)].append(number)
    batch = _Batch(asked, list(alike))
    nodes = batch.nodes(np.arange(len(alike)), np.zeros(batch.width, bool), share=_ROOT_SHARE, depth=0)
    return [_spread(node, list(alike.values())) for node in nodes]


def _spread(node: Node, alike: list[list[int]]) -> Node:
    """Back from different texts to the calls that had them."""
    docs, own = (
        np.array([number for at in part.tolist() for number in alike[at]], int)
        for part in (node.docs, node.own)
    )
    return Node(node.frame, docs, own, [_spread(child, alike) for child in node.children])


class _Batch:
    """Different prompts as rows of a sparse matrix: which has which of the shingles that are common enough to matter."""

    def __init__(self, asked: Sequence[Asked], chosen: Sequence[int]) -> None:
        from scipy import sparse

        self._words = Vocabulary()
        self._texts = [asked[number].prompt.text for number in chosen]
        rows: list[Shingled] = [self._words.shingled(asked[number].prompt) for number in chosen]
        self._specials = {number: text for row in rows for number, text in row.specials.items()}
        everything = np.concatenate([row.numbers for row in rows]) if rows else np.empty(0, np.uint64)
        numbers, inverse, counts = np.unique(everything, return_inverse=True, return_counts=True)
        place = np.repeat(np.arange(len(rows)), [len(row.numbers) for row in rows])
        common = counts >= _LEAST
        column = np.cumsum(common) - 1
        kept = common[inverse]
        self.numbers = numbers[common]
        self.width = len(self.numbers)
        shape = (len(rows), self.width)
        ones = np.ones(int(kept.sum()), np.int32)
        self._rows: Any = sparse.csr_matrix((ones, (place[kept], column[inverse[kept]])), shape=shape)
        self._columns: Any = self._rows.tocsc()

    def nodes(self, docs: np.ndarray, known: np.ndarray, *, share: float, depth: int) -> list[Node]:
        """The frames among `docs`, beside the shingles that are `known` to be in all of them. The outermost stand at the same place in nearly all."""
        found: list[Node] = []
        tried = known.copy()
        left = docs
        least = max(
            _LEAST, int(share * len(docs)), min(_SURE, int(_SURE_SHARE * len(self._texts))) if depth else 0
        )
        counts = self._counts(left, tried)
        for _ in range(_CHILD_SEEDS if depth else _SEEDS):
            if not len(counts) or len(found) == _FOUND:
                break
            seed = int(counts.argmax())
            if counts[seed] < least:
                break
            core = self._core(left, seed, known)
            tried[seed] = True
            tried[core] = True
            counts[tried] = 0
            if weight(self.numbers[core]) < _LEAST_WEIGHT:
                continue
            members = self._members(left, core)
            frame = self._frame(members, core, known) if len(members) >= least else None
            if frame is None or not (depth or frame.steady):
                continue
            found.append(self._node(frame, members, core, known, depth))
            left = np.setdiff1d(left, members, assume_unique=True)
            counts = self._counts(left, tried)
        return found

    def _node(
        self, frame: Frame, members: np.ndarray, core: np.ndarray, known: np.ndarray, depth: int
    ) -> Node:
        inner = known.copy()
        inner[core] = True
        children = []
        if depth + 1 < _DEPTH:
            children = self.nodes(members, inner, share=_CHILD_SHARE, depth=depth + 1)
        frame.children = [child.frame for child in children]
        taken = [child.docs for child in children]
        own = np.setdiff1d(members, np.concatenate(taken)) if taken else members
        return Node(frame, members, own, children)

    def _counts(self, docs: np.ndarray, used: np.ndarray) -> np.ndarray:
        counts = np.asarray(self._rows[docs].sum(axis=0)).ravel()
        counts[used] = 0
        return counts

    def _core(self, left: np.ndarray, seed: int, used: np.ndarray) -> np.ndarray:
        column = self._columns.indices[self._columns.indptr[seed] : self._columns.indptr[seed + 1]]
        members = np.intersect1d(left, column, assume_unique=True)
        counts = self._counts(members, used)
        return np.flatnonzero(counts >= _SHARED_BY * len(members))

    def _members(self, left: np.ndarray, core: np.ndarray) -> np.ndarray:
        has = np.asarray(self._columns[:, core].sum(axis=1)).ravel()[left]
        return left[has >= _HAS * len(core)]

    def _frame(self, members: np.ndarray, core: np.ndarray, known: np.ndarray) -> Frame | None:
        """The core as it is written in one of the prompts; None where it is bits of it here and there."""
        has = np.asarray(self._columns[:, core].sum(axis=1)).ravel()[members]
        text = self._texts[int(members[int(has.argmax())])]
        numbers = self.numbers[core]
        runs = [text[begin:end] for begin, end in runs_of(text, numbers, self._words, self.numbers[known])]
        specials = [self._specials[number] for number in numbers.tolist() if number in self._specials]
        step = max(1, len(members) // _CHECKED)
        examples = [self._texts[number] for number in members[::step].tolist()[:_CHECKED]]
        long = [
            run for run in runs if len(self._words.spans(run)) >= (_OWN_WORDS if known.any() else _RUN_WORDS)
        ]
        pieces = pieces_of(long, specials, examples) if long or specials else []
        if not pieces:
            return None
        shared = "\n".join([*beside(specials, runs), *runs])
        return Frame(pieces, shared, steady=is_steady(pieces[0], examples))


def shared_text(prompts: Sequence[Prompt]) -> list[str]:
    """The parts that most of these prompts have, in the order of one of them; of fewer than three different ones, their system prompt."""
    texts = list({prompt.text: None for prompt in prompts})
    systems = {prompt.system for prompt in prompts}
    if len(texts) < _LEAST - 1:
        return [system for system in systems if system] if len(systems) == 1 else []
    words = Vocabulary()
    rows = [np.unique(words.row(text)) for text in texts]
    numbers, counts = np.unique(np.concatenate(rows), return_counts=True)
    core = numbers[counts >= _SHARED_BY_MOST * len(texts)]
    if not len(core):
        only = systems.pop() if len(systems) == 1 else ""
        return [only] if only else []
    best = max(range(len(texts)), key=lambda at: (np.isin(core, rows[at]).sum(), -at))
    return [_steady(texts[best][begin:end], texts) for begin, end in runs_of(texts[best], core, words)]


def _steady(run: str, texts: Sequence[str]) -> str:
    """Dates and numbers, which count as the same when texts are compared, are shown only where they are."""
    least = _SHARED_BY_MOST * len(texts)
    return _NUMBERED.sub(
        lambda word: word[0] if sum(word[0] in text for text in texts) >= least else "…", run
    )
