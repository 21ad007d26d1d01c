"""An embedder that makes no vector twice for one call: whoever asks second has what was made for the first."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from functools import lru_cache

import numpy as np

from smallfirst.classify.embedder import Embedder

_made: ContextVar[dict[tuple[str, str], np.ndarray] | None] = ContextVar("made", default=None)


@contextlib.contextmanager
def one_call() -> Iterator[None]:
    """What is embedded in here, also in threads that are begun here with its context, is one call's."""
    token = _made.set({})
    try:
        yield
    finally:
        _made.reset(token)


class Once:
    """Implements `Embedder`. Outside of `one_call` it remembers nothing."""

    def __init__(self, embedder: Embedder) -> None:
        self.name = embedder.name
        self.sha256 = embedder.sha256
        self.dimensions = embedder.dimensions
        self.slow = embedder.slow
        self._embedder = embedder

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        made = _made.get()
        if made is None:
            return self._embedder.embed(texts)
        missing = [text for text in dict.fromkeys(texts) if (self.sha256, text) not in made]
        if missing:
            for text, vector in zip(missing, self._embedder.embed(missing), strict=True):
                made[self.sha256, text] = vector
        rows = [made[self.sha256, text] for text in texts]
        return np.stack(rows) if rows else np.zeros((0, self.dimensions), np.float32)


@lru_cache(maxsize=16)
def once(embedder: Embedder) -> Once:
    """The one such embedder over this one, so that those who share it share its vectors."""
    return Once(embedder)
