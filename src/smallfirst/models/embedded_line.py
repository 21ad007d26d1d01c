"""One embedded server, and the one that takes its place when what it serves changes: nobody's call is lost between the two."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from pathlib import Path

from yarl import URL

from smallfirst import limits
from smallfirst.errors import StateError
from smallfirst.models.embedded_plan import Wanted
from smallfirst.models.endpoints import Endpoint
from smallfirst.models.llamacpp import EmbeddedServer

Make = Callable[[Wanted, Callable[[str], None], Callable[[], None]], EmbeddedServer]
"""Makes a server, told what it is to call when it answers and when it no longer does."""


def maker(logs: Path, key: str) -> Make:
    """Servers that are opened by `key` and log into `logs`."""

    def make(wanted: Wanted, on_ready: Callable[[str], None], on_gone: Callable[[], None]) -> EmbeddedServer:
        log = logs / f"{wanted.log.replace('/', '_')}.log"
        return EmbeddedServer(wanted.settings, log, on_ready=on_ready, on_gone=on_gone, key=key)

    return make


class Line:
    """The server of one base, or of one merged adapter. `endpoints` lead to it, and follow where it goes."""

    def __init__(self, wanted: Wanted, endpoints: Iterable[Endpoint], make: Make) -> None:
        self.wanted = wanted
        self._endpoints = list(endpoints)
        self._make = make
        self._server = self._next(wanted)
        self._leaving: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begins to start it, in the background."""
        self._server.start()

    async def started(self) -> None:
        """Returns when it is ready. Raises `StateError` with the end of its log where it does not start."""
        await self._server.ready()

    def lead(self, endpoints: Iterable[Endpoint]) -> None:
        """These endpoints lead to it from now on; those that no longer do are left as they are."""
        before, self._endpoints = self._endpoints, list(endpoints)
        fresh = [endpoint for endpoint in self._endpoints if endpoint not in before]
        if self._server.base_url is not None:
            _move(fresh, self._server.base_url)
        else:
            _close(fresh)

    async def change(self, wanted: Wanted) -> None:
        """Starts another server beside this one, moves the endpoints to it once it answers, and lets this one finish what was asked of it.

        Raises `StateError` where the other does not start: this one then stays.
        """
        if self._leaving is not None:
            await self._leaving  # two at a time, never three
        fresh = self._next(wanted)
        fresh.start()
        try:
            url = await fresh.ready()
        except BaseException:
            await fresh.stop()
            raise
        if fresh.base_url is None:  # it died meanwhile
            await fresh.stop()
            raise StateError(fresh.error)
        old, self._server, self.wanted = self._server, fresh, wanted
        _move(self._endpoints, url)
        self._leaving = asyncio.create_task(old.finish(limits.EMBEDDED_FINISH_S), name="embedded finishing")

    async def finish(self) -> None:
        """Ends it when what was asked of it is answered, in the bounds of `EMBEDDED_FINISH_S`; its endpoints lead nowhere from now on."""
        _close(self._endpoints)
        self._endpoints = []
        before = [self._leaving] if self._leaving is not None else []
        await asyncio.gather(self._server.finish(limits.EMBEDDED_FINISH_S), *before)

    async def stop(self) -> None:
        """Ends it, and what it is generating."""
        if self._leaving is not None:
            self._leaving.cancel()
            await asyncio.gather(self._leaving, return_exceptions=True)
        await self._server.stop()

    def _next(self, wanted: Wanted) -> EmbeddedServer:
        def on_ready(url: str) -> None:
            if self._server is server:
                _move(self._endpoints, url)

        def on_gone() -> None:
            if self._server is server:
                _close(self._endpoints)

        server = self._make(wanted, on_ready, on_gone)
        return server


def _move(endpoints: Iterable[Endpoint], url: str) -> None:
    for endpoint in endpoints:
        endpoint.move(URL(url))
        endpoint.ready = True


def _close(endpoints: Iterable[Endpoint]) -> None:
    for endpoint in endpoints:
        endpoint.ready = False
