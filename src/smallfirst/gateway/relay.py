"""The answer on its way to the client: whole or streamed, in the client's dialect, settled before its last byte goes out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Protocol

import msgspec

from smallfirst.answering.attempt import Attempting
from smallfirst.answering.climb import Answer
from smallfirst.chat import Dialect
from smallfirst.errors import Overloaded, UpstreamBroken, UpstreamError
from smallfirst.gateway.client import Client
from smallfirst.ledger.records import CallStatus
from smallfirst.models.reply import LiveReply
from smallfirst.wire import anthropic_messages, errors, openai_chat
from smallfirst.wire.decode import NOT_JSON
from smallfirst.wire.incoming import Incoming
from smallfirst.wire.sse import SseEvent, encode
from smallfirst.wire.whole import stream_of

Settle = Callable[[CallStatus, str], None]
"""Writes the call's settlement; called once, before the last byte."""

_WIRE = {"openai": openai_chat, "anthropic": anthropic_messages}


def whole_body(reply: bytes, said_in: Dialect, dialect: Dialect, model: str) -> bytes:
    """A whole reply in the client's dialect, saying `model`. Raises `UpstreamBroken` where its JSON cannot be read as a whole."""
    if said_in == dialect:
        try:
            return _WIRE[dialect].rename(reply, model)
        except NOT_JSON as error:
            raise UpstreamBroken(f"the answer is no JSON object ({error})") from error
    neutral = _WIRE[said_in].read_reply(reply)
    return msgspec.json.encode(_WIRE[dialect].write_reply(neutral, model=model))


def shown(reply: bytes, said_in: Dialect, incoming: Incoming, *, model: str, call_id: str) -> bytes:
    """A whole reply as its client reads it, as a stream where it asked for one. Raises `UpstreamBroken` where it cannot be read."""
    if incoming.stream:
        return stream_of(reply, said_in, incoming, model=model, call_id=call_id)
    return whole_body(reply, said_in, incoming.dialect, model)


class Listener(Protocol):
    """Hears what the client is told."""

    def take(self, batch: list[SseEvent], *, calls_tools: bool) -> None: ...


class StreamRelay:
    """One streamed answer, from its first byte to its settlement."""

    def __init__(
        self,
        client: Client,
        incoming: Incoming,
        answer: Answer,
        *,
        model: str,
        call_id: str,
        listener: Listener | None = None,
    ) -> None:
        assert isinstance(answer.reply, LiveReply)
        self._client = client
        self._answer = answer
        self._live = answer.reply
        self._dialect: Dialect = incoming.dialect
        self._settled = False
        self._listener = listener
        self.whole = False  # whether all of it has come
        same = answer.reply.dialect == incoming.dialect
        self._writer = (
            _SameDialect(incoming, model)
            if same
            else _Translator(incoming, answer.reply.dialect, model, call_id)
        )

    async def run(self, headers: list[tuple[bytes, bytes]], settle: Settle) -> None:
        """Sends the stream to its end. Settles before the terminal event, or with how it broke off.

        A client that stays but takes nothing is left when the model's total time is over: it holds its upstream no longer than that.
        """
        client, attempting = self._client, self._answer.attempting
        try:
            async with asyncio.timeout(self._answer.model.timeouts.total_s):
                await self._pass_on(headers, settle)
        except UpstreamError as error:
            if not self._settled:  # what breaks after the terminal event is nothing to the client
                self._broke_off(attempting, "broken" if error.kind != "timeout" else "timeout", str(error))
                settle("cut", error.code)
                if not (self._live.peek.failed and self._writer.passes_errors):
                    await client.send(errors.render_in_stream(error, self._dialect))
        except TimeoutError:
            self._broke_off(attempting, "cancelled", "the client did not take its answer in time")
            settle("cancelled", "client_stalled")
            return
        except asyncio.CancelledError:
            self._live.close()
            client.uncancel()
            if self._settled:  # everything was generated and sent
                return
            ending = client.cut_by or Overloaded("the gateway is stopping; ask again")
            self._broke_off(attempting, "cancelled", "the client left" if client.gone else ending.message)
            settle("cancelled" if client.gone else "cut", "client_gone" if client.gone else "shutdown")
            if client.gone:
                return
            await client.send(errors.render_in_stream(ending, self._dialect))
        except BaseException as fault:
            self._broke_off(attempting, "broken", f"a fault of ours ({type(fault).__name__})")
            raise
        finally:
            self._live.close()
        await client.end_stream()

    async def _pass_on(self, headers: list[tuple[bytes, bytes]], settle: Settle) -> None:
        client = self._client
        await client.start_stream(headers)
        held = self._answer.held
        async for batch in self._live.events() if held is None else _at_once(held):
            data = self._writer.write(batch)
            if self._listener is not None:
                self._listener.take(batch, calls_tools=bool(self._live.peek.tool_calls))
            if not self._settled and any(map(is_terminal, batch)):
                self._ended_well(settle)
            if data:
                await client.send(data)
        if not self._settled:
            self._ended_well(settle)
        rest = self._writer.end()
        if rest:
            await client.send(rest)

    def _ended_well(self, settle: Settle) -> None:
        self._answered(self._answer.attempting)
        settle("ok", "")
        self._settled = self.whole = True

    def _answered(self, attempting: Attempting) -> None:
        peek = self._live.peek
        attempting.answered(
            "ok",
            usage=peek.whole_usage,
            answer_chars=peek.chars,
            stop=peek.stop or "",
            upstream_id=self._live.upstream_id,
            upstream_model=peek.model,
            system_fingerprint=peek.fingerprint,
        )

    def _broke_off(self, attempting: Attempting, status: str, reason: str) -> None:
        attempting.broke_off(
            "cancelled" if status == "cancelled" else "timeout" if status == "timeout" else "broken",
            seen=self._live.peek,
            reason=reason,
            upstream_id=self._live.upstream_id,
        )


