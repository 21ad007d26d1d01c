"""Several adapters over one base in one llama.cpp: each answers as it would alone, whatever was asked before it."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
from support.embedded import WEIGHTS, EmbeddedThread
from support.random_lora import random_lora
from support.tiny_base import tiny_base

from smallfirst.errors import StateError
from smallfirst.models.llamacpp import EmbeddedServer
from smallfirst.models.llamacpp_child import Settings
from smallfirst.models.weights import find

pytestmark = pytest.mark.embedded

ONE, TWO = "triage@111111111111", "triage@222222222222"
SEA = "You are a helpful assistant who sorts support tickets. " * 8 + "Say something about the sea and ships."
FRUIT = "Something else: which fruits grow in the garden of my neighbour, who is very old? " * 8


class Tuned:
    """A base and two adapters over it. `alone`: what each says of `SEA` to a server that was asked nothing before."""

    def __init__(self, base: Path, folder: Path, strength: float) -> None:
        self.base = base
        self.folder = folder
        self.adapters = {
            name: random_lora(base, folder / f"{seed}.gguf", seed=seed, strength=strength)
            for seed, name in enumerate((ONE, TWO))
        }
        self.alone: dict[str, str] = {}
        for name in (WEIGHTS, ONE, TWO):
            with self.server() as server:
                self.alone[name] = said(server, name)

    def server(self, *, slots: int = 1) -> EmbeddedThread:
        return EmbeddedThread(self.base, self.folder, slots=slots, adapters=self.adapters)


@pytest.fixture(scope="module", params=["tiny", pytest.param("smollm2-135m", marks=pytest.mark.slow)])
def tuned(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Tuned:
    tiny = request.param == "tiny"
    base = tiny_base() if tiny else find(WEIGHTS)
    assert base is not None, f"fetch the weights first: smallfirst models pull {WEIGHTS}"
    return Tuned(base, tmp_path_factory.mktemp("tuned"), 0.3 if tiny else 0.05)


def said(server: EmbeddedThread, model: str, text: str = SEA, max_tokens: int = 16) -> str:
    with openai.OpenAI(base_url=server.base_url, api_key=server.server.key, max_retries=0) as client:
        answer = client.chat.completions.create(
            model=model,
            messages=[{"role": "user", "content": text}],
            max_tokens=max_tokens,
            temperature=0,
        )
    assert answer.model == model
    return str(answer.choices[0].message.content)


def test_the_base_is_as_it_is_without_adapters(tuned: Tuned) -> None:
    with EmbeddedThread(tuned.base, tuned.folder, slots=1) as bare:
        assert said(bare, WEIGHTS) == tuned.alone[WEIGHTS]
    assert len(set(tuned.alone.values())) == 3


def test_nothing_of_one_is_left_when_another_is_asked(tuned: Tuned) -> None:
    with tuned.server() as server:
        for name in (WEIGHTS, ONE, WEIGHTS, TWO, TWO, ONE, TWO, WEIGHTS, ONE):
            assert said(server, name) == tuned.alone[name]


def test_what_one_has_read_is_not_taken_from_the_cache_by_another(tuned: Tuned) -> None:
    """llama.cpp's cache of idle prompts goes by their tokens alone: with it, the last answer is of neither (its issue 26207)."""
    with tuned.server() as server:
        said(server, ONE)
        said(server, TWO, FRUIT, max_tokens=2)
        assert said(server, TWO) == tuned.alone[TWO]


def test_they_are_asked_at_the_same_time(tuned: Tuned) -> None:
    with tuned.server(slots=2) as server, ThreadPoolExecutor(3) as pool:
        for _ in range(2):
            names = (WEIGHTS, ONE, TWO)
            assert list(pool.map(lambda name: said(server, name), names)) == [
                tuned.alone[name] for name in names
            ]


async def test_who_stops_waiting_for_a_server_to_finish_leaves_no_process(tmp_path: Path) -> None:
    settings = Settings(weights=str(tiny_base()), name="m", context_tokens=256)
    server = EmbeddedServer(settings, tmp_path / "server.log", on_ready=lambda _: None, on_gone=lambda: None)
    server.start()
    await server.ready()
    pid = server.pid
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):  # it looks for a second whether anybody still asks
            await server.finish(60)
    assert not Path(f"/proc/{pid}").exists()


def test_an_adapter_for_another_shape_does_not_start(tuned: Tuned, tmp_path: Path) -> None:
    other = tiny_base() if tuned.base != tiny_base() else find(WEIGHTS)
    assert other is not None
    wrong = random_lora(other, tmp_path / "wrong.gguf", seed=1)
    thread = EmbeddedThread(tuned.base, tmp_path, adapters={ONE: wrong})
    try:
        with pytest.raises(StateError, match=r"(?s)cannot load .*, or .*wrong\.gguf over it"):
            thread.begin().ready()
    finally:
        thread.stop()
