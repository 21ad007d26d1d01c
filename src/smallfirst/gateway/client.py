"""The client's side of one HTTP exchange, on bare ASGI: headers read once, a bounded body, and a watch that notices when the client leaves."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.types import Message, Receive, Scope, Send

from smallfirst import limits
from smallfirst.errors import BadRequest, BodyTooLarge, Stopped

_MAX_JSON_BODY_SECONDS = 60.0


class ClientGone(Exception):
    """The client closed its connection before the answer was complete."""


class Client:
    """One request and the way back to its sender."""

    __slots__ = (
        "_receive",
        "_send",
        "_task",
        "_timer",
        "_watcher",
        "cut_by",
        "gone",
        "headers",
        "scope",
        "started",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started = False
        self.gone = False
        self.cut_by: Stopped | None = None  # the operator's stop that ended it
        self._timer: asyncio.TimerHandle | None = None
        self._watcher: asyncio.Task[None] | None = None
        self._task: asyncio.Task[Any] | None = None

    def header(self, name: bytes) -> str:
        """A header's text, cut to what may be stored; empty if absent."""
        value = self.headers.get(name)
        return value.decode("latin-1")[: limits.MAX_HEADER_VALUE_CHARS] if value else ""

    async def body(self, most_bytes: int) -> bytes:
        """The whole body. Raises `BodyTooLarge` as soon as it is, `BadRequest` where it does not come, `ClientGone`."""
        length = self.headers.get(b"content-length")
        if length is not None and (not length.isdigit() or int(length) > most_bytes):
            raise BodyTooLarge(f"the body may have {most_bytes} bytes; server.max_body_bytes moves the bound")
        message = await self._receive()
        if message["type"] == "http.request" and not message.get("more_body"):
            return self._bounded(message.get("body", b""), most_bytes)
        return await self._long_body(message, most_bytes)

    async def _long_body(self, message: Message, most_bytes: int) -> bytes:
        parts, size = [], 0
        try:
            async with asyncio.timeout(_MAX_JSON_BODY_SECONDS):
                while True:
                    if message["type"] == "http.disconnect":
                        raise ClientGone
                    part = message.get("body", b"")
                    size += len(part)
                    if size > most_bytes:
                        raise BodyTooLarge(
                            f"the body may have {most_bytes} bytes; server.max_body_bytes moves the bound"
                        )
                    parts.append(part)
                    if not message.get("more_body"):
                        return b"".join(parts)
                    message = await self._receive()
        except TimeoutError:
            raise BadRequest(f"the body did not come within {_MAX_JSON_BODY_SECONDS:g} s") from None

    @staticmethod
    def _bounded(body: bytes, most_bytes: int) -> bytes:
        if len(body) > most_bytes:
            raise BodyTooLarge(f"the body may have {most_bytes} bytes; server.max_body_bytes moves the bound")
        return body

    # The watch: a call that is answered at once never pays for it.

    def begin(self) -> None:
        """This task is the one that answers."""
        self._task = asyncio.current_task()

    def cut(self, why: Stopped) -> None:
        """Ends it now, as a client does who leaves, but that the client is told."""
        if self._task is not None and self.cut_by is None:
            self.cut_by = why
            self._task.cancel()

    def watch(self) -> None:
        """From soon on, cancels the task when the client leaves."""
        self._timer = asyncio.get_running_loop().call_later(
            limits.DISCONNECT_WATCH_AFTER_S, self._start_watching
        )

    def unwatch(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._watcher is not None:
            self._watcher.cancel()

    def _start_watching(self) -> None:
        self._watcher = asyncio.get_running_loop().create_task(self._wait_until_gone())

    async def _wait_until_gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone = True
        assert self._task is not None
        self._task.cancel()

    def uncancel(self) -> None:
        """The cancellation was taken note of: the task goes on to record it."""
        task = asyncio.current_task()
        assert task is not None
        while task.cancelling():
            task.uncancel()

    # The way back.

    async def answer(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        """A whole response."""
        headers.append((b"content-length", str(len(body)).encode()))
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    async def start_stream(self, headers: list[tuple[bytes, bytes]], status: int = 200) -> None:
        self.started = True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def send(self, data: bytes) -> None:
        await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def end_stream(self, data: bytes = b"") -> None:
        await self._send({"type": "http.response.body", "body": data})
