"""An upstream that streams like a model: one event, a short wait, the next.

A stream served from a file arrives in two or three reads, and a relay that wakes three times looks cheaper
than it is. Here each event is a write of its own, so the relay pays for every chunk as it does in production.
"""

import argparse
import asyncio
from typing import cast

import uvloop

from benchmarks.ticket import stream_events

_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class PacedStream(asyncio.Protocol):
    """One connection: POST streams the events, GET /count answers how many POSTs there were in all."""

    posts = 0
    pieces: tuple[bytes, ...] = ()
    pause_s = 0.002

    def __init__(self) -> None:
        self._received = b""
        self._next: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop streaming to a client that has gone."""
        if self._next:
            self._next.cancel()

    def data_received(self, data: bytes) -> None:
        """Answer once a whole request is there; clients here do not pipeline."""
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if end and _complete(head.lower(), body):
            self._received = b""
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        if head.startswith(b"POST"):
            PacedStream.posts += 1
            self._write(0)
        else:
            text = str(self.posts).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))

    def _write(self, index: int) -> None:
        self._transport.write(self.pieces[index])
        if index + 1 < len(self.pieces):
            self._next = asyncio.get_running_loop().call_later(self.pause_s, self._write, index + 1)


def _complete(head: bytes, body: bytes) -> bool:
    if b"transfer-encoding: chunked" in head:
        return body.endswith(b"0\r\n\r\n")
    _, found, rest = head.partition(b"content-length:")
    return len(body) >= (int(rest.split(b"\r\n")[0]) if found else 0)


def _framed(event: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(event), event)


async def _serve(port: int) -> None:
    framed = [_framed(event) for event in stream_events()]
    PacedStream.pieces = (_HEAD + framed[0], *framed[1:-1], framed[-1] + b"0\r\n\r\n")
    server = await asyncio.get_running_loop().create_server(PacedStream, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    uvloop.run(_serve(parser.parse_args().port))
