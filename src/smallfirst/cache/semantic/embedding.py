"""Questions as vectors: embedders are loaded in a thread, and slow ones are asked there, for no longer than a call may wait."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from smallfirst import limits
from smallfirst.classify.embedder import Embedder
from smallfirst.errors import ConfigError, UpstreamError

_log = logging.getLogger(__name__)
_AGAIN_AFTER_S = 60.0  # one that could not be loaded
_WAITING = 32  # texts for slow embedders; more are not embedded
Open = Callable[[str], Embedder]
"""An embedder by its name; raises `ConfigError`. May take seconds."""


class Embedding:
    """The embedders of the tasks' cache rules, by name. All methods are called on one event loop."""

    def __init__(self, open_: Open) -> None:
        self._open = open_
        self._loaded: dict[str, Embedder] = {}
        self._loading: set[str] = set()
        self._failed_s: dict[str, float] = {}
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cache-embedding")
        self._waiting = 0

    def get(self, name: str) -> Embedder | None:
        """The embedder, if it is loaded; else it is loaded from now on."""
        found = self._loaded.get(name)
        if found is None and name not in self._loading:
            failed_s = self._failed_s.get(name)
            if failed_s is None or time.monotonic() - failed_s >= _AGAIN_AFTER_S:
                self._loading.add(name)
                asyncio.get_running_loop().run_in_executor(self._thread, self._load, name).add_done_callback(
                    lambda _: self._loading.discard(name)
                )
        return found

    async def of(self, name: str, text: str) -> np.ndarray | None:
        """The text's vector, float32, length 1. None: there is none in time, the embedder does not read all of it, or knows no word of it."""
        embedder = self.get(name)
        if embedder is None:
            return None
        if embedder.slow:
            vector = await self._in_thread(embedder, text)
        else:
            vector = _vector(embedder, text)
        return vector

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _in_thread(self, embedder: Embedder, text: str) -> np.ndarray | None:
        if self._waiting >= _WAITING:
            return None
        self._waiting += 1
        work = asyncio.get_running_loop().run_in_executor(self._thread, _vector, embedder, text)
        work.add_done_callback(self._done)
        done, _ = await asyncio.wait([work], timeout=limits.CACHE_EMBEDDING_TIMEOUT_S)
        return work.result() if done and not work.cancelled() else None

    def _done(self, work: asyncio.Future[np.ndarray | None]) -> None:
        self._waiting -= 1
        if not work.cancelled():
            work.exception()  # asked for, so that nobody is told of it twice

    def _load(self, name: str) -> None:
        try:
            self._loaded[name] = self._open(name)
            self._failed_s.pop(name, None)
        except (ConfigError, OSError) as error:
            self._failed_s[name] = time.monotonic()
            _log.warning("no semantic hits: the embedder %s cannot be loaded: %s", name, error)


def _vector(embedder: Embedder, text: str) -> np.ndarray | None:
    reads = getattr(embedder, "reads", None)
    if reads is not None and not reads(text):  # what it cuts off could make all the difference
        return None
    try:
        vector = embedder.embed([text])[0]
    except UpstreamError as error:
        _log.warning("a question was not embedded: %s", error)
        return None
    return vector if np.isfinite(vector).all() and vector.any() else None
