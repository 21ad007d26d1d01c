"""Calls in batch files of OpenAI and Anthropic: requests in one file, answers in another, joined by `custom_id`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smallfirst.datasets.batches import anthropic_reply, openai_reply
from smallfirst.datasets.lines import Position, first_line, read_lines
from smallfirst.datasets.row import Tally
from smallfirst.errors import BadRequest
from smallfirst.planning.assess.observed import Observed
from smallfirst.planning.assess.reading.columns import Columns, Facts, with_facts
from smallfirst.planning.assess.reading.exchanged import answered, asked


def read_batch_calls(
    paths: Sequence[Path], columns: Columns, tally: Tally, position: Position
) -> Iterator[Observed]:
    """The requests of all files together; one that has no answer in any of them counts without.

    What the answers told is in memory: a provider's batch has at most 100,000 of them.
    """
    asking = [path for path in paths if {"body", "params"} & first_line(path).keys()]
    told: dict[str, dict[str, Any]] = {}
    for path in [path for path in paths if path not in asking]:
        for line in read_lines(path, tally, position=position):
            told[str(line.value.get("custom_id"))] = _answer(line.value)
    for path in asking:
        for line in read_lines(path, tally, position=position):
            body = line.value.get("body", line.value.get("params"))
            if not isinstance(body, dict):
                tally.bad(line.where, "expected `body` (OpenAI) or `params` (Anthropic), an object")
                continue
            answer = told.pop(str(line.value.get("custom_id")), {"answer": ""})
            provider = "openai" if "body" in line.value else "anthropic"
            try:
                beside = Facts(columns, {"provider": provider})
                yield with_facts(asked(body) | {k: v for k, v in answer.items() if v is not None}, beside)
            except (BadRequest, ValueError) as error:
                tally.bad(line.where, str(error))
    for _ in told:
        tally.skip("answers to requests that are in none of the files")


def _answer(value: dict[str, Any]) -> dict[str, Any]:
    reply, failed = openai_reply(value) if "response" in value else anthropic_reply(value)
    return {"answer": "", "failed": True} if failed else answered(reply)
