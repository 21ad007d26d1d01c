"""The embedded model's server on a thread of its own, for tests that are not asynchronous."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from smallfirst.models.llamacpp import EmbeddedServer
from smallfirst.models.llamacpp_child import Settings

WEIGHTS = "smollm2-135m"


class EmbeddedThread:
    """An `EmbeddedServer` and the event loop that watches it. `events` are the base URLs of `on_ready`, None
    for `on_gone`.
    """

    def __init__(
        self,
        weights: Path,
        folder: Path,
        *,
        context_tokens: int = 2048,
        slots: int = 2,
        adapters: Mapping[str, Path] = {},
    ) -> None:
        settings = Settings(
            weights=str(weights),
            name=WEIGHTS,
            context_tokens=context_tokens,
            slots=slots,
            adapters=tuple((name, str(path)) for name, path in adapters.items()),
        )
        self.log = folder / "logs" / "embedded.log"
        self.events: list[str | None] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self.server = EmbeddedServer(
            settings, self.log, on_ready=self.events.append, on_gone=lambda: self.events.append(None)
        )

    @property
    def base_url(self) -> str:
        assert self.server.base_url is not None, self.server.error
        return self.server.base_url

    @property
    def pid(self) -> int:
        assert self.server.pid is not None, self.server.error
        return self.server.pid

    def begin(self) -> Self:
        """Starts it without waiting."""
        self._thread.start()
        self._loop.call_soon_threadsafe(self.server.start)
        self.wait_for(lambda: self.server.state != "stopped")
        return self

    def ready(self) -> str:
        return self._run(self.server.ready())

    def wait_for(self, condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"{self.server.state}: {self.server.error}"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._thread.is_alive():
            self._run(self.server.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        try:
            self.begin().ready()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, task: Coroutine[Any, Any, Any]) -> Any:
        done: Future[Any] = asyncio.run_coroutine_threadsafe(task, self._loop)
        return done.result(60)
