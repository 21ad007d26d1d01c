"""One request to one endpoint, and what came back: a whole reply, or a live stream whose first event has arrived.

Nothing is retried here. A refusal, a cut, a time-out and garbage are each raised as their own `UpstreamError`.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping

from smallfirst import limits
from smallfirst.chat import Dialect
from smallfirst.config.schema import Timeouts
from smallfirst.errors import UpstreamBroken, UpstreamError, UpstreamRefused, UpstreamUnreachable
from smallfirst.models.transport import Exchange, Outgoing, Transport
from smallfirst.wire import anthropic_messages, errors, openai_chat, openai_other
from smallfirst.wire.incoming import Route
from smallfirst.wire.sse import SseDecoder, SseEvent

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_REQUEST_IDS = ("x-request-id", "request-id", "apim-request-id")
_PASSED_HEADERS = (
    "openai-",
    "anthropic-",
    "x-ratelimit-",
    "request-id",
    "x-request-id",
    "cf-ray",
    "x-ms-",
    "apim-request-id",
)


class WholeReply:
    """A complete answer in its provider's dialect."""

    __slots__ = ("data", "dialect", "headers", "peek")

    def __init__(
        self, dialect: Dialect, data: bytes, peek: openai_chat.Peek, headers: list[tuple[str, str]]
    ) -> None:
        self.dialect: Dialect = dialect
        self.data = data
        self.peek = peek
        self.headers = headers

    @property
    def text(self) -> str:
        return self.peek.text

    @property
    def upstream_id(self) -> str:
        """The answer's id, or where it has none (embeddings) the request's."""
        return self.peek.id or _request_id(self.headers)

    def without_logprobs(self) -> WholeReply:
        """The same answer as if log-probabilities had not been asked for."""
        return WholeReply(self.dialect, openai_chat.without_logprobs(self.data), self.peek, self.headers)


class LiveReply:
    """A stream of which the first events have come: nothing after this is retried.

    `peek` holds what was read so far: usage, stop reason, text if `keep_text`.
    """

    def __init__(self, dialect: Dialect, exchange: Exchange, *, keep_text: bool) -> None:
        self.dialect: Dialect = dialect
        self.headers = passed_headers(exchange.headers)
        self.peek = (anthropic_messages if dialect == "anthropic" else openai_chat).StreamPeek(
            keep_text=keep_text
        )
        self._exchange = exchange
        self._decoder = SseDecoder()
        self._chunks = exchange.chunks()
        self._first: list[SseEvent] | None = None

    @property
    def upstream_id(self) -> str:
        """The answer's id, or where it has not told one the request's."""
        return self.peek.id or _request_id(self.headers)

    async def begin(self) -> None:
        """Waits for the first event."""
        async for chunk in self._chunks:
            events = self._take(chunk)
            if events:
                self._first = events
                if self.peek.failed:
                    self._fail()
                return
        raise UpstreamBroken("the stream ended before its first event")

    async def events(self) -> AsyncIterator[list[SseEvent]]:
        """Events, as many at a time as came together. Raises `UpstreamBroken` when the stream breaks off or reports an error."""
        if self._first:
            events, self._first = self._first, None
            yield self._proven(events)
        async for chunk in self._chunks:
            events = self._take(chunk)
            if events:
                yield self._proven(events)
            if self.peek.failed:
                self._fail()
        tail = self._decoder.end()
        if tail:
            for event in tail:
                self.peek.feed(event)
            yield tail
        if not self.peek.ended:
            raise UpstreamBroken("the stream broke off before the answer was complete")

    def close(self) -> None:
        self._exchange.close()

    def _proven(self, events: list[SseEvent]) -> list[SseEvent]:
        """The events, but for a `[DONE]` that ends an answer without its finish reason: it alone proves nothing."""
        if self.peek.ended or events[-1].data != b"[DONE]":
            return events
        return events[:-1]

    def _take(self, chunk: bytes) -> list[SseEvent]:
        events = self._decoder.feed(chunk)
        feed = self.peek.feed
        for event in events:
            feed(event)
        return events

    def _fail(self) -> None:
        failed = self.peek.failed
        assert failed is not None
        self.close()
        raise UpstreamBroken(f"the upstream reported {failed.kind}: {failed.message}")


