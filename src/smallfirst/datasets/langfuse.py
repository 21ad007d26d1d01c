"""Langfuse's exports: observations as JSON or JSON Lines, from the UI (camelCase), the API, or blob storage (snake_case), and whole traces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from smallfirst.datasets.exchange import Asked, checked, read_answer, read_request
from smallfirst.datasets.lines import Line, read_lines
from smallfirst.datasets.mapping import Mapping, field, moment_ms, slices_of, text_of
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import BadRequest


def is_observation(value: dict[str, Any]) -> bool:
    """An observation, or a trace with its observations."""
    if isinstance(value.get("observations"), list):
        return True
    return ("traceId" in value or "trace_id" in value) and ("input" in value or "type" in value)


def read_observations(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Row]:
    """The generations among the observations, where their input and output were kept."""
    for line in read_lines(path, tally):
        inner = line.value.get("observations")
        if not isinstance(inner, list):
            yield from _row(line, line.value, mapping, tally)
            continue
        trace = {name: line.value[name] for name in ("sessionId", "userId") if name in line.value}
        for observation in inner:
            if isinstance(observation, dict):
                yield from _row(line, trace | observation, mapping, tally)
            else:
                tally.skip("observations that are only named")


def _row(line: Line, value: dict[str, Any], mapping: Mapping, tally: Tally) -> Iterator[Row]:
    if text_of(value.get("type")).upper() not in ("GENERATION", ""):
        tally.skip("observations that are no generation")
        return
    given, output = _json(value.get("input")), _json(value.get("output"))
    if not given or not output:
        tally.skip("generations without input and output")
        return
    text, why = read_answer(output)
    if why:
        tally.skip(why)
        return
    try:
        asked = _asked(given)
        at_ms = moment_ms(_either(value, "startTime", "start_time"))
    except (BadRequest, ValueError) as error:
        tally.bad(line.where, f"input: {error}")
        return
    group = text_of(field(value, mapping.group)) if mapping.group else ""
    session = text_of(_either(value, "sessionId", "session_id"))
    keys = [f"group:{group}"] if group else []
    keys += [f"conversation:{session}"] if session else []
    model = next(
        (
            text_of(value.get(name))
            for name in ("model", "providedModelName", "provided_model_name")
            if value.get(name)
        ),
        "unknown",
    )
    yield Row(
        messages=asked.messages,
        tools=asked.tools,
        answer=text,
        where=line.where,
        source=line.path.name,
        line=line.number,
        id=text_of(value.get("id")),
        keys=tuple(keys),
        at_ms=at_ms,
        slices=slices_of(value, mapping.slices),
        reference_by=f"model:{model}",
        provider=mapping.provider,
    )


def _asked(given: Any) -> Asked:
    if isinstance(given, str):
        return Asked([{"role": "user", "content": given}], None)
    if isinstance(given, list):
        return Asked(checked(given), None)
    return read_request(given)


def _either(value: dict[str, Any], camel: str, snake: str) -> Any:
    return value.get(camel) if value.get(camel) is not None else value.get(snake, UNSET)


def _json(value: Any) -> Any:
    """Exports keep input and output as JSON, or as text that is JSON; a text that is none is itself."""
    if not isinstance(value, str) or not value.lstrip().startswith(("{", "[", '"')):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
