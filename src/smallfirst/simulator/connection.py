"""The client's side of one request: what it sent, what it is sent, and whether it is still there."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Mapping, MutableMapping
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from .api_error import ApiError

_TRANSPORT = "simulator.transport"
_CLOSE_TIMEOUT_S = 2.0


class ClientGoneError(Exception):
    """The client closed its connection before the answer was over."""


class CuttableProtocol(HttpToolsProtocol):
    """Uvicorn's HTTP protocol, with its transport in the scope so that an answer can be cut off."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        scope: MutableMapping[str, Any] = self.scope  # type: ignore[assignment]
        scope[_TRANSPORT] = self.transport


class Connection:
    """Reads one request and writes one answer; every pause ends at once when the client goes."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.gone = asyncio.Event()
        self.stopped = False  # by this server's own shutdown
        self._receive = receive
        self._send = send
        self._watcher: asyncio.Task[None] | None = None

    async def body(self, bytes_max: int) -> bytes:
        """The whole request body; 413 beyond ``bytes_max``."""
        parts: list[bytes] = []
        size, more = 0, True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientGoneError
            part = message.get("body", b"")
            size += len(part)
            if size > bytes_max:
                raise ApiError(413, f"Request body over {bytes_max} bytes.")
            parts.append(part)
            more = message.get("more_body", False)
        return b"".join(parts)

    async def pause(self, seconds: float | None) -> None:
        """Wait ``seconds`` (``None``: for ever); ``ClientGoneError`` as soon as the client has left."""
        if seconds is not None and seconds <= 0:
            if self._watcher:
                await asyncio.sleep(0)
        else:
            self._watch()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.gone.wait()
        if self.gone.is_set():
            raise ClientGoneError

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Send the status line and headers."""
        raw = [
            (name.encode("latin-1"), value.encode("latin-1", "replace")) for name, value in headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes, *, split_bytes: int = 0) -> None:
        """Send part of the body, in writes of ``split_bytes`` if that is not 0."""
        self._watch()
        step = split_bytes or len(data) or 1
        for start in range(0, len(data), step):
            await self._send(
                {"type": "http.response.body", "body": data[start : start + step], "more_body": True}
            )
            if split_bytes:
                await asyncio.sleep(0)

    async def end(self, data: bytes = b"") -> None:
        """Send the rest of the body and end the answer."""
        await self._send({"type": "http.response.body", "body": data, "more_body": False})

    async def cut(self, *, reset: bool) -> None:
        """Close the socket with the answer unfinished: after what was written, or at once with RST."""
        self._watch()
        transport = self.scope[_TRANSPORT]
        if reset and not transport.is_closing():  # a client that has left has no socket any more
            linger = struct.pack("ii", 1, 0)
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        transport.close()
        try:
            async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                await self.gone.wait()
        except TimeoutError:
            transport.abort()

    def abort(self) -> None:
        """Drop the client because the server stops."""
        self.stopped = True
        self.gone.set()
        self.scope[_TRANSPORT].abort()

    def close(self) -> None:
        """Stop watching the client."""
        if self._watcher:
            self._watcher.cancel()

    def _watch(self) -> None:
        if self._watcher is None:
            self._watcher = asyncio.get_running_loop().create_task(self._wait_for_disconnect())

    async def _wait_for_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self.gone.set()
