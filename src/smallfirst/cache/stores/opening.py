"""The store that a configuration asks for, opened; and what commands need of it in one call."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

from smallfirst.cache.stores.database import FILE
from smallfirst.cache.stores.sqlite_store import SqliteStore
from smallfirst.cache.stores.store import CacheStore, Which
from smallfirst.config.schema import Config
from smallfirst.config.secrets import secret


def open_store(config: Config, state: Path, environ: Mapping[str, str], *, owner: bool = True) -> CacheStore:
    """The cache of a state directory: in Redis where the configuration names one, else in `cache.sqlite`.

    `owner`: the gateway, whose cache costs hits and never calls, whatever happens to it, and which begins a damaged file anew. Commands are none:
    for them a file that cannot be used is a `StateError`. Raises `ConfigError` where Redis's address is none, or its package is not installed.
    """
    rule = config.cache
    if rule.url is None:
        return SqliteStore(state, rule, owner=owner)
    from smallfirst.cache.stores.redis_store import RedisStore

    return RedisStore(secret(rule.url, environ, path="cache.url"), rule, state=state, owner=owner)


def exists(config: Config, state: Path) -> bool:
    """Whether there is a cache to look into: commands make none for having looked."""
    return config.cache.url is not None or (state / FILE).exists()


def forget(config: Config, state: Path, environ: Mapping[str, str], which: Which) -> int:
    """Removes cached answers, also under a running gateway; returns how many there were. For commands that are no coroutines.

    Raises `StateError` where the store cannot be used, and `ConfigError` as `open_store` does.
    """
    if not exists(config, state):
        return 0

    async def evict() -> int:
        store = open_store(config, state, environ, owner=False)
        try:
            return await store.evict(which)
        finally:
            await store.close()

    return asyncio.run(evict())
