"""The routes that answer about the gateway itself: health, readiness, metrics and the list of models."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from smallfirst.errors import BadKey, CallError, UnknownModel
from smallfirst.gateway.draft import new_call_id
from smallfirst.gateway.hand import Desk
from smallfirst.gateway.identity import presented_key
from smallfirst.models.catalogue import TASK_PREFIX
from smallfirst.wire import errors

_STARTED_S = int(datetime.datetime.now(datetime.UTC).timestamp())


class Pages:
    """`ready` says whether calls should be sent here now: not while draining."""

    def __init__(self, desk: Desk, *, ready: Callable[[], bool]) -> None:
        self._desk = desk
        self._ready = ready
        self._router = Router(
            [
                Route("/health", self._health),
                Route("/ready", self._readiness),
                Route("/metrics", self._metrics),
                Route("/v1/models", self._models),
                Route("/v1/models/{name:path}", self._model),
            ]
        )

    def has(self, path: str) -> bool:
        return path in ("/health", "/ready", "/metrics", "/v1/models") or path.startswith("/v1/models/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._router(scope, receive, send)

    async def _health(self, request: Request) -> Response:
        """The process lives."""
        return JSONResponse({"status": "ok"})

    async def _readiness(self, request: Request) -> Response:
        """Calls may be sent: not draining, and what is asked can be recorded."""
        ledger = self._desk.ledger
        reasons = [] if self._ready() else ["draining"]
        if not ledger.healthy:
            reasons.append("the ledger's importer has failed; the log says why")
        return JSONResponse(
            {"status": "ready" if not reasons else "not ready", "reasons": reasons}, 503 if reasons else 200
        )

    async def _metrics(self, request: Request) -> Response:
        if not self._desk.running.config.server.metrics:
            return Response(status_code=404)
        if not _is_loopback(request):
            try:
                self._check_key(request)
            except CallError as error:
                return self._error(request, error)
        return Response(
            self._desk.metrics.exposition(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    async def _models(self, request: Request) -> Response:
        try:
            self._check_key(request)
        except CallError as error:
            return self._error(request, error)
        names = self._desk.running.answerer.catalogue.names()
        if "anthropic-version" in request.headers:
            data = [_anthropic_model(name) for name in names]
            ends = {"first_id": names[0] if names else None, "last_id": names[-1] if names else None}
            return JSONResponse({"data": data, "has_more": False} | ends)
        return JSONResponse({"object": "list", "data": [self._openai_model(name) for name in names]})

    async def _model(self, request: Request) -> Response:
        name = request.path_params["name"]
        try:
            self._check_key(request)
            if name not in self._desk.running.answerer.catalogue.names():
                if name.startswith(TASK_PREFIX):
                    raise UnknownModel(
                        f"task {name.removeprefix(TASK_PREFIX)[:128]!r} is not known", param="model"
                    )
                self._desk.running.answerer.catalogue.get(name)
        except CallError as error:
            return self._error(request, error)
        anthropic = "anthropic-version" in request.headers
        return JSONResponse(_anthropic_model(name) if anthropic else self._openai_model(name))

    def _openai_model(self, name: str) -> dict[str, object]:
        model = self._desk.running.answerer.catalogue.declared.get(name)
        return {
            "id": name,
            "object": "model",
            "created": _STARTED_S,
            "owned_by": model.provider if model else "smallfirst",
        }

    def _check_key(self, request: Request) -> None:
        headers = dict(request.scope["headers"])
        key = presented_key(headers.get(b"authorization", b""), headers.get(b"x-api-key", b""))
        today = datetime.datetime.now(datetime.UTC).date()
        self._desk.running.identity.caller(key, today)

    def _error(self, request: Request, error: CallError) -> Response:
        if isinstance(error, BadKey):
            self._desk.metrics.refused(error.code)
        dialect = "anthropic" if "anthropic-version" in request.headers else "openai"
        status, headers, body = errors.render(error, dialect=dialect, request_id=new_call_id(0))
        response = Response(body, status_code=status)
        response.raw_headers = [*headers, (b"content-length", str(len(body)).encode())]
        return response


def _anthropic_model(name: str) -> dict[str, object]:
    created = datetime.datetime.fromtimestamp(_STARTED_S, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {"type": "model", "id": name, "display_name": name, "created_at": created}


def _is_loopback(request: Request) -> bool:
    if request.client is None:
        return False
    try:
        return ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False
