"""LiteLLM's spend logs (`LiteLLM_SpendLogs`), exported as JSON: prompts are in them where `store_prompts_in_spend_logs` is on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET

from smallfirst.datasets.exchange import read_answer, read_request
from smallfirst.datasets.lines import Line, read_lines
from smallfirst.datasets.mapping import Mapping, field, moment_ms, slices_of, text_of
from smallfirst.datasets.row import Row, Tally
from smallfirst.errors import BadRequest

_NO_PROMPT = "rows without a prompt (LiteLLM keeps them where `store_prompts_in_spend_logs` is on)"


def is_spend_log(value: dict[str, Any]) -> bool:
    """By the columns that only this table has together."""
    return {"request_id", "call_type"} <= value.keys() and ("startTime" in value or "spend" in value)


def read_spend_logs(path: Path, mapping: Mapping, tally: Tally) -> Iterator[Row]:
    """The chat calls that succeeded and whose prompt and answer were kept."""
    for line in read_lines(path, tally):
        value = line.value
        body = request_of_spend_log(value)
        reply = _json(value.get("response"))
        if text_of(value.get("status")) not in ("", "success"):
            tally.skip("requests that failed")
        elif not body.get("messages") or not reply:
            tally.skip(_NO_PROMPT)
        else:
            yield from _row(line, body, reply, mapping, tally)


def _row(line: Line, body: dict[str, Any], reply: Any, mapping: Mapping, tally: Tally) -> Iterator[Row]:
    value = line.value
    text, why = read_answer(reply)
    if why:
        tally.skip(why)
        return
    try:
        asked = read_request(body)
        at_ms = moment_ms(value.get("startTime", UNSET))
    except (BadRequest, ValueError) as error:
        tally.bad(line.where, str(error))
        return
    group = text_of(field(value, mapping.group)) if mapping.group else ""
    session = text_of(value.get("session_id"))
    keys = [f"group:{group}"] if group else []
    keys += [f"conversation:{session}"] if session else []
    yield Row(
        messages=asked.messages,
        tools=asked.tools,
        answer=text,
        where=line.where,
        source=line.path.name,
        line=line.number,
        id=text_of(value.get("request_id")),
        keys=tuple(keys),
        tenant=text_of(value.get("team_id")),
        at_ms=at_ms,
        slices=slices_of(value, mapping.slices),
        reference_by=f"model:{text_of(value.get('model')) or 'unknown'}",
        provider=mapping.provider or text_of(value.get("custom_llm_provider")),
    )


def request_of_spend_log(value: dict[str, Any]) -> dict[str, Any]:
    """The request: the whole of it where the proxy kept that, else its messages."""
    whole = _json(value.get("proxy_server_request"))
    if isinstance(whole, dict):
        body = whole.get("body", whole)
        if isinstance(body, dict) and body.get("messages"):
            return body
    messages = _json(value.get("messages"))
    return {"messages": messages} if isinstance(messages, list) else {}


def _json(value: Any) -> Any:
    """A column of JSON: exported as JSON, or as text that is JSON."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
