"""Label files: a text and its label, a JSON object a line: `{"id": "t-1", "input": "…", "label": "billing"}`. `messages` may stand for `input`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from smallfirst.classify.prompt import OUT_OF_SCOPE
from smallfirst.datasets.example import Example
from smallfirst.errors import BadRequest, ConfigError
from smallfirst.training.outcomes import OutcomeRow, json_lines, prompt_of


class LabelRow(msgspec.Struct, frozen=True, kw_only=True):
    """One text. `label` is None where the row needs none, `oos` where the text has none of the labels."""

    text: str
    id: str
    line: int
    label: str | None = None


class _Row(msgspec.Struct, frozen=True):
    id: str = ""
    input: str | None = None
    messages: list[dict[str, Any]] | None = None
    label: str | None = None


def read_labels(path: Path, *, labelled: bool = True) -> list[LabelRow]:
    """The rows of a file. Raises `ConfigError` with the line and the field of the first that is wrong, or that has no label where one is needed."""
    rows = []
    for number, line in json_lines(path):
        try:
            row = msgspec.json.decode(line, type=_Row)
            text = prompt_of(OutcomeRow(input=row.input, messages=row.messages)).question
        except (msgspec.DecodeError, BadRequest) as error:
            raise ConfigError(f"{path}, line {number}: {error}") from error
        if labelled and not row.label:
            raise ConfigError(f"{path}, line {number}: label: required, but missing")
        rows.append(LabelRow(text=text, id=row.id or f"line-{number}", line=number, label=row.label))
    return rows


def labels_of(examples: Iterable[Example]) -> list[LabelRow]:
    """The rows of a dataset's part. `line` is the example's place in it. Raises `ConfigError` where an example has not one label."""
    rows = []
    for number, example in enumerate(examples, start=1):
        if not isinstance(example.label, str):
            raise ConfigError(
                f"example {example.id}: label: a head is trained on examples with one label each"
            )
        text = prompt_of(OutcomeRow(messages=example.messages, tools=example.tools)).question
        rows.append(LabelRow(text=text, id=example.id, line=number, label=example.label))
    if not rows:
        raise ConfigError("the dataset's train part is empty: there is nothing to train on")
    return rows


def check_labels(rows: list[LabelRow], allowed: tuple[str, ...], path: Path | str) -> None:
    """Raises `ConfigError` for the first label that the task's contract does not have."""
    known = {*allowed, OUT_OF_SCOPE}
    for row in rows:
        if row.label not in known:
            raise ConfigError(
                f"{path}, line {row.line}: label: {row.label!r} is not one of the task's {len(allowed)} labels"
            )
