"""`POST /smallfirst/outcomes`: what a client has learned of its calls' answers, written down before it is told so.

One JSON object, an array, or one object a line. Each row is taken or refused by itself; rows that were told before change nothing, so a request
that failed can simply be sent again. A key speaks of its own tenant's calls only.
"""

from __future__ import annotations

import asyncio
import datetime
import sqlite3
from typing import Any

import msgspec

from smallfirst import limits
from smallfirst.errors import BadRequest, CallError, LedgerUnavailable, Overloaded, StateError
from smallfirst.gateway.client import Client, ClientGone
from smallfirst.gateway.draft import new_call_id
from smallfirst.gateway.hand import Desk
from smallfirst.gateway.identity import Caller, presented_key
from smallfirst.ledger.told import RowRefused, RowResult, note_told, read_all
from smallfirst.wire import errors
from smallfirst.wire.decode import NOT_JSON

PATH = "/smallfirst/outcomes"
_SOURCE = "client"


class OutcomesDesk:
    """Takes outcomes in, one request at a time: they wait for the disk, and for nothing that calls need."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._turn = asyncio.Lock()
        self._at_work = 0

    async def __call__(self, client: Client) -> None:
        """One request, answered. Its client may leave: what was written stays."""
        try:
            if client.scope["method"] != "POST":
                raise BadRequest(f"{PATH} is asked with POST, not {client.scope['method']}")
            results = await self._taken(client, self._caller(client))
        except ClientGone:
            return
        except CallError as error:
            await self._refuse(client, error)
            return
        taken = any(result.status != "refused" for result in results)
        told = [(b"content-type", b"application/json")]
        await client.answer(200 if taken else 400, told, _answer(results))

    async def _taken(self, client: Client, caller: Caller) -> list[RowResult]:
        """What became of each row. Raises `Overloaded` where too many requests, whose bodies are held meanwhile, wait already."""
        if self._at_work >= limits.MAX_OUTCOME_REQUESTS:
            raise Overloaded("too many requests tell outcomes at once; send them again", retry_after_s=1)
        self._at_work += 1
        try:
            body = await client.body(self._desk.running.config.server.max_body_bytes)
            async with self._turn:
                results = await asyncio.to_thread(self._take, body, caller)
            if any(result.status == "new" for result in results):
                await self._desk.bad_hits.follow()
            return results
        finally:
            self._at_work -= 1

    def _caller(self, client: Client) -> Caller:
        found = client.headers
        key = presented_key(
            found.get(b"authorization", b""), found.get(b"x-api-key") or found.get(b"api-key") or b""
        )
        return self._desk.running.identity.caller(key, datetime.datetime.now(datetime.UTC).date())

    def _take(self, body: bytes, caller: Caller) -> list[RowResult]:
        """In a thread. Raises `BadRequest`, `LedgerUnavailable`."""
        ledger = self._desk.ledger
        rows = read_all(read_rows(body), source=_SOURCE)
        try:
            return note_told(
                rows,
                queries=ledger.queries,
                note=ledger.notes.outcomes,
                wait=ledger.importer.import_now,  # it may have been answered a moment ago, and lie in the journal still
                tenant=caller.tenant,
            )
        except (StateError, sqlite3.Error, OSError) as error:
            raise LedgerUnavailable(
                "the ledger cannot take outcomes now; send them again: what was taken already changes nothing",
                retry_after_s=1,
            ) from error

    async def _refuse(self, client: Client, error: CallError) -> None:
        self._desk.metrics.refused(error.code)
        status, told, body = errors.render(error, dialect="openai", request_id=new_call_id(0))
        await client.answer(status, told, body)


def read_rows(body: bytes) -> list[Any]:
    """The rows of a request: an object, an array, or one JSON value a line, where a line that is none becomes a `RowRefused`.

    Raises `BadRequest` where there is none, or there are too many.
    """
    rows: list[Any]
    try:
        whole = msgspec.json.decode(body)
        rows = whole if isinstance(whole, list) else [whole]
    except NOT_JSON as error:
        lines = [line for line in body.splitlines() if line.strip()]
        if len(lines) < 2:
            raise BadRequest(f"the body is neither JSON nor one JSON object a line ({error})") from None
        if len(lines) > limits.MAX_OUTCOMES:
            raise _too_many(len(lines)) from None
        rows = [_line(line) for line in lines]
    if not rows:
        raise BadRequest("the body tells no outcome")
    if len(rows) > limits.MAX_OUTCOMES:
        raise _too_many(len(rows))
    return rows


def _too_many(count: int) -> BadRequest:
    return BadRequest(f"{count} outcomes in one request, more than {limits.MAX_OUTCOMES}: send them in parts")


def _line(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)
    except NOT_JSON:
        return RowRefused("row", "the line is not JSON")


def _answer(results: list[RowResult]) -> bytes:
    counts = {
        status: sum(result.status == status for result in results)
        for status in ("new", "repeated", "refused")
    }
    return msgspec.json.encode(counts | {"rows": results})
