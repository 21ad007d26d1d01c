"""Small blocking HTTP for readiness and counters; the load itself is wrk's."""

import http.client
import socket
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlsplit


class Answer(NamedTuple):
    """A status and the whole body."""

    status: int
    body: bytes


def get(url: str, *, timeout_s: float = 5) -> Answer:
    """GET, on a connection of its own; OSError or HTTPException when there is no answer."""
    return _send("GET", url, None, {}, timeout_s)


def post(url: str, body: str, headers: Mapping[str, str], *, timeout_s: float = 60) -> Answer:
    """POST, on a connection of its own; OSError or HTTPException when there is no answer."""
    return _send("POST", url, body.encode(), headers, timeout_s)


def free_port() -> int:
    """A port of the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _send(method: str, url: str, body: bytes | None, headers: Mapping[str, str], timeout_s: float) -> Answer:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=timeout_s)
    try:
        connection.request(method, parts.path, body, dict(headers))
        response = connection.getresponse()
        return Answer(response.status, response.read())
    finally:
        connection.close()
