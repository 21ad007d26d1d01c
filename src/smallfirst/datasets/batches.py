"""Batch files of OpenAI and Anthropic: requests in one file, answers in another, joined by `custom_id`.

OpenAI: `{"custom_id", "method", "url", "body"}` and `{"id", "custom_id", "response": {"status_code", "body"}, "error"}`.
Anthropic: `{"custom_id", "params"}` and `{"custom_id", "result": {"type", "message"}}`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from smallfirst.datasets.exchange import read_answer, read_request
from smallfirst.datasets.lines import Line, read_lines
from smallfirst.datasets.mapping import Mapping, slices_of, text_of
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import BadRequest, DatasetError

_OK = 200


def is_batch(value: dict[str, Any]) -> bool:
    """Whether a line is of a batch file, request or answer."""
    return "custom_id" in value and any(name in value for name in ("body", "params", "response", "result"))


def read_batches(paths: Sequence[Path], mapping: Mapping, tally: Tally) -> Iterator[Row]:
    """The answered requests of all files together. Raises `DatasetError` where there are only requests, or only answers."""
    requests: dict[str, Line] = {}
    answers: dict[str, Line] = {}
    for path in paths:
        for line in read_lines(path, tally):
            into = requests if "body" in line.value or "params" in line.value else answers
            name = text_of(line.value.get("custom_id"))
            if name in into:
                raise DatasetError(
                    f"{line.where}: custom_id: {name!r} stands in {into[name].where} too: import each batch by itself"
                )
            into[name] = line
    if not requests or not answers:
        raise DatasetError(
            f"{', '.join(str(path) for path in paths)}: these are the {'answers' if answers else 'requests'} of a batch: "
            f"give the file of its {'requests' if answers else 'answers'} too"
        )
    for name, answer in answers.items():
        if name not in requests:
            tally.skip("answers to requests that are in none of the files")
            continue
        row = _row(name, requests[name], answer, mapping, tally)
        if row is not None:
            yield row
    for _ in requests.keys() - answers.keys():
        tally.skip("requests without an answer")


def _row(name: str, request: Line, answer: Line, mapping: Mapping, tally: Tally) -> Row | None:
    is_openai = "body" in request.value
    body = request.value["body" if is_openai else "params"]
    reply, failed = openai_reply(answer.value) if is_openai else anthropic_reply(answer.value)
    text, why = ("", failed) if failed else read_answer(reply)
    if why:
        tally.skip(why)
        return None
    try:
        asked = read_request(body if isinstance(body, dict) else {})
    except BadRequest as error:
        tally.bad(request.where, f"{'body' if is_openai else 'params'}.{error.param or ''}: {error}")
        return None
    provider = mapping.provider or ("openai" if is_openai else "anthropic")
    return Row(
        messages=asked.messages,
        tools=asked.tools,
        answer=text,
        where=request.where,
        source=request.path.name,
        line=request.number,
        id=name,
        at_ms=int(reply.get("created") or 0) * 1000,
        slices=slices_of(request.value, mapping.slices),
        reference_by=f"model:{text_of(reply.get('model')) or 'unknown'}",
        provider=provider,
    )


def openai_reply(value: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A reply, and "" or why there is none."""
    response = value.get("response")
    if not isinstance(response, dict) or response.get("status_code") != _OK:
        return {}, "requests that failed"
    body = response.get("body")
    return (body, "") if isinstance(body, dict) else ({}, "requests that failed")


def anthropic_reply(value: dict[str, Any]) -> tuple[dict[str, Any], str]:
    """A reply, and "" or why there is none."""
    result = value.get("result")
    if not isinstance(result, dict) or result.get("type") != "succeeded":
        return {}, "requests that failed"
    message = result.get("message")
    return (message, "") if isinstance(message, dict) else ({}, "requests that failed")
