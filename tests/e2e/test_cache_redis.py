"""Gateways that share a Redis: what one was told, the other gives again; and what is left when it is gone."""

from __future__ import annotations

import time
from pathlib import Path

from support.cached import CACHED_ENVIRON, CACHED_TASKS, Asker, fresh
from support.gateway import CONFIG, GatewayProcess
from support.redis_server import RedisServer
from support.simulator import SimulatorProcess

_SHARED = '\n[cache]\nurl = "env:CACHE_URL"\n'


def until_it_hits(asker: Asker, question: str) -> str | None:
    """The answer, once it comes from the cache: the gateway connects to Redis off the path of calls."""
    for _ in range(500):
        told = asker.ask("ask", question)
        if told.cache == "hit":
            return told.text
        time.sleep(0.02)
    raise AssertionError("it never came from the cache")


def test_gateways_share_answers_and_outlive_their_redis(upstream: SimulatorProcess, tmp_path: Path) -> None:
    config = CONFIG.format(sim=upstream.base_url) + CACHED_TASKS + _SHARED
    with RedisServer() as server:
        environ = CACHED_ENVIRON | {"CACHE_URL": server.url}
        folders = [tmp_path / "one", tmp_path / "two"]
        for folder in folders:
            folder.mkdir()
        one, two = (GatewayProcess(folder, config, environ=environ) for folder in folders)
        with one, two:
            for gateway in (one, two):
                until_it_hits(Asker(gateway, upstream), fresh())
            question = fresh()
            said = until_it_hits(Asker(one, upstream), question)
            shared = Asker(two, upstream).ask("ask", question)
            assert (shared.cache, shared.text) == ("hit", said)
            assert one.cli("cache", "purge", "--task", "ask")
            assert Asker(two, upstream).ask("ask", question).cache == "miss"
            server.stop()
            for gateway in (one, two):
                assert Asker(gateway, upstream).ask("ask", question).text
            server.start()
        for gateway in (one, two):
            assert str(server.socket) not in gateway.log_text()
