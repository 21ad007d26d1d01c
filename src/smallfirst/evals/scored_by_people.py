"""Answers that people scored, to measure a judge by: from a file, or from the ledger's outcomes.

A file has an object a line: `input` or `messages`, `output`, and what a person said of it: `score` in [0, 1], `rating` from 1 to 5, or `thumbs`,
"up" or "down". Beside them may stand `id`, `model` (who answered), `group`, and a reference in `label`, `fields` or `references`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from smallfirst.datasets.exchange import checked, read_answer, read_request
from smallfirst.datasets.lines import read_lines
from smallfirst.datasets.row import Tally
from smallfirst.errors import BadRequest, ScorerError
from smallfirst.ledger.filter import Filter
from smallfirst.ledger.queries import Queries
from smallfirst.ledger.records import ASIDE

_PAGE = 500
_MACHINES = ("judge", *ASIDE)  # sources of scores that no person gave


class Scored(msgspec.Struct, frozen=True, kw_only=True):
    """One answer and a person's score of it."""

    id: str
    messages: list[dict[str, Any]]
    output: str
    human: float
    reference: Any = None
    model: str = ""
    group: str = ""


class _Row(msgspec.Struct, frozen=True, kw_only=True):
    output: str
    id: str | int = ""
    input: str | None = None
    messages: list[dict[str, Any]] | None = None
    score: Annotated[float, Meta(ge=0, le=1)] | None = None
    rating: Literal[1, 2, 3, 4, 5] | None = None
    thumbs: Literal["up", "down"] | None = None
    label: str | list[str] | None = None
    fields: Any = None
    references: list[str] | None = None
    model: str = ""
    group: str = ""


def read_scored(path: Path) -> list[Scored]:
    """The rows of a file. Raises `ScorerError` with the line and the field of the first that is wrong, `DatasetError` where it cannot be read."""
    found = []
    for line in read_lines(path, Tally()):
        try:
            found.append(_scored(msgspec.convert(line.value, _Row), line.number))
        except (msgspec.ValidationError, BadRequest, ValueError) as error:
            raise ScorerError(f"{line.where}: {error}") from error
    if not found:
        raise ScorerError(f"{path} has no rows")
    return found


def read_outcomes(queries: Queries, task: str) -> Iterator[Scored]:
    """The task's calls that a person scored, or gave a thumb, where their bodies are kept; of several words the latest."""
    last = 0
    while page := queries.tail(last, Filter(task=task, origin="client"), limit=_PAGE):
        last = page[-1].n
        for listed in page:
            call = listed.call
            human = _said(queries, call.id)
            bodies = queries.bodies(call.id) if human is not None else None
            if human is None or bodies is None or call.status != "ok":
                continue
            try:
                asked = read_request(msgspec.json.decode(bodies.request))
                text, missing = read_answer(msgspec.json.decode(bodies.answer))
            except (msgspec.DecodeError, BadRequest):  # redacted so that it is no request any more
                continue
            if not missing:
                yield Scored(
                    id=call.id,
                    messages=asked.messages,
                    output=text,
                    human=human,
                    model=call.model,
                    group=call.conversation,
                )


def _said(queries: Queries, call: str) -> float | None:
    for outcome in queries.latest_outcomes(call):
        if outcome.source in _MACHINES:
            continue
        if outcome.kind == "thumbs" and isinstance(outcome.value, bool):
            return float(outcome.value)
        if outcome.kind == "score" and isinstance(outcome.value, int | float):
            return float(outcome.value)
    return None


def _scored(row: _Row, number: int) -> Scored:
    said = [name for name in ("score", "rating", "thumbs") if getattr(row, name) is not None]
    if len(said) != 1:
        raise ValueError(f"expected one of score, rating and thumbs, got {' and '.join(said) or 'none'}")
    if (row.input is None) == (row.messages is None):
        raise ValueError("expected either input or messages")
    if row.thumbs is not None:
        human = float(row.thumbs == "up")
    else:
        human = row.score if row.score is not None else ((row.rating or 1) - 1) / 4
    given = [value for value in (row.label, row.references, row.fields) if value is not None]
    messages = [{"role": "user", "content": row.input}] if row.messages is None else checked(row.messages)
    return Scored(
        id=str(row.id) or f"line-{number}",
        messages=messages,
        output=row.output,
        human=human,
        reference=given[0] if given else None,
        model=row.model,
        group=row.group,
    )
