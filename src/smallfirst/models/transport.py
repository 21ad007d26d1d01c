"""HTTP towards upstreams: one small Protocol, so that the client library can be replaced, and aiohttp behind it.

Cancelling the task that reads an exchange closes its connection at once: the upstream stops generating.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from typing import Protocol

import aiohttp
import msgspec
from yarl import URL

from smallfirst import limits
from smallfirst.config.schema import Timeouts
from smallfirst.errors import UpstreamBroken, UpstreamTimeout, UpstreamUnreachable

# Anything that makes a connection impossible or ends it before an answer: asked again elsewhere, nothing was generated.
_UNREACHABLE = (aiohttp.ClientConnectorError, aiohttp.ServerDisconnectedError, ConnectionError, ssl.SSLError)


class Exchange(Protocol):
    """One request whose response's headers have come."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The whole body. Raises `UpstreamBroken` if it is cut or too large, `UpstreamTimeout`."""
        ...

    def chunks(self) -> AsyncIterator[bytes]:
        """The body as it comes. Raises like `read`."""
        ...

    def close(self) -> None:
        """Ends it now; the connection is not used again unless the body was read to its end."""
        ...


class Transport(Protocol):
    """Sends requests."""

    async def send(self, request: Outgoing, timeouts: Timeouts) -> Exchange:
        """Returns when the headers have come. Raises `UpstreamUnreachable`, `UpstreamTimeout`."""
        ...

    async def close(self) -> None: ...


class Outgoing(msgspec.Struct, frozen=True):
    """A request ready to be sent."""

    url: URL
    headers: Mapping[str, str]
    body: bytes
    method: str = "POST"


class AiohttpTransport:
    """One connection pool for the process."""

    def __init__(self) -> None:
        connector = aiohttp.TCPConnector(
            limit=0,
            limit_per_host=limits.MAX_CONNECTIONS_PER_HOST,
            ttl_dns_cache=60,
            keepalive_timeout=30,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=True,
            read_bufsize=2**18,
            max_line_size=32 * 1024,
            max_field_size=32 * 1024,
        )
        self._waits: dict[tuple[float, float], aiohttp.ClientTimeout] = {}

    async def send(self, request: Outgoing, timeouts: Timeouts) -> Exchange:
        waits = (timeouts.connect_s, timeouts.first_byte_s)
        timeout = self._waits.get(waits)
        if timeout is None:  # `connect`: looking up the name and waiting for the pool count too
            timeout = aiohttp.ClientTimeout(
                total=None,
                connect=2 * timeouts.connect_s,
                sock_connect=timeouts.connect_s,
                sock_read=timeouts.first_byte_s,
            )
            self._waits[waits] = timeout
        started_s = time.monotonic()
        try:
            response = await self._session.request(
                request.method,
                request.url,
                data=request.body or None,
                headers=request.headers,
                timeout=timeout,
                allow_redirects=False,  # a redirect could carry the key to another host
            )
        except aiohttp.ConnectionTimeoutError as error:
            raise UpstreamTimeout(f"no connection within {timeouts.connect_s:g} s") from error
        except TimeoutError as error:
            raise UpstreamTimeout(f"no answer within {timeouts.first_byte_s:g} s") from error
        except _UNREACHABLE as error:
            raise UpstreamUnreachable(f"cannot be reached ({type(error).__name__})") from error
        except (aiohttp.ClientError, ValueError) as error:
            raise UpstreamBroken(f"did not speak HTTP ({type(error).__name__})") from error
        return _AiohttpExchange(response, timeouts, started_s + timeouts.total_s)

    async def close(self) -> None:
        await self._session.close()


class _AiohttpExchange:
    __slots__ = ("_deadline_s", "_response", "_timeouts", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse, timeouts: Timeouts, deadline_s: float) -> None:
        self._response = response
        self._timeouts = timeouts
        self._deadline_s = deadline_s
        connection = response.connection  # None where the whole answer came with its headers
        if connection is not None and connection.protocol is not None:
            connection.protocol.read_timeout = timeouts.between_bytes_s  # from the next bytes on
            if timeouts.between_bytes_s > timeouts.first_byte_s:
                connection.protocol.start_timeout()  # from now on: the timer that runs is the shorter one
        self.status = response.status
        self.headers: Mapping[str, str] = response.headers

    async def read(self) -> bytes:
        length = self._response.content_length
        if length is not None and length > limits.MAX_REPLY_BYTES:
            self.close()
            raise UpstreamBroken(f"the answer has {length} bytes, more than {limits.MAX_REPLY_BYTES}")
        content = self._response.content
        if (
            content.total_bytes == length and content.exception() is None
        ):  # all of it came with the headers, as short answers do
            return await self._response.read()
        parts, size = [], 0
        async for chunk in self.chunks():
            size += len(chunk)
            if size > limits.MAX_REPLY_BYTES:
                self.close()
                raise UpstreamBroken(f"the answer has more than {limits.MAX_REPLY_BYTES} bytes")
            parts.append(chunk)
        return b"".join(parts)

    async def chunks(self) -> AsyncIterator[bytes]:
        content = self._response.content
        try:
            while chunk := await content.readany():
                if time.monotonic() > self._deadline_s:
                    raise TimeoutError  # noqa: TRY301 (one place says which time-out it was)
                yield chunk
        except (TimeoutError, aiohttp.ClientError, ValueError) as error:
            raise self._broken(error) from error
        self._response.release()

    def close(self) -> None:
        self._response.close()

    def _broken(self, error: Exception) -> UpstreamBroken | UpstreamTimeout:
        self.close()
        if isinstance(error, TimeoutError):
            if time.monotonic() >= self._deadline_s:
                return UpstreamTimeout(f"not complete after {self._timeouts.total_s:g} s")
            return UpstreamTimeout(f"nothing came for {self._timeouts.between_bytes_s:g} s")
        return UpstreamBroken(f"the answer was cut ({type(error).__name__})")
