"""What is to be added to a dataset, held against what is there: the same again, or too like it, teaches nothing or spoils a proof.

Held-out examples are compared too, here and nowhere else beside the build: by the hashes in `members.tsv`, and by signatures of three words in a
row. Which part it was that a row is too like is not told to anybody.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import msgspec
import numpy as np

from smallfirst.datasets.duplicates import Progress
from smallfirst.datasets.example import SPLITS, Example, Split
from smallfirst.datasets.held import Marks, asked_of, belongings, text_key_of
from smallfirst.datasets.likeness import PERMUTATIONS, boilerplate, like_pairs, signatures
from smallfirst.datasets.row import Row
from smallfirst.datasets.store import Dataset, read_part

THERE = "asked already by an example that is there"
LIKE = "too like an example that is there, or of one conversation with it"
TWICE = "the same as another that was to be added, or nearly"
_FRAME_SAMPLE = 2000
_AT_ONCE = 1000


class Looked(msgspec.Struct, frozen=True):
    """Of one row: why it may not be added ("" where it may), and the group of the train example that it is alike."""

    why: str
    group: str = ""


class Screen:
    """Rows against one dataset. The rows are redacted already; they need no reference."""

    def __init__(self, parent: Dataset, marks: Marks, progress: Progress = lambda *_: None) -> None:
        self._rule, self._marks, self._progress = parent.manifest.rule, marks, progress
        self._parent = parent
        self._part_by_key: dict[str, Split] = {}
        self._texts: set[str] = set()
        self._frame: frozenset[bytes] = frozenset()
        for member in parent.members():
            self._texts.update(member.keys[:1])
            for key in member.keys:
                held = self._part_by_key.get(key, member.part)
                self._part_by_key[key] = (
                    held if SPLITS.index(held) > SPLITS.index(member.part) else member.part
                )

    def look(self, rows: Sequence[Row]) -> list[Looked]:
        """One finding a row, in their order; of rows that are the same, the first may be added."""
        bare = [Example(id="", messages=row.messages, tools=row.tools, tenant=row.tenant) for row in rows]
        found = [self._known(row, example) for row, example in zip(rows, bare, strict=True)]
        seen: set[str] = set()
        for at, example in enumerate(bare):
            key = text_key_of(example, self._marks)
            if not found[at].why and key in seen:
                found[at] = Looked(TWICE)
            seen.add(key)
        near = min(self._rule.near, self._rule.same)
        open_ = [at for at, one in enumerate(found) if not one.why]
        if open_ and near <= 1:
            for at, looked in self._alike([asked_of(bare[at], self._marks) for at in open_], near).items():
                found[open_[at]] = looked
        return found

    def _known(self, row: Row, example: Example) -> Looked:
        text = text_key_of(example, self._marks)
        if text in self._texts:
            return Looked(THERE)
        keys = (text, *belongings(row, example, by_tenant=self._rule.group_by == "tenant"))
        if any(self._part_by_key.get(key, "train") != "train" for key in keys):
            return Looked(LIKE)
        return Looked("")

    def _alike(self, texts: Sequence[str], near: float) -> dict[int, Looked]:
        """By the text's place, what is to be said of those that are like something."""
        there, parts, groups = self._signatures()
        rows = np.concatenate([there, self._signed(texts)])
        found: dict[int, Looked] = {}
        twice: dict[int, list[int]] = defaultdict(list)  # to those before it that it is like
        for left, right, likeness in like_pairs(rows, near):
            at = right - len(parts)
            if at < 0:
                continue
            if left >= len(parts):
                if likeness >= self._rule.same:
                    twice[at].append(left - len(parts))
            elif likeness >= (self._rule.same if parts[left] == "train" else self._rule.near):
                found[at] = Looked(LIKE)
            elif parts[left] == "train" and at not in found:
                found[at] = Looked("", groups[left])
        for at in sorted(twice):
            if not found.get(at, Looked("")).why and any(
                not found.get(before, Looked("")).why for before in twice[at]
            ):
                found[at] = Looked(TWICE)
        return found

    def _signatures(self) -> tuple[np.ndarray, list[Split], list[str]]:
        """Of all that is there: the signatures, the part of each, and the group of those in train."""
        parts: list[Split] = []
        groups: list[str] = []
        signed = [np.empty((0, PERMUTATIONS), np.uint32)]
        for part in SPLITS:
            texts = []
            for example in read_part(self._parent, part):
                texts.append(asked_of(example, self._marks))
                parts.append(part)
                groups.append(example.group if part == "train" else "")
            if part == "train":
                self._frame = boilerplate(texts[:_FRAME_SAMPLE])
            signed.append(self._signed(texts))
        return np.concatenate(signed), parts, groups

    def _signed(self, texts: Sequence[str]) -> np.ndarray:
        rows = [np.empty((0, PERMUTATIONS), np.uint32)]
        for start in range(0, len(texts), _AT_ONCE):
            rows.append(signatures(texts[start : start + _AT_ONCE], self._frame))
            self._progress("comparing", min(start + _AT_ONCE, len(texts)), len(texts))
        return np.concatenate(rows)
