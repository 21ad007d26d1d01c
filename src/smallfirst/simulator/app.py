"""The routes: what a provider serves, and under /simulator/ what a test needs."""

from __future__ import annotations

import json

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from .anthropic_dialect import CountTokens, Messages
from .api_error import ApiError
from .connection import Connection
from .dialect import Dialect
from .exchange import Exchange
from .openai_dialect import ChatCompletions
from .openai_other import Completions, Embeddings, Models, Responses
from .simulator import Simulator

_MARK = {"x-simulated": "true"}


class Endpoint:
    """An ASGI application that serves one dialect's endpoint."""

    def __init__(self, simulator: Simulator, dialect: Dialect) -> None:
        self._simulator = simulator
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Exchange(self._simulator, self._dialect, Connection(scope, receive, send)).run()


class Control:
    """The routes under ``/simulator/``."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def invoice(self, request: Request) -> Response:
        """GET: the invoice as JSON, or as CSV with ``?format=csv``."""
        if request.query_params.get("format") == "csv":
            return PlainTextResponse(self._simulator.invoice.csv(), media_type="text/csv", headers=_MARK)
        return JSONResponse(self._simulator.invoice.document(), headers=_MARK)

    async def requests(self, request: Request) -> Response:
        """GET: requests in flight and finished; with ``?detail=1`` also what they sent."""
        detail = request.query_params.get("detail", "") not in ("", "0")
        return JSONResponse(self._simulator.activity.document(detail=detail), headers=_MARK)

    async def faults(self, request: Request) -> Response:
        """GET: the rules. POST: append rules. DELETE: drop all."""
        rules = self._simulator.faults
        if request.method == "DELETE":
            rules.clear()
        elif request.method == "POST":
            try:
                rules.add(json.loads(await request.body()))
            except ValueError as problem:
                return JSONResponse({"error": {"message": str(problem)}}, 400, headers=_MARK)
        return JSONResponse({"rules": rules.describe()}, headers=_MARK)

    async def reset(self, request: Request) -> Response:
        """POST: forget faults, caches, finished requests and charges."""
        self._simulator.reset()
        return JSONResponse({"reset": True}, headers=_MARK)


async def _not_found(request: Request, problem: Exception) -> Response:
    """An unknown path or method, in the dialect that the caller speaks."""
    status = int(getattr(problem, "status_code", 404))
    message = f"Invalid URL ({request.method} {request.url.path})" if status == 404 else None
    dialect = "anthropic" if "anthropic-version" in request.headers else "openai"
    return JSONResponse(ApiError(status, message).body(dialect, "req_sim_none"), status, headers=_MARK)


def build_app(simulator: Simulator) -> Starlette:
    """The ASGI application of ``simulator``."""
    served: list[tuple[str, Dialect]] = [
        ("/v1/chat/completions", ChatCompletions()),
        ("/v1/messages", Messages()),
        ("/v1/embeddings", Embeddings()),
        ("/v1/responses", Responses()),
        ("/v1/completions", Completions()),
        ("/v1/messages/count_tokens", CountTokens()),
        ("/openai/deployments/{deployment}/chat/completions", ChatCompletions("azure")),
    ]
    models = Endpoint(simulator, Models(simulator.prices))
    control = Control(simulator)
    routes = [
        *(Route(path, Endpoint(simulator, dialect), methods=["POST"]) for path, dialect in served),
        Route("/v1/models", models, methods=["GET"]),
        Route("/v1/models/{model}", models, methods=["GET"]),
        Route("/simulator/invoice", control.invoice, methods=["GET"]),
        Route("/simulator/requests", control.requests, methods=["GET"]),
        Route("/simulator/faults", control.faults, methods=["GET", "POST", "DELETE"]),
        Route("/simulator/reset", control.reset, methods=["POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={404: _not_found, 405: _not_found})
