"""Questions as vectors: nothing waits for what is slow, and what was not read to its end has no vector."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
import pytest
from support.semantic import Written

from smallfirst import limits
from smallfirst.cache.semantic.embedding import Embedding
from smallfirst.classify.embedder import Embedder
from smallfirst.errors import ConfigError, UpstreamUnreachable


class Slow(Written):
    """Waits until it may answer."""

    slow = True

    def __init__(self) -> None:
        super().__init__({"a": [1, 0], "nothing": [1, 0], "broken": [1, np.nan]})
        self.may = threading.Event()
        self.fails = False

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        self.may.wait(20)
        if self.fails:
            raise UpstreamUnreachable("gone")
        return np.zeros((1, 2), np.float32) if texts == ["nothing"] else super().embed(texts)

    def reads(self, text: str) -> bool:
        return len(text) < 10


async def loaded(made: Embedding, name: str) -> Embedder:
    while (found := made.get(name)) is None:
        await asyncio.sleep(0.001)
    return found


async def test_an_embedder_is_loaded_off_the_path_and_once() -> None:
    opened: list[str] = []

    def open_(name: str) -> Embedder:
        opened.append(name)
        return Written({"a": [1, 0]})

    made = Embedding(open_)
    assert await made.of("wordllama", "a") is None  # the first call does not wait
    await loaded(made, "wordllama")
    vector = await made.of("wordllama", "a")
    assert vector is not None
    assert vector.tolist() == [1, 0]
    assert opened == ["wordllama"]
    made.close()


async def test_one_that_cannot_be_loaded_is_not_tried_with_each_call() -> None:
    opened: list[str] = []

    def open_(name: str) -> Embedder:
        opened.append(name)
        raise ConfigError("not installed")

    made = Embedding(open_)
    for _ in range(20):
        assert await made.of("minilm", "a") is None
        await asyncio.sleep(0.001)
    assert opened == ["minilm"]
    made.close()


async def test_a_slow_embedder_holds_up_no_call_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    slow = Slow()
    made = Embedding(lambda _name: slow)
    await loaded(made, "slow")
    monkeypatch.setattr(limits, "CACHE_EMBEDDING_TIMEOUT_S", 0.01)
    assert await made.of("slow", "a") is None
    monkeypatch.setattr(limits, "CACHE_EMBEDDING_TIMEOUT_S", 20)
    slow.may.set()
    assert await made.of("slow", "a") is not None
    assert await made.of("slow", "longer than it reads") is None
    assert await made.of("slow", "nothing") is None  # no word of it is known
    assert await made.of("slow", "broken") is None
    slow.fails = True
    assert await made.of("slow", "a") is None
    made.close()
