"""The ASGI application: hot routes by a dictionary, the rest by Starlette, other paths of a provider's API verbatim.

A route is closed unless it says otherwise: only `/health` and `/ready` answer without a key. Nothing here reads the Host header but to refuse it.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable
from typing import Any

from starlette.types import Receive, Scope, Send

from smallfirst.errors import BadRequest, CallError, UnknownRoute
from smallfirst.gateway.client import Client
from smallfirst.gateway.draft import new_call_id
from smallfirst.gateway.hand import Desk
from smallfirst.gateway.outcomes import PATH as OUTCOMES
from smallfirst.gateway.outcomes import OutcomesDesk
from smallfirst.gateway.pages import Pages
from smallfirst.gateway.pipeline import answer_call
from smallfirst.gateway.verbatim import relay_call, relay_of
from smallfirst.wire import errors
from smallfirst.wire.incoming import Route

_CALL_ROUTES: dict[tuple[str, str], Route] = {
    ("POST", "/v1/chat/completions"): "chat",
    ("POST", "/v1/messages"): "messages",
    ("POST", "/v1/completions"): "completions",
    ("POST", "/v1/embeddings"): "embeddings",
}
_CALL_PATHS = frozenset(path for _, path in _CALL_ROUTES)
_HOST = re.compile(rb"^(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?)(:\d{1,5})?$")
_LOCAL_HOSTS = frozenset({b"localhost", b"127.0.0.1", b"[::1]", b"::1"})


class Gateway:
    """What uvicorn serves."""

    def __init__(self, desk: Desk, *, ready: Callable[[], bool]) -> None:
        self._desk = desk
        self._pages = Pages(desk, ready=ready)
        self._outcomes = OutcomesDesk(desk)
        self._hosts = _allowed_hosts(desk)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return  # no lifespan, no websockets
        client = Client(scope, receive, send)
        if not self._host_allowed(client.headers.get(b"host")):
            await self._refuse(
                client, BadRequest("this Host header is not served; add the name to server.allowed_hosts")
            )
            return
        route = _CALL_ROUTES.get((scope["method"], scope["path"]))
        if route is not None:
            await answer_call(self._desk, route, client)
            return
        path: str = scope["path"]
        if self._pages.has(path):
            await self._pages(scope, receive, send)
            return
        if path == OUTCOMES:
            await self._outcomes(client)
            return
        relay = relay_of(path, self._desk.running.config.relay)
        if relay is not None:
            await relay_call(self._desk, relay, client)
            return
        await self._refuse(client, _unknown(scope))

    def _host_allowed(self, host: bytes | None) -> bool:
        """A well-formed name that this gateway goes by; any well-formed one where it listens on all addresses and none is named."""
        if host is None or not _HOST.match(host):
            return False
        if self._hosts is None:
            return True
        name = host if host.endswith(b"]") else host.rsplit(b":", 1)[0] if b":" in host else host
        return name.lower() in self._hosts

    async def _refuse(self, client: Client, error: CallError) -> None:
        dialect = "anthropic" if b"anthropic-version" in client.headers else "openai"
        call_id = new_call_id(0)
        self._desk.metrics.refused(error.code)
        status, headers, body = errors.render(error, dialect=dialect, request_id=call_id)
        await client.answer(status, headers, body)


def _unknown(scope: dict[str, Any] | Scope) -> UnknownRoute:
    path = str(scope["path"])[:200]
    if path in _CALL_PATHS:
        return UnknownRoute(f"{path} is asked with POST, not {scope['method']}")
    return UnknownRoute(
        f"{path!r} is not served; a [[relay]] in the configuration passes a provider's other paths on"
    )


def _allowed_hosts(desk: Desk) -> frozenset[bytes] | None:
    server = desk.running.config.server
    named = {name.lower().encode() for name in server.allowed_hosts}
    try:
        everywhere = ipaddress.ip_address(server.host).is_unspecified
    except ValueError:
        everywhere = False
    if everywhere and not named:
        return None
    return frozenset({*_LOCAL_HOSTS, server.host.lower().encode(), *named})
