"""uvicorn's HTTP with bounds on a request that is still coming: its head's size, and the time until all of it is there.

httptools bounds neither, and until the head has come nobody has shown a key.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from smallfirst import limits


class BoundedHttp(HttpToolsProtocol):
    """Closes a connection whose request is too slow or its head too long; a request that comes in one piece pays for nothing."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = self._coming = True  # a connection is opened to ask something
        self._head_bytes = 0
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_timer()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._coming and not self.transport.is_closing():
            self._wait_for_more(len(data))

    def on_message_begin(self) -> None:
        self._in_head = self._coming = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._in_head = False
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._coming = False
        self._stop_timer()
        super().on_message_complete()

    def _wait_for_more(self, size: int) -> None:
        if self._in_head:
            self._head_bytes += size
            if self._head_bytes > limits.MAX_HEAD_BYTES:
                self.send_400_response(f"The request's head has more than {limits.MAX_HEAD_BYTES} bytes.")
                return
        if self._timer is None:
            self._start_timer()

    def _start_timer(self) -> None:
        self._timer = self.loop.call_later(limits.REQUEST_TIMEOUT_S, self._too_late)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _too_late(self) -> None:
        self._timer = None
        if self.pipeline:  # the request waits for its turn, not for its client
            self._start_timer()
        else:
            self.transport.close()
