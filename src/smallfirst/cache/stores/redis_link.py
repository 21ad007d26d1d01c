"""The way to a Redis or Valkey: a look-up waits for milliseconds, and not at all while the server is gone.

The link is open or it is down. It is down until all of its connections are made, and from a few failures in a row on; then it is tried again every
few seconds, off everybody's path. Meanwhile look-ups find nothing at once. A look-up that is cut off costs its connection, never another's answer.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from smallfirst import limits
from smallfirst.config.secrets import Secret
from smallfirst.errors import ConfigError, StateError

if TYPE_CHECKING:
    from redis.asyncio import Redis

_SCHEMES = re.compile(r"(redis|valkey)(s?)://|unix://")
_CODE = re.compile(r"[A-Z]{2,}")
_CONNECTIONS = 8
_SAID_EVERY_S = 60.0
_log = logging.getLogger(__name__)

T = TypeVar("T")


class RedisLink:
    """One pool of connections. Raises `ConfigError` where the address is none, or the package is not installed. Its address is never shown."""

    def __init__(self, url: Secret) -> None:
        self._client = _client(url)
        self._url = url
        self._up = False
        self._failures = 0
        self._tried_s = -limits.CACHE_REDIS_OPEN_S
        self._said_s = -_SAID_EVERY_S
        self._trying: asyncio.Task[None] | None = None
        self.failed = 0  # commands that failed, or were not sent because the link was down

    async def quick(self, command: Callable[[Any], Awaitable[T]]) -> T | None:
        """What the command says within `limits.CACHE_REDIS_TIMEOUT_S`, else None."""
        from redis.exceptions import RedisError

        if not self._up:
            self.failed += 1
            self._try_again()
            return None
        try:
            async with asyncio.timeout(limits.CACHE_REDIS_TIMEOUT_S):
                found = await command(self._client)
        except (RedisError, OSError) as error:  # TimeoutError is an OSError
            self._broke(error)
            return None
        self._failures = 0
        return found

    async def work(self, command: Callable[[Any], Awaitable[T]]) -> T:
        """The same for what no call waits for. Raises `StateError`."""
        from redis.exceptions import RedisError

        try:
            return await command(self._client)
        except (RedisError, OSError) as error:
            self._broke(error)
            raise StateError(f"the cache's Redis ({self._url}) {_said(error)}") from error

    async def close(self) -> None:
        if self._trying is not None:
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)
        await self._client.aclose()

    def _broke(self, error: Exception) -> None:
        from redis.exceptions import ResponseError

        self.failed += 1
        if isinstance(
            error, ResponseError
        ):  # it is there, and has no room, say: what it holds is still worth asking for
            self._say(error)
            return
        self._failures += 1
        if self._up and self._failures >= limits.CACHE_REDIS_FAILURES:
            self._up = False
            _log.warning("the cache's Redis (%s) %s: calls go on without it", self._url, _said(error))
        if not self._up:
            self._try_again()

    def _say(self, error: Exception) -> None:
        now_s = time.monotonic()
        if now_s - self._said_s >= _SAID_EVERY_S:
            self._said_s = now_s
            _log.warning("the cache's Redis (%s) %s", self._url, _said(error))

    def _try_again(self) -> None:
        now_s = time.monotonic()
        if self._trying is None and now_s - self._tried_s >= limits.CACHE_REDIS_OPEN_S:
            self._tried_s = now_s
            self._trying = asyncio.create_task(self._connect())

    async def _connect(self) -> None:
        """Makes all connections: a look-up has no time for it."""
        from redis.exceptions import RedisError

        try:
            await asyncio.gather(*(self._client.ping() for _ in range(_CONNECTIONS)))
        except (RedisError, OSError) as error:
            if self._failures < limits.CACHE_REDIS_FAILURES:
                _log.warning("the cache's Redis (%s) %s: calls go on without it", self._url, _said(error))
            self._failures = limits.CACHE_REDIS_FAILURES
        else:
            if self._failures:
                _log.warning("the cache's Redis (%s) answers again", self._url)
            self._up, self._failures = True, 0
        finally:
            self._trying = None


def _client(url: Secret) -> Redis:
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
    except ImportError:
        raise ConfigError("it needs a package: pip install 'smallfirst[redis]'", path="cache.url") from None
    address = url.reveal()
    if not _SCHEMES.match(address):
        raise ConfigError(
            f"{url} is no address of a Redis: expected redis://…, rediss://…, valkey://…, valkeys://… or unix://…",
            path="cache.url",
        )
    try:
        pool = BlockingConnectionPool.from_url(
            re.sub(r"\Avalkey", "redis", address),
            max_connections=_CONNECTIONS,
            timeout=limits.CACHE_REDIS_WORK_TIMEOUT_S,
            socket_timeout=limits.CACHE_REDIS_WORK_TIMEOUT_S,
            socket_connect_timeout=limits.CACHE_REDIS_WORK_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )
    except ValueError:  # its message shows the address
        raise ConfigError(
            f"{url} is no address of a Redis: its port or its number is none", path="cache.url"
        ) from None
    return Redis.from_pool(pool)


def _said(error: Exception) -> str:
    """What went wrong, without the server's address, and without what was sent: redis's messages hold both."""
    from redis.exceptions import OutOfMemoryError, ResponseError

    if isinstance(error, OutOfMemoryError):
        return "has no room: raise its maxmemory, or let it drop keys (maxmemory-policy)"
    if isinstance(error, ResponseError):
        code = _CODE.match(str(error).rpartition("caused error: ")[2])
        return f"refused: {code[0] if code else type(error).__name__}"
    late = isinstance(error, TimeoutError) or "Timeout" in type(error).__name__
    return "did not answer in time" if late else "cannot be reached"