async def ask_whole(
    transport: Transport, outgoing: Outgoing, *, timeouts: Timeouts, dialect: Dialect, route: Route
) -> WholeReply:
    """The whole answer. Raises `UpstreamRefused` and the other `UpstreamError`s."""
    exchange = await transport.send(outgoing, timeouts)
    try:
        data = await exchange.read()
        if exchange.status >= 300:
            raise refusal(exchange, data, dialect)  # noqa: TRY301 (the handler names and closes, whatever it is)
        if route == "embeddings":
            peek = openai_other.peek_embeddings(data)
        elif dialect == "anthropic":
            peek = anthropic_messages.peek_reply(data)
        else:
            peek = openai_chat.peek_reply(data)
    except BaseException as error:
        _ended(exchange, error)
        raise
    return WholeReply(dialect, data, peek, passed_headers(exchange.headers))


async def ask_stream(
    transport: Transport, outgoing: Outgoing, *, timeouts: Timeouts, dialect: Dialect, keep_text: bool
) -> LiveReply:
    """The stream, once its first event has come."""
    exchange = await transport.send(outgoing, timeouts)
    try:
        if exchange.status >= 300:
            raise refusal(exchange, await exchange.read(), dialect)  # noqa: TRY301 (the handler names and closes, whatever it is)
        content_type = exchange.headers.get("content-type", "")
        if not content_type.startswith("text/event-stream"):
            raise UpstreamBroken(f"a stream was asked for, {content_type[:60] or 'no content type'} came")  # noqa: TRY301
        reply = LiveReply(dialect, exchange, keep_text=keep_text)
        await reply.begin()
    except BaseException as error:
        _ended(exchange, error)
        raise
    return reply


def _ended(exchange: Exchange, error: BaseException) -> None:
    """There is no answer. It may have been charged all the same: the request can be found again in its provider's account by its id."""
    exchange.close()
    if isinstance(error, UpstreamError):
        error.request_id = request_id(exchange.headers)


def request_id(headers: Mapping[str, str]) -> str:
    """The upstream's own name for a request, as its headers tell it; empty where they do not."""
    return next((headers[name] for name in _REQUEST_IDS if name in headers), "")


def _request_id(headers: list[tuple[str, str]]) -> str:
    return request_id({name.lower(): value for name, value in headers})


def refusal(exchange: Exchange, data: bytes, dialect: Dialect) -> UpstreamError:
    """The upstream's error status, with what it said of retrying."""
    if exchange.status < 400:
        return UpstreamUnreachable(f"answered with a redirect ({exchange.status}), which is not followed")
    if exchange.status > 599:
        return UpstreamUnreachable(f"answered with {exchange.status}, which is no HTTP status")
    message = errors.upstream_message(data, dialect)
    return UpstreamRefused(
        message or f"the upstream answered {exchange.status}",
        status=exchange.status,
        body=data[: limits.MAX_ERROR_BODY_BYTES],
        retry_after_s=retry_after_s(exchange.headers),
    )


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, from `retry-after-ms` or `retry-after`; None where neither is a number (an HTTP date is not obeyed)."""
    for name, scale in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers.get(name, "")) * scale
        except ValueError:
            continue
        if 0 <= seconds < 86400:
            return seconds
    return None


def passed_headers(headers: Mapping[str, str]) -> list[tuple[str, str]]:
    """The upstream's own headers that its client may read."""
    return [
        (name, value)
        for name, value in headers.items()
        if name.lower().startswith(_PASSED_HEADERS) and sendable(value)
    ]


def sendable(value: str) -> bool:
    """Whether a header's value may be sent on: aiohttp lets control characters in, uvicorn refuses the whole response for one."""
    return value.isprintable() or not _CONTROL.search(value)