async def _at_once(held: tuple[SseEvent, ...]) -> AsyncIterator[list[SseEvent]]:
    """What was held back until its contract was checked."""
    yield list(held)


def is_terminal(event: SseEvent) -> bool:
    """Whether a client stops reading after this event."""
    return event.data == b"[DONE]" or event.event == "message_stop"


class _UsageChunk(msgspec.Struct):
    choices: list[msgspec.Raw] | None = None
    usage: msgspec.Raw = msgspec.Raw()


class _SameDialect:
    """Passes events on byte for byte, but for the model's name and for the usage that the client did not ask for."""

    passes_errors = True

    def __init__(self, incoming: Incoming, model: str) -> None:
        self._rename = _WIRE[incoming.dialect].rename
        self._model = model
        self._hides_usage = (
            incoming.dialect == "openai" and incoming.route == "chat" and not incoming.body.stream_usage
        )
        self._hides_usage |= incoming.route == "completions" and not incoming.body.stream_usage
        self._renames = True

    def write(self, batch: list[SseEvent]) -> bytes:
        if not self._renames and not self._hides_usage:
            return b"".join([event.raw for event in batch])
        return b"".join([self._one(event) for event in batch])

    def end(self) -> bytes:
        return b""

    def _one(self, event: SseEvent) -> bytes:
        data = event.data
        if not data or data == b"[DONE]":
            return event.raw
        if self._hides_usage and b'"usage"' in data:
            hidden = _without_usage(data)
            if hidden is None:
                return b""
            data = hidden
        if self._renames and b'"model"' in data:  # Azure's first chunk may have none, and a ping
            renamed = self._rename(data, self._model)
            self._renames = renamed is not data
            data = renamed
        if data is event.data:
            return event.raw
        return encode(data, event.event)


def _without_usage(data: bytes) -> bytes | None:
    """The chunk as it would be had usage not been asked for; None for the chunk that exists only to tell it."""
    try:
        chunk = msgspec.json.decode(data, type=_UsageChunk)
    except (msgspec.DecodeError, msgspec.ValidationError):
        return data
    if not bytes(chunk.usage):
        return data
    if not chunk.choices and bytes(chunk.usage) != b"null":
        return None
    fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    del fields["usage"]
    return msgspec.json.encode(fields)


class _Translator:
    """Reads the provider's dialect and writes the client's."""

    passes_errors = False

    def __init__(self, incoming: Incoming, upstream: Dialect, model: str, call_id: str) -> None:
        self._reader = _WIRE[upstream].StreamReader()
        self._writer = _WIRE[incoming.dialect].StreamWriter(
            model, include_usage=incoming.body.stream_usage, id=call_id
        )

    def write(self, batch: list[SseEvent]) -> bytes:
        return b"".join([self._writer.feed(told) for event in batch for told in self._reader.feed(event)])

    def end(self) -> bytes:
        return b"".join([self._writer.feed(told) for told in self._reader.end()])
