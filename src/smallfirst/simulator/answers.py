"""The answers that the simulated frontier knows by heart, and how a prompt finds its own."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from .prompt import Prompt, compact, fingerprint
from .settings import InputError, Task

_WORD = re.compile(r"\w+")
_ANCHOR_WORDS = 6
_MESSAGE_WORDS_MAX = 8_000
_MATCH_ROWS_MAX = 2_000
_CANDIDATES_MAX = 256


@dataclass(frozen=True, slots=True)
class _Row:
    """One known input: its text as normalised words, and the answer for each task tag."""

    words: tuple[str, ...]
    answers: Mapping[str, str]


class AnswerBook:
    """Right answers by the text that a message contains; finding one is a pass over the message alone."""

    def __init__(self, rows: Iterable[Mapping[str, Any]], tasks: Mapping[str, Task], seed: int) -> None:
        self._tasks = tasks
        self._seed = seed
        self._matches: list[tuple[str, str]] = []
        by_words: dict[tuple[str, ...], dict[str, str]] = {}
        for number, row in enumerate(rows, start=1):
            self._add(number, row, by_words)
        self._by_anchor: dict[tuple[str, ...], list[_Row]] = {}
        self._by_tag: dict[str, list[str]] = {}
        for words, answers in by_words.items():
            self._by_anchor.setdefault(words[:_ANCHOR_WORDS], []).append(_Row(words, answers))
            for tag, answer in answers.items():
                self._by_tag.setdefault(tag, []).append(answer)
        self._anchor_lengths = sorted({len(anchor) for anchor in self._by_anchor}, reverse=True)

    def _add(self, number: int, row: object, by_words: dict[tuple[str, ...], dict[str, str]]) -> None:
        match row:
            case {"match": str(substring), "answer": str(answer)} if substring:
                if len(self._matches) >= _MATCH_ROWS_MAX:
                    raise InputError(f'answers row {number}: more than {_MATCH_ROWS_MAX} rows with "match"')
                self._matches.append((substring, answer))
            case {"input": str(text), "answers": dict(answers)}:
                words = normalised(text)
                if not words:
                    raise InputError(f'answers row {number}: "input" has no words')
                texts = {
                    tag: answer if isinstance(answer, str) else compact(answer)
                    for tag, answer in answers.items()
                }
                by_words.setdefault(words, {}).update(texts)
            case _:
                raise InputError(f"answers row {number}: expected input and answers, or match and answer")

    def find(self, prompt: Prompt, salt: int = 0) -> str | None:
        """The answer that the book has, wrong as often as the task's accuracy says; or ``None``."""
        row = self._row(normalised(prompt.user)[-_MESSAGE_WORDS_MAX:])
        if row is not None:
            tag = self.tag(prompt)
            if tag is None and len(row.answers) == 1:
                return next(iter(row.answers.values()))
            if tag is not None and tag in row.answers:
                return self._maybe_wrong(row, tag, prompt.model, salt)
        return next((answer for substring, answer in self._matches if substring in prompt.user), None)

    def tag(self, prompt: Prompt) -> str | None:
        """The task whose marker is in the system prompt, or else in the last user message."""
        for text in (prompt.system, prompt.user):
            for name, task in self._tasks.items():
                if task.marker in text:
                    return name
        return None

    def _row(self, words: tuple[str, ...]) -> _Row | None:
        """The known input in ``words``: not one inside another, and the last of several."""
        found: list[tuple[int, int, _Row]] = []
        for start in range(len(words)):
            for length in self._anchor_lengths:
                for row in self._by_anchor.get(words[start : start + length], ()):
                    end = start + len(row.words)
                    if len(row.words[:_ANCHOR_WORDS]) == length and words[start:end] == row.words:
                        found.append((start, end, row))
            if len(found) >= _CANDIDATES_MAX:
                break
        outer = [one for one in found if not any(_inside(one, other) for other in found)]
        return max(outer, key=lambda one: one[1])[2] if outer else None

    def _maybe_wrong(self, row: _Row, tag: str, model: str, salt: int) -> str:
        right = row.answers[tag]
        rng = Random(fingerprint(self._seed, tag, model, salt, " ".join(row.words)))
        if rng.random() < self._tasks[tag].accuracy_of(model):
            return right
        others = self._by_tag[tag]
        for _ in range(32):
            other = rng.choice(others)
            if other != right:
                return _spoiled(right, other, rng)
        return next((other for other in others if other != right), right)


def read_answers(path: Path) -> Iterable[Mapping[str, Any]]:
    """The rows of a JSONL file; ``InputError`` names the line that is not JSON."""
    with path.open(encoding="utf-8") as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                try:
                    yield json.loads(line)
                except ValueError as problem:
                    raise InputError(f"{path}:{number}: not JSON") from problem


def normalised(text: str) -> tuple[str, ...]:
    """The words of ``text``, case and punctuation gone: what two copies of one ticket have in common."""
    return tuple(_WORD.findall(text.casefold()))


def _inside(one: tuple[int, int, _Row], other: tuple[int, int, _Row]) -> bool:
    longer = other[1] - other[0] > one[1] - one[0]
    return longer and other[0] <= one[0] and one[1] <= other[1]


def _spoiled(right: str, other: str, rng: Random) -> str:
    """A plausible wrong answer: another row's label, or the right record with one field of another row."""
    record, donor = _record(right), _record(other)
    if record is None or donor is None:
        return other
    differing = [name for name in record if name in donor and donor[name] != record[name]]
    if not differing:
        return other
    name = rng.choice(differing)
    return compact({**record, name: donor[name]})


def _record(text: str) -> dict[str, Any] | None:
    if not text.lstrip().startswith("{"):
        return None
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None
