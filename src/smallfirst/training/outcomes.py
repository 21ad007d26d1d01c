"""Outcome rows: what each model of a ladder was worth on one call. The input of router fitting, a JSON object a line.

    {"id": "t-1", "messages": [{"role": "user", "content": "…"}], "intent": "billing",
     "outcomes": {"small": {"score": 1.0, "cost_usd": 0.00001, "output_chars": 7, "confidence": 0.93, "answer": "billing"},
                  "frontier": {"score": 1.0, "cost_usd": 0.002}}}

Only `messages` and each model's `score` are required. `input` may stand for a single user message, `split` ("train" or "calibration") and `group`
(what must not straddle the two) are kept where they are given.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from smallfirst.classify.prompt import Prompt
from smallfirst.errors import BadRequest, ConfigError
from smallfirst.routing.judgement import Signals
from smallfirst.routing.reading import read_prompt
from smallfirst.routing.second_look import same_answer
from smallfirst.wire import openai_chat
from smallfirst.wire.turns import read_conversation

Share = Annotated[float, Meta(ge=0, le=1)]


class Outcome(msgspec.Struct, frozen=True):
    """One model's answer to one call: its `score` against the reference, and what is known of the answer itself."""

    score: Share
    cost_usd: Annotated[float, Meta(ge=0)] | None = None
    output_chars: Annotated[int, Meta(ge=0)] | None = None
    confidence: Share | None = None
    answer: Any = None
    truncated: bool = False
    refused: bool = False


class OutcomeRow(msgspec.Struct, frozen=True, kw_only=True):
    """One call and its outcomes by model."""

    outcomes: dict[str, Outcome] = {}
    id: str = ""
    messages: list[dict[str, Any]] | None = None
    input: str | None = None
    tools: list[dict[str, Any]] | None = None
    intent: str | None = None
    split: Literal["train", "calibration"] | None = None
    group: str | None = None


class Example(msgspec.Struct, frozen=True, kw_only=True):
    """A row that was read: its prompt, and its line for messages."""

    row: OutcomeRow
    prompt: Prompt
    line: int

    @property
    def id(self) -> str:
        return self.row.id or f"line-{self.line}"

    @property
    def group(self) -> str:
        """What must not stand on both sides of a split: the same question in other letters, by default."""
        if self.row.group:
            return self.row.group
        folded = " ".join(self.prompt.question.casefold().split())
        return hashlib.sha256(folded.encode()).hexdigest()


def read_outcomes(path: Path, *, after: str = "", before: str = "") -> list[Example]:
    """The rows of a file. Raises `ConfigError` with the line and the field of the first that is wrong."""
    examples = []
    for number, line in json_lines(path):
        try:
            row = msgspec.json.decode(line, type=OutcomeRow)
            prompt = prompt_of(row, after=after, before=before)
        except (msgspec.DecodeError, BadRequest) as error:
            raise ConfigError(f"{path}, line {number}: {error}") from error
        examples.append(Example(row=row, prompt=prompt, line=number))
    return examples


def examples_of(rows: Sequence[OutcomeRow], *, after: str = "", before: str = "") -> list[Example]:
    """Rows that were made here, as they would be read from a file."""
    return [
        Example(row=row, prompt=prompt_of(row, after=after, before=before), line=number)
        for number, row in enumerate(rows, start=1)
    ]


def prompt_of(row: OutcomeRow, *, after: str = "", before: str = "") -> Prompt:
    """The row's call as a router sees it. Raises `BadRequest` where its messages are none."""
    if row.messages is None and row.input is None:
        raise BadRequest("messages: required, but missing (or `input`, one user message)", param="messages")
    messages = row.messages if row.messages is not None else [{"role": "user", "content": row.input}]
    body = {"model": "any", "messages": messages} | ({"tools": row.tools} if row.tools else {})
    return read_prompt(
        read_conversation(openai_chat.decode(msgspec.json.encode(body))), after=after, before=before
    )


def check_models(examples: Sequence[Example], models: Sequence[str], path: Path) -> None:
    """Raises `ConfigError` where a row lacks one of the models, naming the line and what it has."""
    for example in examples:
        for model in models:
            if model not in example.row.outcomes:
                has = ", ".join(sorted(example.row.outcomes)) or "none"
                raise ConfigError(
                    f"{path}, line {example.line}: outcomes.{model}: required, but missing (the row has: {has})"
                )


def ladder_of(examples: Sequence[Example]) -> tuple[str, ...]:
    """All models of the first row, cheapest first where every row tells all costs, else the worst first."""
    names = tuple(examples[0].row.outcomes)
    found = {
        name: [example.row.outcomes[name] for example in examples if name in example.row.outcomes]
        for name in names
    }
    costs = {name: [outcome.cost_usd for outcome in outcomes] for name, outcomes in found.items()}
    priced = all(cost is not None for told in costs.values() for cost in told)

    def rank(name: str) -> float:
        told = [cost or 0.0 for cost in costs[name]] if priced else [outcome.score for outcome in found[name]]
        return sum(told) / len(told)

    return tuple(sorted(names, key=rank))


def signals_of(outcome: Outcome, below: Outcome | None) -> Signals:
    """What the gateway would have seen of this answer. `below`: the answer of the rung under it, where that was asked too."""
    agrees = None
    if below is not None and below.answer is not None and outcome.answer is not None:
        agrees = same_answer(outcome.answer, below.answer)
    return Signals(
        confidence=outcome.confidence,
        chars=outcome.output_chars if outcome.output_chars is not None else _length(outcome.answer),
        truncated=outcome.truncated,
        refused=outcome.refused,
        agrees=agrees,
    )


def _length(answer: Any) -> int:
    return (
        0 if answer is None else len(answer) if isinstance(answer, str) else len(msgspec.json.encode(answer))
    )


def json_lines(path: Path) -> list[tuple[int, bytes]]:
    """The lines that are not blank, by number. Raises `ConfigError` where the file cannot be read or has none."""
    try:
        data = path.read_bytes()
        data.decode()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}, line {line}: not UTF-8 ({error.reason})") from error
    lines = data.split(b"\n")
    found = [(number, line) for number, line in enumerate(lines, start=1) if line.strip()]
    if not found:
        raise ConfigError(f"{path} has no rows")
    return found
